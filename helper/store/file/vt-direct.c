/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-direct.c: large writes past the page cache, into space that is reserved */
#include "vt-direct.h"

#include <errno.h>
#include <fcntl.h>

uint8_t *
vt_aligned_new(size_t size)
{
    void *memory = NULL;
    int result = posix_memalign(&memory, VT_DIRECT_ALIGN, size);

    g_assert(result == 0);
    return memory;
}

void
vt_direct_set(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

bool
vt_direct_fallocate(int fd, int mode, const uint64_t range[2], bool *ret_can, GError **error)
{
    int result;

    do
        result = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)range[0],
                           (off_t)(range[1] - range[0]));
    while (result < 0 && errno == EINTR);
    if (result < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return vt_throw_errno(error, errno, "cannot reserve %" G_GUINT64_FORMAT " bytes",
                              range[1] - range[0]);
    if (result < 0)
        *ret_can = false;
    return true;
}
