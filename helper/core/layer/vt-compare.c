/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-compare.c: where two disks differ, by the indexes of their layers alone
 *
 * Theory of operation. A block of a disk is followed down its chain, through whatever ancestors and
 * places it was taken from, to zeros or to a block of some layer's frames. Two blocks that end at
 * the same place are equal. If they end in frames of two layers, the digests of the frames'
 * contents tell, when the blocks are at the same place in these. Each level remembers the extent
 * that it was asked for last: a disk is walked in order, and so mostly are those below it.
 */
#include "vt-compare.h"

#include <inttypes.h>

typedef struct {
    const VtIndex *index;
    VtExtentIter iter;
    VtExtent extent; /* length 0: none yet */
} Level;

struct VtDisk {
    uint32_t count;
    Level levels[]; /* the top first */
};

VtDisk *
vt_disk_new(const VtIndex *const *layers, uint32_t count)
{
    VtDisk *disk = g_malloc0(sizeof(*disk) + count * sizeof(Level));

    disk->count = count;
    for (uint32_t i = 0; i < count; i++)
        disk->levels[i].index = layers[i];
    return disk;
}

void
vt_disk_free(VtDisk *disk)
{
    g_free(disk);
}

static uint64_t
blocks_of(const Level *level)
{
    return level->index->capacity / VT_INDEX_BLOCK_SIZE;
}

uint64_t
vt_disk_blocks(const VtDisk *disk)
{
    return blocks_of(&disk->levels[0]);
}

/* The extent of @level that has @block, which is on its disk */
static const VtExtent *
find_extent(Level *level, uint64_t block)
{
    const uint64_t end = level->extent.guest + level->extent.length;

    if (block >= level->extent.guest && block < end)
        return &level->extent;
    if (level->extent.length == 0 || block != end)
        vt_extent_iter_seek(&level->iter, level->index, block);
    vt_extent_iter_next(&level->iter, &level->extent);
    return &level->extent;
}

bool
vt_disk_run(VtDisk *disk, uint64_t block, VtDiskRun *ret_run, GError **error)
{
    VtDiskRun run = {.length = UINT64_MAX};
    uint64_t at = block;

    for (uint32_t number = 0; number < disk->count;) {
        Level *level = &disk->levels[number];
        const VtExtent *extent;

        /* what is behind the end of an ancestor's disk reads as zeros */
        if (at >= blocks_of(level)) {
            *ret_run = run;
            return true;
        }
        extent = find_extent(level, at);
        run.length = MIN(run.length, extent->guest + extent->length - at);
        if (extent->kind != VT_EXTENT_ANCESTOR) {
            run.layer = extent->kind == VT_EXTENT_LITERAL ? level->index : NULL;
            run.literal = run.layer ? extent->source + (at - extent->guest) : 0;
            *ret_run = run;
            return true;
        }
        at = extent->source + (at - extent->guest);
        number += extent->ancestor;
    }
    return vt_throw(error, VT_ERROR_INVALID,
                    "block %" PRIu64 " of the disk is taken from a layer that is not in the chain "
                    "of %u",
                    block, disk->count);
}

/* Cuts both to what lies in one frame each; whether these are known to have the same content */
static bool
same_frames(VtDiskRun *a, VtDiskRun *b)
{
    VtDiskRun *const runs[] = {a, b};
    uint64_t places[2];
    VtFrame frames[2];

    for (size_t i = 0; i < G_N_ELEMENTS(runs); i++) {
        const uint32_t size = runs[i]->layer->frame_blocks;

        places[i] = runs[i]->literal % size;
        runs[i]->length = MIN(runs[i]->length, size - places[i]);
        vt_index_frame(runs[i]->layer, runs[i]->literal / size, &frames[i]);
    }
    return places[0] == places[1] &&
           vt_digest_equal(&frames[0].content_digest, &frames[1].content_digest);
}

static bool
same_source(VtDiskRun *a, VtDiskRun *b)
{
    if (!a->layer || !b->layer)
        return a->layer == b->layer;
    if (a->layer == b->layer && a->literal == b->literal)
        return true;
    return same_frames(a, b);
}

bool
vt_compare_disks(VtDisk *a, VtDisk *b, VtCompareDiffers differs, void *user, GError **error)
{
    const uint64_t end = MIN(vt_disk_blocks(a), vt_disk_blocks(b));
    VtDiskRun of_a, of_b;
    uint64_t length;

    for (uint64_t block = 0; block < end; block += length) {
        bool same;

        if (!vt_disk_run(a, block, &of_a, error) || !vt_disk_run(b, block, &of_b, error))
            return false;
        same = same_source(&of_a, &of_b);
        length = MIN(MIN(of_a.length, of_b.length), end - block);
        if (!same && !differs(user, block, length, error))
            return false;
    }
    return true;
}
