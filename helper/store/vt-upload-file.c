/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-upload-file.c: volumes NAME-seed.iso that somebody has put something into */
#include "vt-upload-file.h"

#include "vt-fs.h"
#include "vt-seed-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REFUSED_SUFFIX ".refused"
/* ECMA-119: the first volume descriptor is in sector 16: "\1CD001" */
#define ISO_MARK_OFFSET (16 * 2048 + 1)
#define ISO_MARK        "CD001"

void
vt_upload_file_clear(VtUploadFile *file)
{
    /* with it ends the lease */
    vt_close_fd(&file->fd);
    vt_close_fd(&file->records_fd);
    vt_close_fd(&file->dir_fd);
    g_clear_pointer(&file->name, g_free);
}

static bool
open_dirs(const char *target, int *ret_dir, int *ret_records, GError **error)
{
    vt_autofd dir = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC), records = -1;

    if (dir < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", target);
    if (mkdirat(dir, VT_SEED_RECORDS_DIR, 0700) < 0 && errno != EEXIST)
        return vt_throw_errno(error, errno, "cannot make '%s/%s'", target, VT_SEED_RECORDS_DIR);
    records = openat(dir, VT_SEED_RECORDS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (records < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/%s'", target, VT_SEED_RECORDS_DIR);
    *ret_dir = vt_steal_fd(&dir);
    *ret_records = vt_steal_fd(&records);
    return true;
}

static bool
is_iso(int fd)
{
    char mark[sizeof(ISO_MARK) - 1];

    return pread(fd, mark, sizeof(mark), ISO_MARK_OFFSET) == (ssize_t)sizeof(mark) &&
           memcmp(mark, ISO_MARK, sizeof(mark)) == 0;
}

/* Whether to look into it: a file with data, which no domain has as its seed */
static bool
is_upload(int dir_fd, int records_fd, const char *name)
{
    struct stat st, record;
    vt_autofd fd = -1;

    if (*name == '.' || !g_str_has_suffix(name, VT_SEED_SUFFIX) ||
        strlen(name) == strlen(VT_SEED_SUFFIX) ||
        fstatat(records_fd, name, &record, AT_SYMLINK_NOFOLLOW) == 0)
        return false;
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
           st.st_blocks > 0 && !is_iso(fd);
}

bool
vt_upload_list(const char *target, GPtrArray **ret_names, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    vt_autofd dir_fd = -1, records_fd = -1;
    const struct dirent *entry;
    DIR *dir;
    int fd;

    if (!open_dirs(target, &dir_fd, &records_fd, error))
        return false;
    fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        vt_close_fd(&fd);
        return vt_throw_errno(error, errno, "cannot list '%s'", target);
    }
    while ((entry = readdir(dir))) {
        if (is_upload(dir_fd, records_fd, entry->d_name))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    }
    closedir(dir);
    *ret_names = g_steal_pointer(&names);
    return true;
}

/* A read lease is given only while nobody has the file open for writing; who wants to then waits
 * until we are done. Its signal is one that is ignored. */
static bool
take_lease(int fd, const char *name, GError **error)
{
    if (fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_RDLCK) == 0)
        return true;
    if (errno == EAGAIN)
        return vt_throw(error, VT_ERROR_BUSY, "'%s' is being written", name);
    /* NFS and some others have no leases: there, a refresh at the wrong moment sees half of it */
    return errno == EINVAL || errno == EOPNOTSUPP ||
           vt_throw_errno(error, errno, "cannot tell whether '%s' is being written", name);
}

bool
vt_upload_open(const char *target, const char *name, VtUploadFile *ret_file, GError **error)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    struct stat st;

    if (!open_dirs(target, &file.dir_fd, &file.records_fd, error))
        return false;
    file.fd = openat(file.dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file.fd < 0 || fstat(file.fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/%s'", target, name);
    if (!take_lease(file.fd, name, error))
        return false;
    file.name = g_strdup(name);
    file.size = (uint64_t)st.st_size;
    file.mode = st.st_mode & 07777;
    file.uid = st.st_uid;
    file.gid = st.st_gid;
    *ret_file = file;
    file = (VtUploadFile){.dir_fd = -1, .records_fd = -1, .fd = -1};
    return true;
}

bool
vt_upload_replace(const VtUploadFile *file, GBytes *image, GError **error)
{
    g_autofree char *part = g_strconcat(file->name, ".part", NULL);
    vt_autofd fd =
        openat(file->records_fd, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make '%s'", part);
    if (!vt_fs_write_all(fd, g_bytes_get_data(image, NULL), g_bytes_get_size(image), part, error))
        return false;
    if (fchown(fd, file->uid, file->gid) < 0 || fchmod(fd, file->mode) < 0 || fsync(fd) < 0 ||
        renameat(file->records_fd, part, file->dir_fd, file->name) < 0)
        return vt_throw_errno(error, errno, "cannot write '%s'", file->name);
    return true;
}

bool
vt_upload_refuse(const VtUploadFile *file, const char *reason, GError **error)
{
    g_autofree char *name = g_strconcat(file->name, REFUSED_SUFFIX, NULL);
    g_autoptr(GBytes) bytes = NULL;

    if (!reason)
        return unlinkat(file->records_fd, name, 0) == 0 || errno == ENOENT ||
               vt_throw_errno(error, errno, "cannot remove '%s'", name);
    bytes = g_bytes_new(reason, strlen(reason));
    return vt_fs_replace(file->records_fd, name, bytes, 0600, error);
}
