/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-repair.h: the damaged layers of a template that is here are made again */
#pragma once

#include "vtd-verify.h"
#include "vtd-worker.h"

/**
 * VtdRepair: all that the job's thread may look at
 * @manifest: digest that the catalog gives
 * @repaired: (out): layers that were made again
 * @in_use: (out): whether a running guest has an old file of one of them open
 */
typedef struct {
    VtdVerify verify;
    const VtdWorkerConfig *workers;
    VtStoreUrl *url;
    VtDigest manifest;
    guint repaired;
    bool in_use;
} VtdRepair;
void vtd_repair_free(VtdRepair *repair);

/**
 * vtd_repair_run: The body of a repair job
 *
 * Verifies the chain. Of each damaged layer a new file is made, the lowest first: from what is
 * right in the old one, what its ancestors have, and the frames that are damaged, which are
 * fetched. All is verified again before the new files take the names of the old ones; when it
 * fails, nothing has changed.
 */
bool vtd_repair_run(VtdJob *job, VtdRepair *repair, GError **error);
