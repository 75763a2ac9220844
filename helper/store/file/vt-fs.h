/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-fs.h: files: whole reads, durable writes, nothing half-written under a name */
#pragma once

#include "vt-error.h"

#include <dirent.h>
#include <stdint.h>

#include <sys/types.h>
#include <unistd.h>

/** vt_autofd: An int that closes itself; start with -1, give away with vt_steal_fd() */
static inline void
vt_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
#define vt_autofd __attribute__((cleanup(vt_close_fd))) int

/** vt_steal_fd: Returns: *@fd, which becomes -1 */
static inline int
vt_steal_fd(int *fd)
{
    int stolen = *fd;

    *fd = -1;
    return stolen;
}

/** vt_fs_write_all: Writes @length bytes; @what names the file in the error */
bool vt_fs_write_all(int fd, const void *data, size_t length, const char *what, GError **error);

/** vt_fs_pread_all: Reads exactly @length bytes at @offset; %VT_ERROR_CORRUPT when there are fewer
 */
bool vt_fs_pread_all(int fd, void *data, size_t length, off_t offset, const char *what,
                     GError **error);

/** vt_fs_pwrite_all: Writes @length bytes at @offset; @what names the file in the error */
bool vt_fs_pwrite_all(int fd, const void *data, size_t length, off_t offset, const char *what,
                      GError **error);

/**
 * vt_fs_read:
 * @dir_fd: directory fd, or AT_FDCWD
 * @path: a regular file; its last part must not be a symbolic link
 * @limit: bytes; more is %VT_ERROR_TOO_LARGE
 * @ret_bytes: (out) (transfer full)
 */
bool vt_fs_read(int dir_fd, const char *path, size_t limit, GBytes **ret_bytes, GError **error);

/** vt_fs_tmpfile: @ret_fd: (out): an unnamed file in @dir_fd, opened read-write. Where a file
 * system has none, it may not be possible to open /proc/self/fd/@ret_fd again */
bool vt_fs_tmpfile(int dir_fd, mode_t mode, int *ret_fd, GError **error);

/** vt_fs_name_tmpfile: Gives the unnamed file @fd, or a copy of it where that cannot be, a name in
 *  @dir_fd. Never replaces: %VT_ERROR_EXISTS. */
bool vt_fs_name_tmpfile(int fd, int dir_fd, const char *name, GError **error);

/** vt_fs_link_tmpfile: Makes the data durable, then vt_fs_name_tmpfile(), and makes the name
 * durable */
bool vt_fs_link_tmpfile(int fd, int dir_fd, const char *name, GError **error);

/** vt_fs_rename_new: rename() that never replaces. Stopped in the middle it may leave both names.
 *  Returns: whether it was done; errno says why not */
bool vt_fs_rename_new(int from_fd, const char *from, int to_fd, const char *to);

/** vt_fs_free_bytes: @ret: what an unprivileged user may still write where @fd is; UINT64_MAX where
 * the file system does not tell */
bool vt_fs_free_bytes(int fd, uint64_t *ret, GError **error);

/** vt_fs_read_dir: Returns: (nullable): the entries of an open directory; errno says why not */
DIR *vt_fs_read_dir(int dir_fd);

/** vt_fs_sweep: Removes from a directory what vt_fs_replace() of any name left when it was
 *  interrupted; the caller knows that none goes on there now */
void vt_fs_sweep(int dir_fd);

/** vt_fs_replace: Makes @name hold @bytes, old or new but nothing between, durable */
bool vt_fs_replace(int dir_fd, const char *name, GBytes *bytes, mode_t mode, GError **error);
