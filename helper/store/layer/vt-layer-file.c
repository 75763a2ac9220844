/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-file.c: the QCOW2 file of a layer: writing its parts, reading them back */
#include "vt-layer-file.h"
#include "vt-fs.h"
#include "vt-pieces.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK VT_INDEX_BLOCK_SIZE
/* One write of metadata */
#define METADATA_WRITE (1u << 20)
G_STATIC_ASSERT(METADATA_WRITE % VT_QCOW2_LAYOUT_CLUSTER_MAX == 0);

/* The next stretch of the file that is not zero, from the extent after @iter on; false at the end
 */
static bool
next_stretch(VtExtentIter *iter, const VtQcow2Layout *layout, uint64_t ret_range[2])
{
    VtExtentIter peek = *iter;
    bool any = false;
    VtExtent extent;

    for (; vt_extent_iter_next(&peek, &extent); *iter = peek) {
        uint64_t offset;

        if (!vt_extent_is_stored(&extent))
            continue;
        offset = vt_qcow2_layout_offset(layout, extent.guest);
        if (!any)
            ret_range[0] = offset;
        else if (offset != ret_range[1])
            return true;
        ret_range[1] = offset + (uint64_t)extent.length * BLOCK;
        any = true;
    }
    return any;
}

/* Applies one mode to what is data, or to what is between. Reserving data says early that the disk
 * is full, keeps the file in one piece, and lets writes of several threads go on side by side,
 * which they cannot where each one allocates. Between, an earlier attempt must not show. */
static bool
allocate_all(int fd, const VtIndex *index, const VtQcow2Layout *layout, bool data, bool *ret_can,
             GError **error)
{
    uint64_t range[2], before = layout->metadata_clusters * layout->cluster;
    VtExtentIter iter;

    vt_extent_iter_init(&iter, index);
    while (next_stretch(&iter, layout, range)) {
        const uint64_t gap[2] = {before, range[0]};

        if (data && !vt_direct_fallocate(fd, 0, range, ret_can, error))
            return false;
        if (!data && gap[0] < gap[1] &&
            !vt_direct_fallocate(fd, FALLOC_FL_PUNCH_HOLE, gap, ret_can, error))
            return false;
        before = range[1];
    }
    if (!data && before < layout->file_size) {
        const uint64_t rest[2] = {before, layout->file_size};

        return vt_direct_fallocate(fd, FALLOC_FL_PUNCH_HOLE, rest, ret_can, error);
    }
    return true;
}

static bool
prepare_space(int fd, const VtIndex *index, const VtQcow2Layout *layout, GError **error)
{
    bool can_punch = true, can_reserve = true;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    if (st.st_size > 0 && !allocate_all(fd, index, layout, false, &can_punch, error))
        return false;
    /* Without holes there is no going on */
    if (!can_punch && ftruncate(fd, 0) < 0)
        return vt_throw_errno(error, errno, "cannot empty the layer");
    if (ftruncate(fd, (off_t)layout->file_size) < 0)
        return vt_throw_errno(error, errno, "cannot make a layer of %" G_GUINT64_FORMAT " bytes",
                              layout->file_size);
    return allocate_all(fd, index, layout, true, &can_reserve, error);
}

static bool
write_metadata(int fd, const VtQcow2Layout *layout, GError **error)
{
    const uint64_t cluster = layout->cluster, most = METADATA_WRITE / cluster;
    vt_autoaligned uint8_t *buffer = vt_aligned_new(METADATA_WRITE);
    uint64_t count;

    for (uint64_t first = 0; first < layout->metadata_clusters; first += count) {
        count = MIN(most, layout->metadata_clusters - first);
        for (uint64_t i = 0; i < count; i++)
            vt_qcow2_layout_metadata(layout, first + i, buffer + i * cluster);
        if (!vt_fs_pwrite_all(fd, buffer, count * cluster, (off_t)(first * cluster), "layer",
                              error))
            return false;
    }
    return true;
}

bool
vt_layer_file_begin(int fd, const VtIndex *index, const VtQcow2Layout *layout, GError **error)
{
    if (!prepare_space(fd, index, layout, error))
        return false;
    vt_direct_set(fd, true);
    return write_metadata(fd, layout, error);
}

void
vt_layer_file_buffer(int fd)
{
    vt_direct_set(fd, false);
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

void
vt_layer_file_locate_move(const VtMove *move, const VtChain *chain, GArray *pieces)
{
    for (uint64_t done = 0; done < move->blocks;) {
        const VtChainRun run = vt_chain_locate(chain, move->ancestor, move->source + done);
        const uint64_t count = MIN(run.blocks, move->blocks - done);

        if (run.fd >= 0)
            vt_pieces_add(pieces,
                          (VtPiece){.from = run.offset,
                                    .to = move->offset + done * BLOCK,
                                    .bytes = count * BLOCK,
                                    .fd = run.fd},
                          false);
        done += count;
    }
}

bool
vt_layer_file_copy_moves(int fd, const GArray *moves, const VtChain *chain, GError **error)
{
    g_autoptr(GArray) pieces = g_array_new(false, false, sizeof(VtPiece));
    const VtPiecesWrite request = {.fd = fd};
    uint64_t shared;

    for (guint i = 0; i < moves->len; i++)
        vt_layer_file_locate_move(&g_array_index(moves, VtMove, i), chain, pieces);
    return vt_pieces_share(fd, pieces, false, &shared, error) &&
           vt_pieces_write(&request, pieces, error);
}

bool
vt_layer_file_finish(int fd, GError **error)
{
    vt_direct_set(fd, false);
    if (fdatasync(fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the layer durable");
    return true;
}
