/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-identity.h: does the name in a signature fit the thing it is shown for? */
#pragma once

#include "vt-digest.h"
#include "vt-policy.h"

/**
 * VtIdentity: the thing, by the names that a signature may give it
 * @repository: from vt_store_url_identity()
 * @tag: (nullable): tag of its version
 * @digest: of its manifest
 */
typedef struct {
    const char *repository;
    const char *tag;
    const VtDigest *digest;
} VtIdentity;

/** vt_identity_is_repository: Returns: whether @text is `host[:port]/path`, fully spelled out */
bool vt_identity_is_repository(const char *text);

/** vt_identity_is_reference: Returns: whether @text is a repository with `:tag` or `@digest` */
bool vt_identity_is_reference(const char *text);

/** vt_identity_is_prefix: Returns: whether @text is `host[:port]` or a repository or namespace */
bool vt_identity_is_prefix(const char *text);

/**
 * vt_identity_match:
 * @requirement: of type %VT_REQUIREMENT_SIGSTORE_SIGNED
 * @signed_reference: the `docker-reference` that was signed
 * @error: %VT_ERROR_UNTRUSTED: what was signed, and what was expected
 *
 * We always refer to a manifest by its digest, so `matchRepoDigestOrExact` means: the same
 * repository. `matchExact` takes the repository with the version's tag or with the digest.
 */
bool vt_identity_match(const VtRequirement *requirement, const VtIdentity *identity,
                       const char *signed_reference, GError **error);
