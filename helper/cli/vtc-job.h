/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-job.h: waiting for a job of the helper */
#pragma once

#include "vtc-client.h"

#include <stdint.h>

/**
 * vtc_job_wait:
 * @progress: draw a bar
 * @ret_status: (out) (transfer full): a{sv} of the job that is done
 * @error: why the job failed; %VTC_ERROR_INTERRUPTED after Ctrl-C, which cancels the job
 */
bool vtc_job_wait(VtcClient *client, uint64_t job, bool progress, GVariant **ret_status,
                  GError **error);

/**
 * vtc_job_judge:
 * @ret_ended: (out): whether @status is that of a job that has ended; set also on failure
 * @error: why the job failed; %VTC_ERROR_INTERRUPTED if it was cancelled
 *
 * Returns: false if it has failed
 */
bool vtc_job_judge(GVariant *status, bool *ret_ended, GError **error);

/** vtc_job_text: Returns: (transfer none): a string of @status, "" if it has none */
const char *vtc_job_text(GVariant *status, const char *key);
/** vtc_job_number: Returns: a number of @status, 0 if it has none */
uint64_t vtc_job_number(GVariant *status, const char *key);
/** vtc_job_elapsed_us: Returns: from its start to its end, or to @now_us */
int64_t vtc_job_elapsed_us(GVariant *status, int64_t now_us);
