/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-fetch.h: the steps that bring a template here */
#pragma once

#include "vtd-job.h"
#include "vtd-worker.h"

#include "vt-digest.h"
#include "vt-seal.h"

/**
 * VtdFetch: all that the job's thread may look at; made from the trusted catalog
 * @policy: path of the policy
 * @manifest: digest that the catalog gives
 * @manifest_size: bytes, as the catalog says
 * @capacity: of the virtual disk, bytes, as the catalog says
 * @limit_rate: bytes per second, 0: no limit
 * @damaged: (element-type VtDigest): layers here that must not be used
 */
typedef struct {
    const VtdWorkerConfig *workers;
    VtStoreUrl *url;
    char *policy;
    char *target;
    char *name;
    char *version;
    VtDigest manifest;
    uint64_t manifest_size;
    uint64_t capacity;
    uint64_t limit_rate;
    GArray *damaged;
    /* what came out */
    VtSeal seal;
    char *seal_reason;
} VtdFetch;
void vtd_fetch_free(VtdFetch *fetch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdFetch, vtd_fetch_free)

/**
 * vtd_fetch_run: The body of a fetch job
 *
 * When it fails, no name that can be used is there; a partial file stays for the next attempt,
 * unless the layer is corrupt.
 */
bool vtd_fetch_run(VtdJob *job, VtdFetch *fetch, GError **error);
