/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-proofs.h: the signatures of a manifest, kept so that they can be checked again offline */
#pragma once

#include "vt-source.h"
#include "vtd-verdict.h"

/**
 * VtdRecorder: a source that hands on what another one answers, and remembers it
 */
typedef struct VtdRecorder VtdRecorder;

/** vtd_recorder_new: @inner: must outlive the recorder */
VtdRecorder *vtd_recorder_new(VtSource *inner);
void vtd_recorder_free(VtdRecorder *recorder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdRecorder, vtd_recorder_free)
VtSource *vtd_recorder_source(VtdRecorder *recorder);
/** vtd_recorder_finish: Returns: (transfer full): all answers, for vtd_replay_new() */
GBytes *vtd_recorder_finish(VtdRecorder *recorder);

/**
 * vtd_replay_new:
 * @proofs: from vtd_recorder_finish()
 * @ret_replay: (out) (transfer full): a source that gives the same answers; what was not asked for
 *   then is %VT_ERROR_NOT_FOUND
 */
typedef struct VtdReplay VtdReplay;
bool vtd_replay_new(GBytes *proofs, VtdReplay **ret_replay, GError **error);
void vtd_replay_free(VtdReplay *replay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdReplay, vtd_replay_free)
VtSource *vtd_replay_source(VtdReplay *replay);

/**
 * vtd_proofs_decide: What the policy, as it is now, says of a manifest
 * @proofs: from vtd_recorder_finish()
 * @verdict: (nullable) before; replaced, but not on failure
 */
bool vtd_proofs_decide(GBytes *proofs, const char *policy, const VtSubject *subject,
                       VtdVerdict **verdict, GError **error);
