/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-verify.h: a template that is here is verified again */
#pragma once

#include "vtd-job.h"

#include "vt-digest.h"

/**
 * VtdVerify: all that the job's thread may look at
 * @layers: (element-type VtDigest): of its chain, base first
 * @verified: (out): how many of them are what they should be; the next one is not, when the job
 *   fails
 */
typedef struct {
    char *target;
    char *name;
    char *version;
    GArray *layers;
    guint verified;
} VtdVerify;
void vtd_verify_free(VtdVerify *verify);

/** vtd_verify_run: The body of a verify job */
bool vtd_verify_run(VtdJob *job, VtdVerify *verify, GError **error);
