/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-pool.h: which pool, and which template in it */
#pragma once

#include "vtc-client.h"

/**
 * VtcPool: a pool that the helper knows; strings may be "" when it was registered without
 */
typedef struct {
    char *target;
    char *name;
    char *store;
    char *policy;
} VtcPool;
void vtc_pool_free(VtcPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcPool, vtc_pool_free)

/** vtc_pool_list: @ret_pools: (out) (transfer full) (element-type VtcPool) */
bool vtc_pool_list(VtcClient *client, GPtrArray **ret_pools, GError **error);

/**
 * vtc_pool_choose:
 * @pools: (element-type VtcPool)
 * @wanted: (nullable): name or target path; %NULL: the only one
 * @ret_pool: (out) (transfer none): of @pools
 * @error: %VT_ERROR_NOT_FOUND, or %VTC_ERROR_USAGE when one must be named; lists them
 */
bool vtc_pool_choose(const GPtrArray *pools, const char *wanted, const VtcPool **ret_pool,
                     GError **error);

/**
 * VtcTarget: what the verbs of one template work on
 * @version: "" for the current one
 */
typedef struct {
    VtcClient *client;
    GPtrArray *pools;
    const VtcPool *pool;
    char *name;
    char *version;
} VtcTarget;
void vtc_target_clear(VtcTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcTarget, vtc_target_clear)

/** vtc_reference_parse: @reference: `NAME[@VERSION]`, or the name of a volume; @ret_version: (out)
 *  (transfer full): "" for the current one */
bool vtc_reference_parse(const char *reference, char **ret_name, char **ret_version,
                         GError **error);

/**
 * vtc_target_open:
 * @reference: (nullable): `NAME[@VERSION]`, or the name of a volume; %NULL: no template
 * @ret_target: (out caller-allocates): zeroed
 */
bool vtc_target_open(const VtcHelperOptions *options, bool writable, const char *reference,
                     VtcTarget *ret_target, GError **error);

/** vtc_target_call: vtc_client_call() with the target path, name and version as arguments */
bool vtc_target_call(const VtcTarget *target, const char *method, const char *reply_type,
                     GVariant **ret_reply, GError **error);
