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
#include <sys/file.h>
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

static bool
has_name(const char *name)
{
    return *name != '.' && g_str_has_suffix(name, VT_SEED_SUFFIX) &&
           strlen(name) > strlen(VT_SEED_SUFFIX);
}

/* Whether to look into it: a file with data, which no domain has as its seed */
static bool
is_upload(int dir_fd, int records_fd, const char *name)
{
    struct stat st, record;
    vt_autofd fd = -1;

    if (fstatat(records_fd, name, &record, AT_SYMLINK_NOFOLLOW) == 0)
        return false;
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
           st.st_blocks > 0 && !is_iso(fd);
}

/* What was refused may be an ISO image by now, which nobody looks into */
static bool
forget_refusal(int records_fd, const char *name, GError **error)
{
    g_autofree char *refused = g_strconcat(name, REFUSED_SUFFIX, NULL);

    return unlinkat(records_fd, refused, 0) == 0 || errno == ENOENT || errno == ENAMETOOLONG ||
           vt_throw_errno(error, errno, "cannot remove '%s'", refused);
}

static bool
take_name(int dir_fd, int records_fd, const char *name, GPtrArray *names, GError **error)
{
    if (!has_name(name))
        return true;
    if (!is_upload(dir_fd, records_fd, name))
        return forget_refusal(records_fd, name, error);
    g_ptr_array_add(names, g_strdup(name));
    return true;
}

bool
vt_upload_list(const char *target, GPtrArray **ret_names, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    vt_autofd dir_fd = -1, records_fd = -1;
    const struct dirent *entry;
    bool ok = true;
    DIR *dir;

    if (!open_dirs(target, &dir_fd, &records_fd, error))
        return false;
    dir = vt_fs_read_dir(dir_fd);
    if (!dir)
        return vt_throw_errno(error, errno, "cannot list '%s'", target);
    while (ok && (entry = readdir(dir)))
        ok = take_name(dir_fd, records_fd, entry->d_name, names, error);
    closedir(dir);
    if (!ok)
        return false;
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

/* One thread at a time: another one may have put a seed into its place since it was opened here,
 * and somebody else's upload into that */
static bool
take_file(VtUploadFile *file, const char *name, struct stat *ret_st, GError **error)
{
    struct stat named;

    if (flock(file->fd, LOCK_EX | LOCK_NB) < 0)
        return vt_throw(error, VT_ERROR_BUSY, "'%s' is being made a seed", name);
    if (!take_lease(file->fd, name, error))
        return false;
    if (fstat(file->fd, ret_st) < 0 || fstatat(file->dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s'", name);
    return (ret_st->st_ino == named.st_ino && ret_st->st_dev == named.st_dev) ||
           vt_throw(error, VT_ERROR_BUSY, "'%s' was replaced", name);
}

bool
vt_upload_open(const char *target, const char *name, VtUploadFile *ret_file, GError **error)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    struct stat st;

    if (!open_dirs(target, &file.dir_fd, &file.records_fd, error))
        return false;
    file.fd = openat(file.dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file.fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/%s'", target, name);
    if (!take_file(&file, name, &st, error))
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

static bool
write_part(const VtUploadFile *file, int fd, const char *part, GBytes *image, GError **error)
{
    if (!vt_fs_write_all(fd, g_bytes_get_data(image, NULL), g_bytes_get_size(image), part, error))
        return false;
    if (fchown(fd, file->uid, file->gid) < 0 || fchmod(fd, file->mode) < 0 || fsync(fd) < 0 ||
        renameat(file->records_fd, part, file->dir_fd, file->name) < 0)
        return vt_throw_errno(error, errno, "cannot write '%s'", file->name);
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
    if (write_part(file, fd, part, image, error))
        return true;
    unlinkat(file->records_fd, part, 0);
    return false;
}

bool
vt_upload_refuse(const VtUploadFile *file, const char *reason, GError **error)
{
    g_autofree char *name = g_strconcat(file->name, REFUSED_SUFFIX, NULL);
    g_autoptr(GBytes) bytes = NULL;

    if (!reason)
        return forget_refusal(file->records_fd, file->name, error);
    bytes = g_bytes_new(reason, strlen(reason));
    return vt_fs_replace(file->records_fd, name, bytes, 0600, error);
}
