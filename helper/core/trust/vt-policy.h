/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-policy.h: the containers-policy.json(5) language: text to rules */
#pragma once

#include "vt-error.h"
#include "vt-store-url.h"

/* A policy is written by hand */
#define VT_POLICY_MAX (1u << 20)

typedef struct VtPolicy VtPolicy;
void vt_policy_free(VtPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtPolicy, vt_policy_free)

typedef enum {
    VT_REQUIREMENT_REJECT,
    VT_REQUIREMENT_ACCEPT_ANYTHING,
    VT_REQUIREMENT_SIGSTORE_SIGNED,
} VtRequirementType;

/**
 * VtIdentityMatch: signedIdentity types of containers-policy.json(5), and our extension
 * %VT_IDENTITY_DIGEST_ONLY (`matchDigestOnly`): the signed digest alone is enough, because the
 * signed catalog binds it to a name.
 */
typedef enum {
    VT_IDENTITY_REPO_DIGEST_OR_EXACT,
    VT_IDENTITY_EXACT,
    VT_IDENTITY_REPOSITORY,
    VT_IDENTITY_EXACT_REFERENCE,
    VT_IDENTITY_EXACT_REPOSITORY,
    VT_IDENTITY_REMAP,
    VT_IDENTITY_DIGEST_ONLY,
} VtIdentityMatch;

/**
 * VtRequirement:
 * @type: what it demands
 * @key_paths: (nullable) (array zero-terminated=1): files of public keys; any one may sign
 * @key_datas: (nullable) (element-type GBytes): decoded PEM; any one may sign
 * @identity: how docker-reference must match
 * @identity_value: (nullable): dockerReference, dockerRepository or remapIdentity's `prefix`
 * @identity_signed: (nullable): `signedPrefix` of remapIdentity
 * @where: file and place in it, for messages: `policy.json:
 * transports.docker."r.example/golden"[0]`
 */
typedef struct {
    VtRequirementType type;
    char **key_paths;
    GPtrArray *key_datas;
    VtIdentityMatch identity;
    char *identity_value;
    char *identity_signed;
    char *where;
} VtRequirement;

/**
 * vt_policy_parse:
 * @bytes: the file
 * @file_name: for messages
 * @ret_policy: (out) (transfer full): untouched on failure
 * @error: %VT_ERROR_POLICY naming @file_name and the field or type that is not valid, not known,
 *   or not implemented (`signedBy`, `fulcio`, `pki`, `rekorPublicKey...`)
 *
 * Strict: the file is taken as a whole or not at all. The sections of transports that we never
 * use are checked as well. Does no I/O: key files are read when they are used.
 */
bool vt_policy_parse(GBytes *bytes, const char *file_name, VtPolicy **ret_policy, GError **error);

/**
 * vt_policy_lookup:
 * @transport: of the store
 * @scope: from vt_store_url_scope()
 * @tag: (nullable): a version tag, tried first as `scope:tag`
 *
 * The most specific scope wins and replaces all others: for docker `host/ns/repo:tag`,
 * `host/ns/repo`, each namespace, `host`, `*.domain` wildcards, ""; for oci `path:tag`, where the
 * tag is the reference in the layout (`NAME/TAG`), the path, each parent path, ""; then `default`.
 *
 * Returns: (element-type VtRequirement) (transfer none): never empty; all must be satisfied
 */
const GPtrArray *vt_policy_lookup(const VtPolicy *policy, VtTransport transport, const char *scope,
                                  const char *tag);
