/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-bundle.h: Sigstore bundles: a DSSE envelope around an in-toto statement, as cosign v3 signs */
#pragma once

#include "vt-digest.h"

#define VT_BUNDLE_MEDIA_TYPE     "application/vnd.dev.sigstore.bundle.v0.3+json"
#define VT_BUNDLE_PREDICATE_TYPE "https://sigstore.dev/cosign/sign/v1"
/* One with a log entry and a time stamp is 10 KiB */
#define VT_BUNDLE_MAX (1u << 20)

/**
 * VtBundle: the parts of a bundle that matter with a key we know
 * @payload: the statement: what was signed is vt_bundle_pae() of it
 * @signature: raw bytes
 * @hint: (nullable): not authenticated, helps people only
 */
typedef struct {
    GBytes *payload;
    GBytes *signature;
    char *hint;
} VtBundle;
void vt_bundle_free(VtBundle *bundle);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtBundle, vt_bundle_free)

/**
 * vt_bundle_pae:
 *
 * Returns: (transfer full): DSSE's pre-authentication encoding of @body,
 *   `DSSEv1 LEN(type) type LEN(body) body`
 */
GBytes *vt_bundle_pae(const char *payload_type, GBytes *body);

/**
 * vt_bundle_parse:
 * @bytes: version 0.3 with a DSSE envelope that has exactly one signature over an in-toto payload
 * @error: %VT_ERROR_INVALID, or %VT_ERROR_UNSUPPORTED for other versions, certificates instead of
 *   keys, and plain message signatures
 *
 * Does not look into the payload: it is not verified yet. Log entries and time stamps are not
 * checked; a policy that demands them is refused when it is read.
 */
bool vt_bundle_parse(GBytes *bytes, VtBundle **ret_bundle, GError **error);

/** vt_bundle_message: Returns: (transfer full): what the signature is over */
GBytes *vt_bundle_message(GBytes *payload);

/** vt_bundle_format: Returns: (transfer full): the bundle of @payload signed as @signature */
GBytes *vt_bundle_format(GBytes *payload, GBytes *signature, const char *hint);

/**
 * vt_bundle_check_statement:
 * @payload: the very bytes whose signature was verified
 * @digest: of the manifest in question
 * @error: %VT_ERROR_UNTRUSTED: a statement of another kind (an attestation is not a signature), or
 *   about something else; %VT_ERROR_INVALID
 */
bool vt_bundle_check_statement(GBytes *payload, const VtDigest *digest, GError **error);

/** vt_bundle_format_statement: Returns: (transfer full): that @digest is signed */
GBytes *vt_bundle_format_statement(const VtDigest *digest);
