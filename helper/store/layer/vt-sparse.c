/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-sparse.c: files that are mostly holes */
#include "vt-sparse.h"

#include "vt-fs.h"

#include <errno.h>
#include <string.h>

#define BLOCK 4096u

bool
vt_sparse_is_zero(const void *data, size_t length)
{
    const char *at = data;

    /* What equals itself moved by one byte, and starts with 0, is all 0; memcmp() is fast */
    return length == 0 || (at[0] == 0 && memcmp(at, at + 1, length - 1) == 0);
}

bool
vt_sparse_write(int fd, GBytes *bytes, uint64_t file_size, const char *what, GError **error)
{
    gsize length = 0;
    const uint8_t *data = g_bytes_get_data(bytes, &length);

    if (ftruncate(fd, (off_t)file_size) < 0)
        return vt_throw_errno(error, errno, "cannot extend '%s'", what);
    for (size_t at = 0; at < length; at += BLOCK) {
        size_t here = MIN(length - at, BLOCK);

        if (!vt_sparse_is_zero(data + at, here) &&
            !vt_fs_pwrite_all(fd, data + at, here, (off_t)at, what, error))
            return false;
    }
    return true;
}
