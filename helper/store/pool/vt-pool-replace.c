/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-replace.c: another file takes the names of a damaged layer
 *
 * Theory of operation
 *
 * A layer has a name in .layers and one for each version that it is. They cannot change all at
 * once, so the old file gets one name more before, which is removed at the end:
 *
 *     link    .layers/<hex>.qcow2    .partial/<hex>.old
 *     rename  .partial/<hex>         .layers/<hex>.qcow2
 *     for each version that is the old file:
 *         link    .layers/<hex>.qcow2  .partial/<hex>.new
 *         rename  .partial/<hex>.new   NAME@VERSION.qcow2
 *     unlink  .partial/<hex>.old
 *
 * Whoever finds <hex>.old does the rest. All under the lock on .layers.
 */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static bool
same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* The version's name goes from the old file to the layer */
static bool
rename_version(VtPool *pool, const VtDigest *index, const char *volume, GError **error)
{
    char file[VT_POOL_FILE_MAX], next[VT_POOL_FILE_MAX];

    vt_pool_file(index, VT_VOLUME_SUFFIX, file);
    vt_pool_file(index, VT_POOL_NEW, next);
    unlinkat(pool->partial_fd, next, 0);
    if (!vt_pool_unseal(pool, pool->target_fd, volume, error))
        return false;
    if (linkat(pool->layers_fd, file, pool->partial_fd, next, 0) < 0 ||
        renameat(pool->partial_fd, next, pool->target_fd, volume) < 0)
        return vt_throw_errno(error, errno, "cannot give '%s/%s' its repaired layer", pool->target,
                              volume);
    return true;
}

static bool
rename_versions(VtPool *pool, const VtDigest *index, const struct stat *old, GHashTable *volumes,
                GError **error)
{
    GHashTableIter iter;
    gpointer volume;

    g_hash_table_iter_init(&iter, volumes);
    while (g_hash_table_iter_next(&iter, &volume, NULL)) {
        struct stat st;

        if (fstatat(pool->target_fd, volume, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            same_file(&st, old) && !rename_version(pool, index, volume, error))
            return false;
    }
    return true;
}

/* Under all its names */
static bool
seal_layer(VtPool *pool, const VtDigest *index, GError **error)
{
    g_autoptr(GHashTable) volumes = NULL;
    char file[VT_POOL_FILE_MAX];
    g_autofree char *reason = NULL;
    struct stat layer, st;
    GHashTableIter iter;
    gpointer volume;
    VtSeal seal;

    vt_pool_file(index, VT_VOLUME_SUFFIX, file);
    if (!vt_pool_scan(pool, &volumes, error) ||
        !vt_pool_seal(pool, pool->layers_fd, file, &seal, &reason, error))
        return false;
    if (fstatat(pool->layers_fd, file, &layer, AT_SYMLINK_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer '%s'", file);
    g_hash_table_iter_init(&iter, volumes);
    while (g_hash_table_iter_next(&iter, &volume, NULL)) {
        if (fstatat(pool->target_fd, volume, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !same_file(&st, &layer))
            continue;
        g_clear_pointer(&reason, g_free);
        if (!vt_pool_seal(pool, pool->target_fd, volume, &seal, &reason, error))
            return false;
    }
    return true;
}

bool
vt_pool_end_replace(VtPool *pool, const VtDigest *index, GError **error)
{
    g_autoptr(GHashTable) volumes = NULL;
    char name[VT_POOL_FILE_MAX];
    struct stat old, now;
    vt_autofd fd = -1;

    vt_pool_file(index, VT_POOL_OLD, name);
    if (fstatat(pool->partial_fd, name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot stat the damaged layer '%s'", name);
    if (!vt_pool_open_layer(pool, index, &fd, error) || !vt_pool_scan(pool, &volumes, error))
        return false;
    if (fstat(fd, &now) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    /* Nothing can be linked to an immutable file, or from a mount to elsewhere */
    if (!vt_seal_open(fd, pool->manager, error) ||
        (!same_file(&now, &old) && !rename_versions(pool, index, &old, volumes, error)) ||
        !vt_pool_sync(pool, error))
        return false;
    /* Before the seal: it may be a name of the same file */
    if (unlinkat(pool->partial_fd, name, 0) < 0)
        return vt_throw_errno(error, errno, "cannot remove the damaged layer '%s'", name);
    return vt_pool_sync(pool, error);
}

/* The layer's file, if there is one, gets the name <hex>.old */
static bool
keep_old(VtPool *pool, const VtDigest *index, bool *ret_any, GError **error)
{
    char file[VT_POOL_FILE_MAX], old[VT_POOL_FILE_MAX];
    vt_autofd fd = -1;

    *ret_any = vt_pool_has_layer(pool, index);
    if (!*ret_any)
        return true;
    vt_pool_file(index, VT_VOLUME_SUFFIX, file);
    vt_pool_file(index, VT_POOL_OLD, old);
    if (!vt_pool_open_layer(pool, index, &fd, error) || !vt_seal_open(fd, pool->manager, error))
        return false;
    if (linkat(pool->layers_fd, file, pool->partial_fd, old, 0) < 0)
        return vt_throw_errno(error, errno, "cannot keep the damaged layer '%s'", file);
    if (fsync(pool->partial_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make a name in '%s' durable", pool->target);
    return true;
}

static bool
replace(VtPool *pool, const VtPoolLayer *layer, GError **error)
{
    char file[VT_POOL_FILE_MAX];
    bool any = false;

    if (!vt_fs_replace(pool->layers_fd, vt_pool_file(&layer->index, VT_POOL_INDEX, file),
                       layer->index_bytes, 0444, error))
        return false;
    if (*layer->partial_fd < 0)
        return true;
    if (!keep_old(pool, &layer->index, &any, error) ||
        !vt_pool_name_layer(pool, layer, true, error))
        return false;
    return (any ? vt_pool_end_replace(pool, &layer->index, error) : vt_pool_sync(pool, error)) &&
           seal_layer(pool, &layer->index, error);
}

bool
vt_pool_replace(VtPool *pool, const VtPoolLayer *layers, guint count, GError **error)
{
    vt_autofd lock = -1;
    bool ok = true;

    if (!vt_pool_dirs(pool, true, error) || !vt_pool_lock(pool, true, &lock, error))
        return false;
    vt_pool_end_repairs(pool);
    for (guint i = 0; ok && i < count; i++)
        ok = replace(pool, &layers[i], error);
    if (!ok)
        vt_pool_tidy(pool);
    close(vt_steal_fd(&lock));
    if (!ok)
        vt_pool_reseal(pool);
    return ok;
}
