/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-trust.h: the trust decision: may this manifest be used? */
#pragma once

#include "vt-digest.h"
#include "vt-policy.h"
#include "vt-source.h"
#include "vt-store-url.h"

/**
 * VtVerdict: zero is "not trusted", so that a forgotten check denies.
 */
typedef enum {
    VT_VERDICT_DENIED = 0,
    VT_VERDICT_TRUSTED,
} VtVerdict;

/**
 * VtSubject:
 * @url: the store
 * @name: template name or %VT_CATALOG_NAME
 * @version: (nullable): for messages and for scopes with a tag
 * @digest: of the manifest bytes that the caller holds and has hashed itself
 * @named_by_catalog: a verified catalog names @digest for @name and @version; this satisfies the
 *   identity that a Sigstore bundle cannot carry
 */
typedef struct {
    const VtStoreUrl *url;
    const char *name;
    const char *version;
    VtDigest digest;
    bool named_by_catalog;
} VtSubject;

/**
 * vt_trust_check:
 * @policy: the loaded policy
 * @subject: what is asked about
 * @source: where signatures are read from: the `.sig` tag and the referrers
 * @ret_verdict: (out): set on true return
 * @ret_signed_by: (out) (transfer full) (nullable): the key or keys that satisfied, for people;
 * %NULL if the policy accepts anything
 * @error: %VT_ERROR_UNTRUSTED or %VT_ERROR_POLICY naming what was checked and why each signature
 *   failed; %VT_ERROR_NETWORK when signatures could not be read
 *
 * Returns: true with %VT_VERDICT_TRUSTED, else false; callers check both.
 */
bool vt_trust_check(const VtPolicy *policy, const VtSubject *subject, VtSource *source,
                    VtVerdict *ret_verdict, char **ret_signed_by,
                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
