/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_file.c: the file of a new clone, which has a hidden name until it is whole */

/* Theory of operation
 *
 * libvirtd may be killed at any time while the helper fills a file for it. So the file gets the
 * name of the volume when it is whole. Until then it is `.virt-template-new-UUID`, locked by this
 * process: that lock dies with it, whoever else has the file open. A refresh of a pool, as libvirtd
 * makes at its start, removes files of such names that nobody has locked. Where a file system has
 * no locks, they stay.
 *
 * A file without a name and a link to it would leave nothing, but libvirtd's AppArmor profile does
 * not allow that, and network file systems do not know it. In a netfs pool libvirt creates files as
 * the user that they are for, who alone may rename them where the server squashes root. There the
 * file has its name at once, as libvirt's own, and also in another pool where root may not create
 * it.
 */
#include "template_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

VIR_LOG_INIT("storage.template_file");

#define HIDDEN_PREFIX ".virt-template-new-"

/* Another libvirtd that refreshes the folder may remove a file before it is locked; not each time
 */
#define CREATE_ATTEMPTS 3

static virStorageTemplateRegistry *
virStorageTemplateFileRegistry(void)
{
    return virStorageTemplateDriverGet()->registry;
}

void
virStorageTemplateFileDisown(const char *path)
{
    virStorageTemplateRegistrySetForeign(virStorageTemplateFileRegistry(), path);
}

static int
virStorageTemplateFileExists(const char *path)
{
    virStorageTemplateFileDisown(path);
    virReportSystemError(EEXIST, "cannot create the file '%s'", path);
    return -1;
}

int
virStorageTemplateFileCheck(const char *path)
{
    struct stat sb;

    return lstat(path, &sb) < 0 ? 0 : virStorageTemplateFileExists(path);
}

static char *
virStorageTemplateFileHide(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path), *uuid = g_uuid_string_random();

    return g_strdup_printf("%s/" HIDDEN_PREFIX "%s", folder, uuid);
}

/* With owner and mode as libvirt would make it. A hidden file is made by who renames it.
 * Returns: as virFileOpenAs() */
static int
virStorageTemplateFileOpen(virStorageTemplateFile *file)
{
    const virStorageVolDef *vol = file->vol;
    int fd;
    unsigned int flags = file->hidden ? VIR_FILE_OPEN_NOFORK : VIR_FILE_OPEN_FORK;
    mode_t mode = VIR_STORAGE_DEFAULT_VOL_PERM_MODE;

    flags |= VIR_FILE_OPEN_FORCE_MODE | VIR_FILE_OPEN_FORCE_OWNER;
    if (vol->target.perms->mode != (mode_t)-1 &&
        vol->target.perms->mode != VIR_STORAGE_TEMPLATE_MODE)
        mode = vol->target.perms->mode;
    fd = virFileOpenAs(file->path, O_RDWR | O_CREAT | O_EXCL, mode, vol->target.perms->uid,
                       vol->target.perms->gid, flags);
    if (fd >= 0)
        file->fds = g_unix_fd_list_new_from_array(&fd, 1);
    return fd;
}

static void
virStorageTemplateFileUnhide(virStorageTemplateFile *file)
{
    if (file->hidden)
        virStorageTemplateRegistrySetHidden(virStorageTemplateFileRegistry(),
                                            file->vol->target.path, NULL);
    file->hidden = false;
}

static int
virStorageTemplateFileFail(int failure, const char *path)
{
    if (failure == -EEXIST)
        return virStorageTemplateFileExists(path);
    virReportSystemError(-failure, "cannot create the file '%s'", path);
    return -1;
}

/* Returns: whether it is still there. An image is locked by QEMU from byte 100 on. */
static bool
virStorageTemplateFileLock(const virStorageTemplateFile *file)
{
    int fd = *g_unix_fd_list_peek_fds(file->fds, NULL);
    int rc = virFileLock(fd, false, 0, 1, true);
    struct stat sb;

    if (rc < 0)
        VIR_DEBUG("cannot lock '%s': %s", file->path, g_strerror(-rc));
    return fstat(fd, &sb) < 0 || sb.st_nlink > 0;
}

/* @ret_here: (out): whether there is a file; if not, it may be tried again */
static int
virStorageTemplateFileTry(virStorageTemplateFile *file, bool *ret_here)
{
    const char *path = file->vol->target.path;
    int rc;

    g_free(file->path);
    file->path = file->hidden ? virStorageTemplateFileHide(path) : g_strdup(path);
    /* Before it is there: this process does not see its own lock */
    if (file->hidden)
        virStorageTemplateRegistrySetHidden(virStorageTemplateFileRegistry(), path, file->path);
    rc = virStorageTemplateFileOpen(file);
    if (file->hidden && (rc == -EACCES || rc == -EPERM)) {
        virStorageTemplateFileUnhide(file);
        *ret_here = false;
        return 0;
    }
    if (rc < 0)
        return virStorageTemplateFileFail(rc, path);
    /* As libvirt: only an empty file can be taken out of copy-on-write. Before it is locked, as
     * whoever closes a file gives up all locks of it. */
    if (file->vol->target.nocow && virFileSetCOW(file->path, VIR_TRISTATE_BOOL_NO) < 0) {
        virStorageTemplateFileRemove(file);
        return -1;
    }
    *ret_here = !file->hidden || virStorageTemplateFileLock(file);
    return 0;
}

