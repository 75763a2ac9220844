/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-dirs.h: private to vt-pool*.c and vt-clones.c: the directories of a pool */
#pragma once

#include "vt-pool.h"
#include "vt-seal-manager.h"

/* @manager: one connection for all mounts that one opened pool makes */
struct VtPool {
    char *target;
    int target_fd;
    int layers_fd;
    int partial_fd;
    int manifests_fd;
    int clones_fd;
    VtSealManager *manager;
};

/** vt_pool_dirs: Opens the directories below the target; @create: makes those that are missing */
bool vt_pool_dirs(VtPool *pool, bool create, GError **error);

/* Of the document that is kept beside a layer */
#define VT_POOL_INDEX ".index"

/* "<64 hex>.manifest" and the like */
#define VT_POOL_FILE_MAX 96
/** vt_pool_file: "<hex>SUFFIX". Returns: @buffer */
const char *vt_pool_file(const VtDigest *digest, const char *suffix, char buffer[VT_POOL_FILE_MAX]);

/** vt_pool_parse_file: @name: "<64 hex>SUFFIX". Returns: whether it is such a name */
bool vt_pool_parse_file(const char *name, const char *suffix, VtDigest *ret_digest);

/** vt_pool_lock: The lock on .layers is given back when @ret_fd is closed. Sealing under it may
 * take a while: only a job's thread waits for it. %VT_ERROR_BUSY */
bool vt_pool_lock(VtPool *pool, bool wait, int *ret_fd, GError **error);

/** vt_pool_sync: Makes the names that were given and taken durable */
bool vt_pool_sync(VtPool *pool, GError **error);

/** vt_pool_is_committed: Whether a layer is more than the rest of an attempt. Sealing it, or the
 *  decision that nothing seals it, is where it becomes so, and then others than root may read it:
 *  a seal may vanish, or there may be none, but the mode stays */
bool vt_pool_is_committed(const struct stat *layer);

/** vt_pool_name_layer: The verified partial file becomes the layer; its writable descriptor is
 *  closed. @replace: also if there is one already; it is committed then */
bool vt_pool_name_layer(VtPool *pool, const VtPoolLayer *layer, bool replace, GError **error);

/** vt_pool_seal: Seals a layer under one of its names and commits it; @error: neither can be done.
 * @ret_reason: (out) (transfer full) (nullable): why nothing seals it, which is no error */
bool vt_pool_seal(VtPool *pool, int dir_fd, const char *name, VtSeal *ret_seal, char **ret_reason,
                  GError **error);
/** vt_pool_unseal: So that it can get another name, or lose this one */
bool vt_pool_unseal(VtPool *pool, int dir_fd, const char *name, GError **error);

/* A damaged layer, in .partial, while another file takes its names */
#define VT_POOL_OLD ".old"
/* A name of a version, on its way from the old file to the new one */
#define VT_POOL_NEW ".new"
/* What was the name of a version, in .partial, while what nobody needs any more is removed */
#define VT_POOL_GONE ".gone"

/** vt_pool_end_replace: Ends the repair of the layer @index, whose old file is <hex>.old, but for
 * its seals; the caller has the lock on .layers */
bool vt_pool_end_replace(VtPool *pool, const VtDigest *index, GError **error);
/** vt_pool_end_repairs: vt_pool_end_replace() of all that were interrupted. Returns: how many */
guint vt_pool_end_repairs(VtPool *pool);

/** vt_pool_end_evict: Ends the removal of a version with the layer @index that has become
 *  <hex>.gone, but for the seal of a layer that others need; the caller has the lock on .layers */
bool vt_pool_end_evict(VtPool *pool, const VtDigest *index, GError **error);

/** vt_pool_tidy: Ends repairs and evictions, and removes what else an interrupted or failed attempt
 * left; the caller has the lock on .layers, and vt_pool_reseal() called without it. Returns: how
 * many were ended */
guint vt_pool_tidy(VtPool *pool);

/** vt_pool_drop_manifest: Removes the documents of a version */
void vt_pool_drop_manifest(VtPool *pool, const VtDigest *manifest);

/** vt_pool_read_parent: Of the kept index of @layer; @ret_has: whether it has one */
bool vt_pool_read_parent(VtPool *pool, const VtDigest *layer, bool *ret_has, VtDigest *ret_parent,
                         GError **error);

/** vt_pool_drop_layers: Removes the layer @index, and those below it, that neither a version nor
 *  another layer needs; the caller has the lock on .layers. @links: names of @index that do not
 *  count. When it is interrupted, it goes on where it was: the index of the first layer goes last
 */
bool vt_pool_drop_layers(VtPool *pool, const VtDigest *index, nlink_t links, GError **error);
