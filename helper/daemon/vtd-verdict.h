/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verdict.h: a trust decision, and whether it still holds */
#pragma once

#include "vt-trust.h"

/**
 * VtdVerdict: what a policy said about a manifest
 * @signed_by: (nullable): the key, for people
 * @refusal: (nullable): why it is not trusted; %VT_ERROR_UNTRUSTED or %VT_ERROR_POLICY
 *
 * Immutable; may be handed from thread to thread.
 */
typedef struct {
    VtVerdict verdict;
    char *signed_by;
    GError *refusal;
    /*< private >*/
    GPtrArray *stamps;
} VtdVerdict;
void vtd_verdict_free(VtdVerdict *verdict);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdVerdict, vtd_verdict_free)

/**
 * vtd_verdict_decide:
 * @policy_path: read anew
 * @ret_verdict: (out) (transfer full): may be a refusal
 *
 * Returns: false when nothing could be decided: signatures could not be read
 */
bool vtd_verdict_decide(const char *policy_path, const VtSubject *subject, VtSource *source,
                        VtdVerdict **ret_verdict, GError **error);

/** vtd_verdict_holds: Returns: whether the policy and its key files are still the same files.
 *  @verdict: (nullable) */
bool vtd_verdict_holds(const VtdVerdict *verdict);

/** vtd_verdict_check: Returns: whether it trusts; @error: the refusal */
bool vtd_verdict_check(const VtdVerdict *verdict, GError **error);
