/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal.c: layers that nobody can alter: fs-verity, the immutable flag, a read-only mount */
#include "vt-seal.h"

#include "vt-fs.h"
#include "vt-seal-mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

/* Merkle tree blocks; the only size that kernels before 6.3 know on x86 */
#define VERITY_BLOCK_SIZE 4096

/* The label that libvirt gives to what guests only read */
#define SELINUX_ATTRIBUTE "security.selinux"
#define SELINUX_LABEL     "system_u:object_r:virt_content_t:s0"

/* A file that was left here says nothing and hinders nobody */
#define PROBE_NAME ".virt-template-probe"

#define SELF_MAX 32

/* Also when it only warns: what is sealed now has to work when it enforces */
static bool
has_selinux(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

bool
vt_seal_holds(VtSeal seal)
{
    return seal & (VT_SEAL_IMMUTABLE | VT_SEAL_MOUNT);
}

bool
vt_seal_is_right(VtSeal seal)
{
    return vt_seal_holds(seal) && !(seal & VT_SEAL_IMMUTABLE && has_selinux());
}

const char *
vt_seal_name(VtSeal seal)
{
    static const char *const names[] = {
        [VT_SEAL_NONE] = "none",
        [VT_SEAL_IMMUTABLE] = "immutable",
        [VT_SEAL_VERITY] = "fs-verity",
        [VT_SEAL_VERITY | VT_SEAL_IMMUTABLE] = "fs-verity, immutable",
        [VT_SEAL_MOUNT] = "read-only mount",
        [VT_SEAL_MOUNT | VT_SEAL_IMMUTABLE] = "immutable, read-only mount",
        [VT_SEAL_MOUNT | VT_SEAL_VERITY] = "fs-verity, read-only mount",
        [VT_SEAL_MOUNT | VT_SEAL_VERITY | VT_SEAL_IMMUTABLE] =
            "fs-verity, immutable, read-only mount",
    };

    return names[seal];
}

static bool
get_flags(int fd, int *ret_flags)
{
    return ioctl(fd, FS_IOC_GETFLAGS, ret_flags) == 0;
}

VtSeal
vt_seal_query(int fd)
{
    VtSeal seal = vt_seal_is_mount(fd) ? VT_SEAL_MOUNT : VT_SEAL_NONE;
    int flags = 0;

    if (!get_flags(fd, &flags))
        return seal;
    if (flags & FS_VERITY_FL)
        seal |= VT_SEAL_VERITY;
    return flags & FS_IMMUTABLE_FL ? seal | VT_SEAL_IMMUTABLE : seal;
}

static bool
try_verity(int fd, int *ret_errno)
{
    struct fsverity_enable_arg arg = {
        .version = 1,
        .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
        .block_size = VERITY_BLOCK_SIZE,
    };

    *ret_errno = ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0 && errno != EEXIST ? errno : 0;
    return *ret_errno == 0;
}

/* It takes the right to write to the file, although nobody may have it open for that; an owner
 * who is not root does not have this right by a mode of 0444. What others may do stays as it is:
 * vt_pool_is_committed() goes by it. */
static bool
enable_verity(int fd, int *ret_errno)
{
    struct stat st;
    bool ok;

    if (try_verity(fd, ret_errno))
        return true;
    if (*ret_errno != EACCES || fstat(fd, &st) < 0 ||
        fchmod(fd, (st.st_mode & 07777) | S_IWUSR) < 0)
        return false;
    ok = try_verity(fd, ret_errno);
    if (fchmod(fd, st.st_mode & 07777) < 0)
        g_debug("mode of a layer: %s", g_strerror(errno)); /* hold() says it aloud */
    return ok;
}

static bool
set_immutable(int fd, bool on)
{
    int flags = 0;

    if (!get_flags(fd, &flags))
        return false;
    if (!!(flags & FS_IMMUTABLE_FL) == on)
        return true;
    flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

/* What an unsealed name has let others do to it */
static bool
restore_owner(int fd, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    if (geteuid() == 0 && (st.st_uid != 0 || st.st_gid != 0) && fchown(fd, 0, 0) < 0)
        return vt_throw_errno(error, errno, "cannot give the layer to root");
    if ((st.st_mode & 07777) != 0444 && fchmod(fd, 0444) < 0)
        return vt_throw_errno(error, errno, "cannot set the mode of the layer");
    return true;
}

/* The name by which it was opened */
static bool
get_path(int fd, char **ret_path, GError **error)
{
    g_autofree char *self = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = g_file_read_link(self, &failure);

    if (!path)
        return vt_throw(error, VT_ERROR_FAILED, "%s", failure->message);
    *ret_path = g_steal_pointer(&path);
    return true;
}

/* libvirt takes EROFS for "there is no need to relabel", so the label has to be right before */
static bool
mount_over(int fd, VtSealManager *manager, GError **error)
{
    g_autofree char *path = NULL;

    if (has_selinux() &&
        fsetxattr(fd, SELINUX_ATTRIBUTE, SELINUX_LABEL, sizeof(SELINUX_LABEL), 0) < 0 &&
        errno != EOPNOTSUPP)
        return vt_throw_errno(error, errno, "cannot label the layer '%s'", SELINUX_LABEL);
    return get_path(fd, &path, error) && vt_seal_mount(path, manager, error);
}

/* What holds owner, mode and labels */
static bool
hold(int fd, VtSealManager *manager, VtSeal *seal, char **reason)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *flag = NULL;

    if (!restore_owner(fd, &error)) {
        *reason = g_strdup(error->message);
        return false;
    }
    if (has_selinux()) {
        flag = g_strdup("SELinux rules it out");
    } else if (set_immutable(fd, true)) {
        *seal |= VT_SEAL_IMMUTABLE;
        return true;
    } else {
        flag = g_strdup(g_strerror(errno));
    }
    if (mount_over(fd, manager, &error)) {
        *seal |= VT_SEAL_MOUNT;
        return true;
    }
    *reason = g_strdup_printf("no immutable flag here (%s), and no read-only mount (%s)", flag,
                              error->message);
    return false;
}

void
vt_seal_apply(int fd, VtSealManager *manager, VtSeal *ret_seal, char **ret_reason)
{
    VtSeal seal = vt_seal_query(fd);
    int verity_errno = 0;

    *ret_reason = NULL;
    /* libvirt could not start a guest on it any more */
    if (vt_seal_holds(seal) && !vt_seal_is_right(seal) && set_immutable(fd, false))
        seal &= ~(unsigned)VT_SEAL_IMMUTABLE;
    if (!(seal & VT_SEAL_VERITY) && !vt_seal_holds(seal) && enable_verity(fd, &verity_errno))
        seal |= VT_SEAL_VERITY;
    if ((vt_seal_holds(seal) || hold(fd, manager, &seal, ret_reason)) && verity_errno)
        *ret_reason = g_strdup_printf("no fs-verity here (%s)", g_strerror(verity_errno));
    *ret_seal = seal;
}

static bool
unmount(int fd, VtSealManager *manager, GError **error)
{
    g_autofree char *path = NULL;

    return get_path(fd, &path, error) && vt_seal_unmount(path, manager, error);
}

bool
vt_seal_open(int fd, VtSealManager *manager, GError **error)
{
    const VtSeal seal = vt_seal_query(fd);

    if (seal & VT_SEAL_MOUNT && !unmount(fd, manager, error))
        return false;
    if (seal & VT_SEAL_IMMUTABLE && !set_immutable(fd, false))
        return vt_throw_errno(error, errno, "cannot clear the immutable flag");
    return true;
}

/* Of a file with a name, where there is no flag that it could keep */
static bool
probe_mount(int dir_fd, VtSealManager *manager, VtSeal *ret_seal, char **ret_reason, GError **error)
{
    vt_autofd fd = openat(dir_fd, PROBE_NAME, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
    vt_autofd again = -1;
    bool opened;

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a file to try seals on");
    g_clear_pointer(ret_reason, g_free);
    vt_seal_apply(fd, manager, ret_seal, ret_reason);
    again = openat(dir_fd, PROBE_NAME, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    opened = again < 0 || vt_seal_open(again, manager, error);
    return unlinkat(dir_fd, PROBE_NAME, 0) == 0 && opened;
}

bool
vt_seal_probe(int dir_fd, VtSeal *ret_seal, char **ret_reason, GError **error)
{
    g_autoptr(VtSealManager) manager = vt_seal_manager_new(VT_SEAL_MANAGER);
    vt_autofd file = -1;
    vt_autofd sealed = -1;
    char self[SELF_MAX];

    if (!vt_fs_tmpfile(dir_fd, 0600, &file, error))
        return false;
    if (!vt_fs_write_all(file, "probe", 5, "a file to try seals on", error))
        return false;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
    sealed = open(self, O_RDONLY | O_CLOEXEC);
    /* fs-verity wants no writer */
    close(vt_steal_fd(&file));
    if (sealed < 0)
        return probe_mount(dir_fd, manager, ret_seal, ret_reason, error);
    vt_seal_apply(sealed, manager, ret_seal, ret_reason);
    if (vt_seal_holds(*ret_seal))
        return vt_seal_open(sealed, manager, error);
    return probe_mount(dir_fd, manager, ret_seal, ret_reason, error);
}
