/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-fill.c: what a layer has in common with a disk that is here already */
#include "vt-fill.h"

#include "vt-fs.h"
#include "vt-qcow2-layout.h"

#define BLOCK VT_INDEX_BLOCK_SIZE
/* Copied at once */
#define COPY_BLOCKS 256u

/* Blocks that follow each other on the disk and are stored follow each other in the file */
static bool
fill_extent(const VtQcow2Layout *layout, const VtChain *chain, const VtExtent *extent, int fd,
            uint8_t *buffer, GError **error)
{
    const uint64_t end = extent->guest + extent->length;

    for (uint64_t block = extent->guest; block < end; block += COPY_BLOCKS) {
        const VtPrefix source = {block, (uint32_t)MIN(COPY_BLOCKS, end - block), 1};

        if (!vt_chain_read(chain, &source, buffer, error) ||
            !vt_fs_pwrite_all(fd, buffer, (size_t)source.length * BLOCK,
                              (off_t)vt_qcow2_layout_offset(layout, block), "layer", error))
            return false;
    }
    return true;
}

bool
vt_fill_layer(const VtIndex *index, const VtChain *chain, int fd, GCancellable *cancellable,
              GError **error)
{
    g_autoptr(VtQcow2Layout) layout = vt_qcow2_layout_new(index, NULL);
    g_autofree uint8_t *buffer = g_malloc((gsize)COPY_BLOCKS * BLOCK);
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return false;
        if (vt_extent_is_stored(&extent) && !fill_extent(layout, chain, &extent, fd, buffer, error))
            return false;
    }
    return true;
}
