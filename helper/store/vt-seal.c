/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal.c: layers that nobody can alter: fs-verity, or the immutable flag */
#include "vt-seal.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Merkle tree blocks; the only size that kernels before 6.3 know on x86 */
#define VERITY_BLOCK_SIZE 4096

const char *
vt_seal_name(VtSeal seal)
{
    static const char *const names[] = {"none", "immutable", "fs-verity"};

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
    int flags = 0;

    if (!get_flags(fd, &flags))
        return VT_SEAL_NONE;
    if (flags & FS_VERITY_FL)
        return VT_SEAL_VERITY;
    return flags & FS_IMMUTABLE_FL ? VT_SEAL_IMMUTABLE : VT_SEAL_NONE;
}

/* "1" in enforcing mode; there is no such file without SELinux */
static bool
selinux_enforcing(void)
{
    vt_autofd fd = open("/sys/fs/selinux/enforce", O_RDONLY | O_CLOEXEC);
    char mode = '0';

    return fd >= 0 && read(fd, &mode, 1) == 1 && mode == '1';
}

static bool
enable_verity(int fd, int *ret_errno)
{
    struct fsverity_enable_arg arg = {
        .version = 1,
        .hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
        .block_size = VERITY_BLOCK_SIZE,
    };

    if (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) == 0 || errno == EEXIST)
        return true;
    *ret_errno = errno;
    return false;
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

void
vt_seal_apply(int fd, VtSeal *ret_seal, char **ret_reason)
{
    VtSeal now = vt_seal_query(fd);
    int verity_errno = 0;

    *ret_reason = NULL;
    *ret_seal = now;
    if (now != VT_SEAL_NONE)
        return;
    if (enable_verity(fd, &verity_errno)) {
        *ret_seal = VT_SEAL_VERITY;
        return;
    }
    if (selinux_enforcing()) {
        *ret_reason =
            g_strdup_printf("no fs-verity here (%s), and SELinux is enforcing, which rules "
                            "the immutable flag out",
                            g_strerror(verity_errno));
        return;
    }
    if (set_immutable(fd, true)) {
        *ret_seal = VT_SEAL_IMMUTABLE;
        *ret_reason = g_strdup_printf("no fs-verity here (%s)", g_strerror(verity_errno));
        return;
    }
    *ret_reason = g_strdup_printf("no fs-verity (%s) and no immutable flag (%s) here",
                                  g_strerror(verity_errno), g_strerror(errno));
}

bool
vt_seal_open(int fd, GError **error)
{
    if (vt_seal_query(fd) != VT_SEAL_IMMUTABLE)
        return true;
    if (!set_immutable(fd, false))
        return vt_throw_errno(error, errno, "cannot clear the immutable flag");
    return true;
}

bool
vt_seal_probe(int dir_fd, VtSeal *ret_seal, char **ret_reason, GError **error)
{
    vt_autofd file = -1;
    vt_autofd sealed = -1;
    char self[32];

    if (!vt_fs_tmpfile(dir_fd, 0600, &file, error))
        return false;
    if (!vt_fs_write_all(file, "probe", 5, "a file to try seals on", error))
        return false;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
    sealed = open(self, O_RDONLY | O_CLOEXEC);
    if (sealed < 0)
        return vt_throw_errno(error, errno, "cannot open '%s' again", self);
    /* fs-verity wants no writer */
    close(vt_steal_fd(&file));
    vt_seal_apply(sealed, ret_seal, ret_reason);
    return vt_seal_open(sealed, error);
}
