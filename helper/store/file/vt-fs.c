/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-fs.c: files: whole reads, durable writes, nothing half-written under a name */
#include "vt-fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

bool
vt_fs_write_all(int fd, const void *data, size_t length, const char *what, GError **error)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = write(fd, at, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vt_throw_errno(error, errno, "cannot write '%s'", what);
        at += n;
        length -= (size_t)n;
    }
    return true;
}

bool
vt_fs_pread_all(int fd, void *data, size_t length, off_t offset, const char *what, GError **error)
{
    char *at = data;

    while (length > 0) {
        ssize_t n = pread(fd, at, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vt_throw_errno(error, errno, "cannot read '%s'", what);
        if (n == 0)
            return vt_throw(error, VT_ERROR_CORRUPT, "'%s' ends %zu bytes too early", what, length);
        at += n;
        offset += n;
        length -= (size_t)n;
    }
    return true;
}

bool
vt_fs_pwrite_all(int fd, const void *data, size_t length, off_t offset, const char *what,
                 GError **error)
{
    const char *at = data;

    while (length > 0) {
        ssize_t n = pwrite(fd, at, length, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vt_throw_errno(error, errno, "cannot write '%s'", what);
        at += n;
        offset += n;
        length -= (size_t)n;
    }
    return true;
}

bool
vt_fs_read(int dir_fd, const char *path, size_t limit, GBytes **ret_bytes, GError **error)
{
    vt_autofd fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    g_autofree char *data = NULL;
    struct stat st;

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", path);
    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s'", path);
    if (!S_ISREG(st.st_mode))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' is not a regular file", path);
    if ((uint64_t)st.st_size > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' has %lld bytes, more than %zu", path,
                        (long long)st.st_size, limit);
    data = g_malloc((gsize)st.st_size + 1);
    if (!vt_fs_pread_all(fd, data, (size_t)st.st_size, 0, path, error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&data), (gsize)st.st_size);
    return true;
}

/* ".NAME.01234567.tmp" */
#define TEMPORARY_FORMAT ".%s.%08x" TEMPORARY_SUFFIX
#define TEMPORARY_SUFFIX ".tmp"
#define TEMPORARY_HEX    8

static char *
temporary_name(const char *name)
{
    return g_strdup_printf(TEMPORARY_FORMAT, name, g_random_int());
}

/* With a name for a moment. NFS, FUSE and overlays over them have no unnamed files. */
static int
open_nameless(int dir_fd, mode_t mode)
{
    g_autofree char *name = temporary_name("nameless");
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd >= 0)
        unlinkat(dir_fd, name, 0);
    return fd;
}

bool
vt_fs_tmpfile(int dir_fd, mode_t mode, int *ret_fd, GError **error)
{
    int fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);

    if (fd < 0 && errno == EOPNOTSUPP)
        fd = open_nameless(dir_fd, mode);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a temporary file");
    *ret_fd = fd;
    return true;
}

/* A file that lost its name gets none again; a copy of it can */
static bool
name_copy(int fd, int dir_fd, const char *name, GError **error)
{
    g_autofree char *temporary = temporary_name(name);
    struct stat st;
    vt_autofd copy = -1;
    loff_t at = 0;
    bool ok = true;

    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s'", name);
    copy = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 07777);
    if (copy < 0)
        return vt_throw_errno(error, errno, "cannot create '%s'", name);
    while (ok && at < st.st_size) {
        const ssize_t n = copy_file_range(fd, &at, copy, NULL, (size_t)(st.st_size - at), 0);

        ok = n > 0 || vt_throw_errno(error, n < 0 ? errno : EIO, "cannot write '%s'", name);
    }
    if (ok && (fchmod(copy, st.st_mode & 07777) < 0 || fdatasync(copy) < 0))
        ok = vt_throw_errno(error, errno, "cannot make '%s' durable", name);
    if (ok && linkat(dir_fd, temporary, dir_fd, name, 0) < 0)
        ok = vt_throw_errno(error, errno, "cannot create '%s'", name);
    unlinkat(dir_fd, temporary, 0);
    return ok;
}

bool
vt_fs_name_tmpfile(int fd, int dir_fd, const char *name, GError **error)
{
    char self[64];

    g_snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
        return true;
    if (errno == ENOENT || errno == EXDEV || errno == EOPNOTSUPP)
        return name_copy(fd, dir_fd, name, error);
    return vt_throw_errno(error, errno, "cannot create '%s'", name);
}

bool
vt_fs_link_tmpfile(int fd, int dir_fd, const char *name, GError **error)
{
    if (fdatasync(fd) < 0)
        return vt_throw_errno(error, errno, "cannot make '%s' durable", name);
    if (!vt_fs_name_tmpfile(fd, dir_fd, name, error))
        return false;
    if (fsync(dir_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the name '%s' durable", name);
    return true;
}

static bool
is_temporary(const char *name)
{
    const size_t length = strlen(name), tail = 1 + TEMPORARY_HEX + strlen(TEMPORARY_SUFFIX);
    const char *dot = name + length - MIN(length, tail);

    return name[0] == '.' && length > tail + 1 && dot[0] == '.' &&
           strspn(dot + 1, "0123456789abcdef") == TEMPORARY_HEX &&
           g_str_has_suffix(name, TEMPORARY_SUFFIX);
}

bool
vt_fs_rename_new(int from_fd, const char *from, int to_fd, const char *to)
{
    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return true;
    /* NFS and FUSE do not know the flag */
    return errno == EINVAL && linkat(from_fd, from, to_fd, to, 0) == 0 &&
           unlinkat(from_fd, from, 0) == 0;
}

bool
vt_fs_free_bytes(int fd, uint64_t *ret, GError **error)
{
    struct statvfs fs;

    if (fstatvfs(fd, &fs) < 0)
        return vt_throw_errno(error, errno, "cannot tell how much space is left");
    /* In memory, and behind some servers, there is no total */
    *ret = fs.f_blocks > 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX;
    return true;
}

DIR *
vt_fs_read_dir(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        vt_close_fd(&fd);
    return dir;
}

void
vt_fs_sweep(int dir_fd)
{
    DIR *dir = vt_fs_read_dir(dir_fd);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (is_temporary(entry->d_name))
            unlinkat(dir_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

bool
vt_fs_replace(int dir_fd, const char *name, GBytes *bytes, mode_t mode, GError **error)
{
    g_autofree char *temporary = temporary_name(name);
    gsize length = 0;
    const void *data = g_bytes_get_data(bytes, &length);
    vt_autofd fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool ok;

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot create '%s'", name);
    ok = vt_fs_write_all(fd, data, length, name, error);
    if (ok && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        ok = vt_throw_errno(error, errno, "cannot make '%s' durable", name);
    if (ok && renameat(dir_fd, temporary, dir_fd, name) < 0)
        ok = vt_throw_errno(error, errno, "cannot replace '%s'", name);
    if (!ok) {
        unlinkat(dir_fd, temporary, 0);
        return false;
    }
    if (dir_fd != AT_FDCWD && fsync(dir_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the name '%s' durable", name);
    return true;
}
