/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-salvage.c: what can still be read of a damaged file goes into a new one */
#include "vt-salvage.h"

#include "vt-fs.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Copied at once; bytes */
#define CHUNK (1u << 20)
/* What cannot be read is found with this precision: no disk has larger sectors */
#define SECTOR 4096u

typedef struct {
    int from;
    int to;
    uint8_t *buffer;
} Copy;

static bool
check_space(const struct stat *from, int to, GError **error)
{
    const uint64_t needed = (uint64_t)from->st_blocks * 512;
    uint64_t left;

    if (!vt_fs_free_bytes(to, &left, error))
        return false;
    return left >= needed ||
           vt_throw(error, VT_ERROR_NO_SPACE,
                    "a copy of the damaged layer needs %" G_GUINT64_FORMAT
                    " bytes, its file system has %" G_GUINT64_FORMAT " left: free some",
                    needed, left);
}

static bool
write_all(const Copy *copy, size_t length, off_t offset, GError **error)
{
    size_t done = 0;

    while (done < length) {
        ssize_t n = pwrite(copy->to, copy->buffer + done, length - done, offset + (off_t)done);

        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return vt_throw_errno(error, n < 0 ? errno : ENOSPC, "cannot copy the damaged layer");
    }
    return true;
}

/* [@offset, @offset + @length), at most a chunk; sector by sector where the disk has an error */
static bool
copy_chunk(const Copy *copy, off_t offset, size_t length, GError **error)
{
    const off_t end = offset + (off_t)length;
    ssize_t n = pread(copy->from, copy->buffer, length, offset);

    if (n == (ssize_t)length)
        return write_all(copy, length, offset, error);
    for (; offset < end; offset += SECTOR) {
        n = pread(copy->from, copy->buffer, (size_t)MIN(end - offset, SECTOR), offset);
        if (n > 0 && !write_all(copy, (size_t)n, offset, error))
            return false;
    }
    return true;
}

static bool
copy_data(const Copy *copy, off_t size, bool (*go_on)(void *user), void *user, GError **error)
{
    off_t at = 0;

    while (at < size) {
        const off_t data = lseek(copy->from, at, SEEK_DATA);
        const bool none = data < 0 && errno == ENXIO;
        off_t hole = data < 0 ? -1 : lseek(copy->from, data, SEEK_HOLE);

        if (none)
            break;
        /* A file system that cannot tell holes has data only */
        hole = hole < 0 ? size : hole;
        for (at = MAX(data, at); at < hole; at += CHUNK) {
            if (!go_on(user))
                return vt_throw(error, VT_ERROR_FAILED, "the copy was stopped");
            if (!copy_chunk(copy, at, (size_t)MIN(hole - at, CHUNK), error))
                return false;
        }
        at = hole;
    }
    return true;
}

bool
vt_salvage(int from, int to, bool (*go_on)(void *user), void *user, GError **error)
{
    g_autofree uint8_t *buffer = NULL;
    struct stat st;

    if (ioctl(to, FICLONE, from) == 0)
        return true;
    if (fstat(from, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the damaged layer");
    if (!check_space(&st, to, error))
        return false;
    if (ftruncate(to, st.st_size) < 0)
        return vt_throw_errno(error, errno, "cannot make a copy of the damaged layer");
    buffer = g_malloc(CHUNK);
    return copy_data(&(const Copy){from, to, buffer}, st.st_size, go_on, user, error);
}
