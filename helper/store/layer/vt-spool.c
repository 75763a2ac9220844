/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-spool.c: room for a blob on its way to or from a registry */
#include "vt-spool.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* On disk, unlike /tmp: a blob has up to 256 MiB */
#define SPOOL_DIR "/var/tmp"

static bool
open_in(const char *path, int *ret_fd)
{
    vt_autofd dir_fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    return dir_fd >= 0 && vt_fs_tmpfile(dir_fd, 0600, ret_fd, NULL);
}

bool
vt_spool_open(int *ret_fd, GError **error)
{
    return open_in(g_getenv("TMPDIR"), ret_fd) || open_in(SPOOL_DIR, ret_fd) ||
           vt_spool_in_memory(ret_fd, error);
}

bool
vt_spool_in_memory(int *ret_fd, GError **error)
{
    const int fd = memfd_create("vt-spool", MFD_CLOEXEC);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a temporary file");
    *ret_fd = fd;
    return true;
}
