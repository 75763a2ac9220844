/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-disk-copy.c: the disk of a template as a file that needs no other
 *
 * Theory of operation
 *
 * The indexes of the chain say where each block of the disk is, so no QCOW2 file is parsed: the
 * disk is a list of pieces, each of them in one piece in a layer's file and in the new one. In a
 * raw file they are where the guest has them; a QCOW2 file gets the layout of a full layer.
 *
 *     layer B       | b1 |      | b2 |
 *     layer A  | a1      | a2        | a3 |        pieces: a1 b1 a2 b2 a3
 *
 * They are shared where the file system can, and copied where it cannot (vt-pieces.c).
 */
#include "vt-disk-copy.h"

#include "vt-direct.h"
#include "vt-fs.h"
#include "vt-pieces.h"
#include "vt-qcow2-layout.h"

#include <errno.h>

#define BLOCK  ((uint64_t)VT_INDEX_BLOCK_SIZE)
#define SECTOR 512u
typedef struct {
    const VtDiskCopy *request;
    VtChain *chain;
    VtQcow2Layout *layout; /* NULL: raw */
    uint64_t capacity;
    GArray *ranges; /* VtBlockRange: what has data */
    GArray *pieces; /* VtPiece */
    uint64_t total;
    uint64_t shared;
} Copier;

static void
copier_clear(Copier *copier)
{
    g_clear_pointer(&copier->chain, vt_chain_free);
    g_clear_pointer(&copier->layout, vt_qcow2_layout_free);
    g_clear_pointer(&copier->ranges, g_array_unref);
    g_clear_pointer(&copier->pieces, g_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copier, copier_clear)

/* ---- what goes where ---- */

static void
find_ranges(Copier *copier)
{
    const uint64_t blocks = vt_chain_blocks(copier->chain, 1);
    uint64_t block = 0;

    while (block < blocks) {
        const VtChainRun run = vt_chain_locate(copier->chain, 1, block);
        const VtBlockRange range = {block, MIN(run.blocks, blocks - block)};
        const guint len = copier->ranges->len;
        VtBlockRange *last = len ? &g_array_index(copier->ranges, VtBlockRange, len - 1) : NULL;

        block += range.count;
        if (run.fd < 0)
            continue;
        copier->total += range.count * BLOCK;
        if (last && last->first + last->count == range.first)
            last->count += range.count;
        else
            g_array_append_val(copier->ranges, range);
    }
}

static void
find_pieces(Copier *copier)
{
    const uint64_t blocks = vt_chain_blocks(copier->chain, 1);
    uint32_t layer = 0;
    bool only_holes = false;
    uint64_t block = 0;

    while (block < blocks) {
        const VtChainRun run = vt_chain_locate(copier->chain, 1, block);
        const uint64_t count = MIN(run.blocks, blocks - block);

        /* What one layer has under another one's zeros is no hole */
        only_holes = only_holes && run.layer == layer;
        if (run.fd >= 0) {
            const VtPiece piece = {.from = run.offset,
                                   .to = copier->layout
                                             ? vt_qcow2_layout_offset(copier->layout, block)
                                             : block * BLOCK,
                                   .bytes = count * BLOCK,
                                   .fd = run.fd};

            vt_pieces_add(copier->pieces, piece, only_holes);
            layer = run.layer;
            only_holes = true;
        }
        block += count;
    }
}

static bool
plan(Copier *copier, GError **error)
{
    const VtDiskCopy *request = copier->request;
    uint64_t disk;

    if (!vt_chain_new(&request->top, request->layers, request->layer_count, &copier->chain, error))
        return false;
    disk = vt_chain_blocks(copier->chain, 1) * BLOCK;
    copier->capacity = request->capacity ? request->capacity : disk;
    if (copier->capacity < disk || copier->capacity > VT_INDEX_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "a copy of %" G_GUINT64_FORMAT " bytes: the template has %" G_GUINT64_FORMAT
                        ", and none may have more than %" G_GUINT64_FORMAT,
                        copier->capacity, disk, VT_INDEX_CAPACITY_MAX);
    copier->capacity += -copier->capacity % SECTOR;
    find_ranges(copier);
    if (request->format == VT_DISK_QCOW2)
        copier->layout = vt_qcow2_layout_flat(copier->capacity, copier->ranges);
    find_pieces(copier);
    return true;
}

/* ---- the file ---- */

static void
report(void *user, uint64_t written)
{
    const Copier *copier = user;

    if (copier->request->progress)
        copier->request->progress(copier->request->user, copier->shared + written, copier->total);
}

static bool
share(Copier *copier, GError **error)
{
    const VtDiskCopy *request = copier->request;

    if (!vt_pieces_share(request->output_fd, copier->pieces, request->must_reflink, &copier->shared,
                         error))
        return false;
    if (copier->pieces->len > 0 && request->must_reflink)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "the file system of the copy cannot share blocks with that of the template "
                        "(XFS and btrfs can, on one file system): make it without reflink");
    report(copier, 0);
    return true;
}

/* Early, and with the figures */
static bool
check_space(const Copier *copier, GError **error)
{
    const uint64_t needed = copier->total - copier->shared;
    uint64_t left;

    if (!vt_fs_free_bytes(copier->request->output_fd, &left, error))
        return false;
    return left >= needed || vt_throw(error, VT_ERROR_NO_SPACE,
                                      "the file system of the copy has %" G_GUINT64_FORMAT
                                      " bytes left, the copy needs %" G_GUINT64_FORMAT,
                                      left, needed);
}

static bool
write_rest(Copier *copier, GError **error)
{
    const VtPiecesWrite request = {.fd = copier->request->output_fd,
                                   .reserve = true,
                                   .threads = copier->request->threads,
                                   .progress = report,
                                   .user = copier};
    bool ok;

    if (copier->pieces->len == 0)
        return true;
    if (!check_space(copier, error))
        return false;
    vt_direct_set(request.fd, true);
    ok = vt_pieces_write(&request, copier->pieces, error);
    vt_direct_set(request.fd, false);
    if (ok)
        report(copier, copier->total - copier->shared);
    return ok;
}

/* The last thing: a file without it is not taken for a disk */
static bool
write_metadata(const Copier *copier, GError **error)
{
    const uint32_t cluster = copier->layout->cluster;
    vt_autoaligned uint8_t *buffer = vt_aligned_new(cluster);

    for (uint64_t i = copier->layout->metadata_clusters; i > 0; i--) {
        vt_qcow2_layout_metadata(copier->layout, i - 1, buffer);
        if (!vt_fs_pwrite_all(copier->request->output_fd, buffer, cluster,
                              (off_t)((i - 1) * cluster), "copy", error))
            return false;
    }
    return true;
}

bool
vt_disk_copy(const VtDiskCopy *copy, GError **error)
{
    g_auto(Copier) copier = {.request = copy};
    uint64_t size;

    copier.ranges = g_array_new(false, false, sizeof(VtBlockRange));
    copier.pieces = g_array_new(false, false, sizeof(VtPiece));
    if (!plan(&copier, error))
        return false;
    size = copier.layout ? copier.layout->file_size : copier.capacity;
    if (ftruncate(copy->output_fd, (off_t)size) < 0)
        return vt_throw_errno(error, errno, "cannot make a file of %" G_GUINT64_FORMAT " bytes",
                              size);
    if (!share(&copier, error) || !write_rest(&copier, error) ||
        (copier.layout && !write_metadata(&copier, error)))
        return false;
    if (fdatasync(copy->output_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the copy durable");
    return true;
}
