/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-seal.c: the seals of the layers of a pool, under each of their names
 *
 * The immutable flag and fs-verity are the file's; a read-only mount is over one name of it. So
 * names are sealed: whichever it is, a layer is sealed when all its names are.
 */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

/* Who waits for the lock, for a clone or a fetch, would find it taken again before he wakes up */
#define PAUSE_US 200

static int
open_name(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

bool
vt_pool_seal(VtPool *pool, int dir_fd, const char *name, VtSeal *ret_seal, char **ret_reason,
             GError **error)
{
    vt_autofd fd = open_name(dir_fd, name);
    g_autofree char *reason = NULL;
    struct stat before, after;
    VtSeal seal;

    if (fd < 0 || fstat(fd, &before) < 0)
        return vt_throw_errno(error, errno, "cannot open '%s' to seal it", name);
    vt_seal_apply(fd, pool->manager, &seal, &reason);
    if (fstat(fd, &after) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s'", name);
    if (!vt_pool_is_committed(&after))
        return vt_throw(error, VT_ERROR_FAILED, "cannot complete '%s': %s", name,
                        reason ? reason : "it is sealed with another mode than 0444");
    if (!vt_pool_is_committed(&before) && fsync(fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the mode of '%s' durable", name);
    *ret_seal = seal;
    *ret_reason = g_steal_pointer(&reason);
    return true;
}

bool
vt_pool_unseal(VtPool *pool, int dir_fd, const char *name, GError **error)
{
    vt_autofd fd = open_name(dir_fd, name);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", name);
    return vt_seal_open(fd, pool->manager, error);
}

static bool
is_sealed(int dir_fd, const char *name)
{
    vt_autofd fd = open_name(dir_fd, name);
    struct stat st;

    return fd < 0 || (vt_seal_is_right(vt_seal_query(fd)) && fstat(fd, &st) == 0 &&
                      vt_pool_is_committed(&st));
}

/* Under the lock */
static void
seal_again(VtPool *pool, int dir_fd, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *reason = NULL;
    VtSeal seal;

    if (is_sealed(dir_fd, name))
        return;
    /* A seal of somebody else's may hold another mode */
    if (!vt_pool_unseal(pool, dir_fd, name, &error) ||
        !vt_pool_seal(pool, dir_fd, name, &seal, &reason, &error))
        g_warning("in '%s': %s", pool->target, error->message);
    else if (!vt_seal_holds(seal))
        g_info("'%s' in '%s' is not sealed: %s", name, pool->target, reason);
}

/* The lock is for the few that are not: who finds it taken is told to come again */
static void
reseal(VtPool *pool, int dir_fd, const char *name)
{
    vt_autofd lock = -1;

    if (is_sealed(dir_fd, name) || !vt_pool_lock(pool, true, &lock, NULL))
        return;
    seal_again(pool, dir_fd, name);
    close(vt_steal_fd(&lock));
    g_usleep(PAUSE_US);
}

/* @inodes: a set that gets those of the layers */
static void
reseal_layers(VtPool *pool, GHashTable *inodes)
{
    DIR *dir = vt_fs_read_dir(pool->layers_fd);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        const gint64 inode = (gint64)entry->d_ino;

        if (!g_str_has_suffix(entry->d_name, VT_VOLUME_SUFFIX))
            continue;
        g_hash_table_add(inodes, g_memdup2(&inode, sizeof(inode)));
        reseal(pool, pool->layers_fd, entry->d_name);
    }
    if (dir)
        closedir(dir);
}

void
vt_pool_reseal(VtPool *pool)
{
    g_autoptr(GHashTable) inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_autoptr(GHashTable) volumes = NULL;
    GHashTableIter iter;
    gpointer volume;

    if (!vt_pool_dirs(pool, false, NULL) || !vt_pool_scan(pool, &volumes, NULL))
        return;
    reseal_layers(pool, inodes);
    g_hash_table_iter_init(&iter, volumes);
    while (g_hash_table_iter_next(&iter, &volume, NULL)) {
        struct stat st;
        gint64 inode;

        if (fstatat(pool->target_fd, volume, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        inode = (gint64)st.st_ino;
        /* what somebody else put there stays as it is */
        if (g_hash_table_contains(inodes, &inode))
            reseal(pool, pool->target_fd, volume);
    }
}

/* ---- one version ---- */

bool
vt_pool_is_sealed(VtPool *pool, const char *volume, const GArray *layers)
{
    bool sealed = vt_pool_dirs(pool, false, NULL) && is_sealed(pool->target_fd, volume);

    for (guint i = 0; sealed && i < layers->len; i++) {
        char file[VT_POOL_FILE_MAX];

        vt_pool_file(&g_array_index(layers, VtDigest, i), VT_VOLUME_SUFFIX, file);
        sealed = is_sealed(pool->layers_fd, file);
    }
    return sealed;
}

void
vt_pool_reseal_version(VtPool *pool, const char *volume, const GArray *layers)
{
    vt_autofd lock = -1;

    if (!vt_pool_dirs(pool, false, NULL) || !vt_pool_lock(pool, true, &lock, NULL))
        return;
    for (guint i = 0; i < layers->len; i++) {
        char file[VT_POOL_FILE_MAX];

        vt_pool_file(&g_array_index(layers, VtDigest, i), VT_VOLUME_SUFFIX, file);
        seal_again(pool, pool->layers_fd, file);
    }
    seal_again(pool, pool->target_fd, volume);
}
