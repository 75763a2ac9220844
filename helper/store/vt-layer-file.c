/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-file.c: the QCOW2 file of a layer: writing its parts, reading them back */
#include "vt-layer-file.h"
#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK VT_INDEX_BLOCK_SIZE

uint8_t *
vt_aligned_new(size_t size)
{
    void *memory = NULL;
    int result = posix_memalign(&memory, VT_DIRECT_ALIGN, size);

    g_assert(result == 0);
    return memory;
}

static void
vt_aligned_free(uint8_t **memory)
{
    free(*memory);
}

static bool
pwrite_all(int fd, const uint8_t *data, size_t length, uint64_t offset, GError **error)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return vt_throw_errno(error, n < 0 ? errno : ENOSPC,
                                  "cannot write %zu bytes at offset %" G_GUINT64_FORMAT
                                  " of the layer",
                                  length, offset);
        data += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return true;
}

/* Turning it on can fail (tmpfs): then the page cache does the work */
static void
set_direct_io(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
}

/* Reserving says early that the disk is full, keeps the file in one piece, and lets writes of
 * several threads go on side by side, which they cannot where each one allocates. */
static bool
reserve(int fd, uint64_t offset, uint64_t bytes, GError **error)
{
    int result;

    do
        result = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    while (result < 0 && errno == EINTR);
    /* Not every file system can; the writes allocate then */
    if (result < 0 && errno != EOPNOTSUPP && errno != ENOSYS)
        return vt_throw_errno(error, errno,
                              "cannot reserve %" G_GUINT64_FORMAT " bytes for the layer", bytes);
    return true;
}

/* Space for what is not zero; zeros stay holes */
static bool
reserve_data(int fd, const VtIndex *index, const VtQcow2Layout *layout, GError **error)
{
    uint64_t start = 0, end = layout->metadata_clusters * VT_QCOW2_LAYOUT_CLUSTER;
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        uint64_t offset;

        if (extent.kind == VT_EXTENT_ZERO)
            continue;
        offset = vt_qcow2_layout_offset(layout, extent.guest);
        if (offset != end) {
            if (!reserve(fd, start, end - start, error))
                return false;
            start = offset;
        }
        end = offset + (uint64_t)extent.length * BLOCK;
    }
    return reserve(fd, start, end - start, error);
}

bool
vt_layer_file_begin(int fd, const VtIndex *index, const VtQcow2Layout *layout, GError **error)
{
    const uint32_t cluster = VT_QCOW2_LAYOUT_CLUSTER;
    __attribute__((cleanup(vt_aligned_free))) uint8_t *buffer = vt_aligned_new(cluster);

    if (ftruncate(fd, (off_t)layout->file_size) < 0)
        return vt_throw_errno(error, errno, "cannot make a layer of %" G_GUINT64_FORMAT " bytes",
                              layout->file_size);
    if (!reserve_data(fd, index, layout, error))
        return false;
    set_direct_io(fd, true);
    for (uint64_t i = 0; i < layout->metadata_clusters; i++) {
        vt_qcow2_layout_metadata(layout, i, buffer);
        if (!pwrite_all(fd, buffer, cluster, i * cluster, error))
            return false;
    }
    return true;
}

bool
vt_layer_file_read_frame(int fd, const VtLayerMap *map, uint64_t frame, uint8_t *buffer,
                         GError **error)
{
    for (guint i = map->primary.first[frame]; i < map->primary.first[frame + 1]; i++) {
        const VtTarget *target = &g_array_index(map->primary.all, VtTarget, i);

        if (!vt_fs_pread_all(fd, buffer + (target->source - frame * map->frame_blocks) * BLOCK,
                             target->blocks * BLOCK, (off_t)target->offset, "layer", error))
            return false;
    }
    return true;
}

bool
vt_layer_file_finish(int fd, GError **error)
{
    set_direct_io(fd, false);
    if (fdatasync(fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the layer durable");
    return true;
}
