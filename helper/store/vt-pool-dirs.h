/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-dirs.h: private to vt-pool*.c and vt-clones.c: the directories of a pool */
#pragma once

#include "vt-pool.h"

struct VtPool {
    char *target;
    int target_fd;
    int layers_fd;
    int partial_fd;
    int manifests_fd;
    int clones_fd;
};

/** vt_pool_dirs: Opens the directories below the target; @create: makes those that are missing */
bool vt_pool_dirs(VtPool *pool, bool create, GError **error);

/* "<64 hex>.manifest" and the like */
#define VT_POOL_FILE_MAX 96
/** vt_pool_file: "<hex>SUFFIX". Returns: @buffer */
const char *vt_pool_file(const VtDigest *digest, const char *suffix, char buffer[VT_POOL_FILE_MAX]);

/** vt_pool_lock: The lock on .layers is given back when @ret_fd is closed. Sealing under it may
 * take a while: only a job's thread waits for it. %VT_ERROR_BUSY */
bool vt_pool_lock(VtPool *pool, bool wait, int *ret_fd, GError **error);

/** vt_pool_name_layer: The verified partial file becomes the layer; its writable descriptor is
 *  closed. @replace: also if there is one already */
bool vt_pool_name_layer(VtPool *pool, const VtPoolLayer *layer, bool replace, GError **error);

/* A damaged layer, in .partial, while another file takes its names */
#define VT_POOL_OLD ".old"

/** vt_pool_drop_layers: Removes the layer @index, and those below it, that neither a version nor
 *  another layer needs; the caller has the lock on .layers */
bool vt_pool_drop_layers(VtPool *pool, const VtDigest *index, GError **error);
