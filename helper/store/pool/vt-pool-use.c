/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-use.c: what the layers of a pool take of its disk */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

/* Regular files in @dir_fd; -1: there is no such directory yet. @count: (nullable) */
static bool
add_files(int dir_fd, const char *suffix, uint64_t *bytes, uint64_t *count, GError **error)
{
    DIR *dir = dir_fd < 0 ? NULL : vt_fs_read_dir(dir_fd);
    const struct dirent *entry;

    if (!dir)
        return dir_fd < 0 || vt_throw_errno(error, errno, "cannot list a directory of the pool");
    while ((entry = readdir(dir))) {
        struct stat st;

        if (!g_str_has_suffix(entry->d_name, suffix) ||
            fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        *bytes += (uint64_t)st.st_blocks * 512;
        if (count)
            *count += 1;
    }
    closedir(dir);
    return true;
}

bool
vt_pool_measure(VtPool *pool, VtPoolUse *ret_use, GError **error)
{
    g_autoptr(GHashTable) volumes = NULL;
    VtPoolUse use = {0};
    struct statvfs fs;

    /* Those that are not there yet have nothing in them */
    (void)vt_pool_dirs(pool, false, NULL);
    if (!vt_pool_scan(pool, &volumes, error) ||
        !add_files(pool->layers_fd, VT_VOLUME_SUFFIX, &use.layer_bytes, &use.layers, error) ||
        !add_files(pool->partial_fd, "", &use.partial_bytes, NULL, error))
        return false;
    if (fstatvfs(pool->target_fd, &fs) < 0)
        return vt_throw_errno(error, errno, "cannot tell the space in '%s'", pool->target);
    use.versions = g_hash_table_size(volumes);
    use.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    *ret_use = use;
    return true;
}