int
virStorageTemplateFileCreate(virStoragePoolObj *pool, const virStorageVolDef *vol,
                             virStorageTemplateFile *file)
{
    bool here = false;

    *file = (virStorageTemplateFile){
        .vol = vol,
        .hidden = virStoragePoolObjGetDef(pool)->type != VIR_STORAGE_POOL_NETFS,
    };
    for (int attempt = 0; attempt < CREATE_ATTEMPTS; attempt++) {
        g_clear_object(&file->fds);
        if (virStorageTemplateFileTry(file, &here) < 0)
            return -1;
        if (here)
            return 0;
    }
    virReportError(VIR_ERR_OPERATION_FAILED, "'%s' is deleted while it is made", vol->target.path);
    return -1;
}

/* It replaces an empty file, which is there only if there was none */
static int
virStorageTemplateFileReplace(const char *from, const char *to)
{
    VIR_AUTOCLOSE fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    int failure;

    if (fd < 0)
        return -1;
    if (rename(from, to) == 0)
        return 0;
    failure = errno;
    unlink(to);
    errno = failure;
    return -1;
}

/* A second name that stays is removed by a sweep */
static int
virStorageTemplateFileLink(const char *from, const char *to)
{
    if (link(from, to) < 0)
        return -1;
    if (unlink(from) < 0)
        VIR_WARN("cannot remove '%s', which is '%s' now: %s", from, to, g_strerror(errno));
    return 0;
}

/* NFS and FUSE do not know the flag, some of FUSE no links */
static int
virStorageTemplateFileRename(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    if (virStorageTemplateFileLink(from, to) == 0)
        return 0;
    return errno == EPERM || errno == ENOTSUP || errno == ENOSYS
               ? virStorageTemplateFileReplace(from, to)
               : -1;
}

int
virStorageTemplateFileFinish(virStorageTemplateFile *file)
{
    const char *path = file->vol->target.path;

    if (!file->hidden || virStorageTemplateFileRename(file->path, path) == 0)
        return 0;
    if (errno == EEXIST)
        return virStorageTemplateFileExists(path);
    virReportSystemError(errno, "cannot rename '%s' to '%s'", file->path, path);
    return -1;
}

void
virStorageTemplateFileRemove(const virStorageTemplateFile *file)
{
    const virStoragePerms *perms = file->vol->target.perms;
    virErrorPtr saved;

    virErrorPreserveLast(&saved);
    if (virFileRemove(file->path, perms->uid, perms->gid) < 0)
        VIR_WARN("cannot remove '%s' after a failure", file->path);
    virErrorRestore(&saved);
}

void
virStorageTemplateFileClear(virStorageTemplateFile *file)
{
    virStorageTemplateFileUnhide(file);
    g_clear_object(&file->fds);
    g_clear_pointer(&file->path, g_free);
}

/* ---- what was left ---- */

static bool
virStorageTemplateFileIsHidden(const char *name)
{
    return g_str_has_prefix(name, HIDDEN_PREFIX) &&
           g_uuid_string_is_valid(name + strlen(HIDDEN_PREFIX));
}

/* Whoever makes a clone has locked it for writing */
static void
virStorageTemplateFileSweepOne(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    VIR_AUTOCLOSE fd = -1;
    struct stat sb;

    if (virStorageTemplateRegistryIsHidden(virStorageTemplateFileRegistry(), name))
        return;
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode) ||
        virFileLock(fd, true, 0, 1, false) < 0)
        return;
    if (unlink(path) < 0)
        VIR_WARN("cannot remove '%s', which was left of a clone: %s", path, g_strerror(errno));
    else
        VIR_INFO("'%s' was left of a clone", path);
}

void
virStorageTemplateFileSweep(const char *folder)
{
    g_autoptr(DIR) dir = NULL;
    struct dirent *ent;

    /* Whether there is a folder is seen by who reads it */
    if (virDirOpenQuiet(&dir, folder) < 0)
        return;
    while (virDirRead(dir, &ent, NULL) > 0) {
        if (virStorageTemplateFileIsHidden(ent->d_name))
            virStorageTemplateFileSweepOne(folder, ent->d_name);
    }
}
