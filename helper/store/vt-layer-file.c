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

bool
vt_layer_file_begin(int fd, const VtLayerMap *map, GError **error)
{
    const uint64_t size = map->layout->file_size;
    const uint32_t cluster = VT_QCOW2_LAYOUT_CLUSTER;
    __attribute__((cleanup(vt_aligned_free))) uint8_t *buffer = vt_aligned_new(cluster);

    if (ftruncate(fd, (off_t)size) < 0)
        return vt_throw_errno(error, errno, "cannot make a layer of %" G_GUINT64_FORMAT " bytes",
                              size);
    set_direct_io(fd, true);
    for (uint64_t i = 0; i < map->layout->metadata_clusters; i++) {
        vt_qcow2_layout_metadata(map->layout, i, buffer);
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
