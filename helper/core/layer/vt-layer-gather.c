/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-gather.c: which moved blocks are written together with the literal blocks beside them
 *
 * Theory of operation
 *
 * In the file of a delta, short runs of literal blocks and of moved ones lie side by side. Written
 * by different threads, each would be a write of its own, and past the page cache a write costs
 * much, whatever its length. So a short move goes with the frame whose blocks it touches, or to
 * which another such move, or a copy, leads:
 *
 *     file    | frame 3 | move | move | copy | move |     | move | frame 4 |  long move  |
 *     goes         3       3      3             3             4       4         alone
 */
#include "vt-layer-gather.h"

#define BLOCK VT_INDEX_BLOCK_SIZE
/* A frame takes along so much in each direction at most, in bytes: the rest is for other threads */
#define SIDE_MAX (256u << 10)
#define NO_FRAME UINT64_MAX

/* Part of the file: what an extent takes from a frame or an ancestor. @first, @last: frames with
 * which what is before it, and behind it, is written; %NO_FRAME: none */
typedef struct {
    uint64_t offset;
    uint64_t bytes;
    uint64_t first;
    uint64_t last;
    const VtMove *move; /* (nullable): %NULL for literal blocks */
} Part;

/* Frames were filled in the order of the disk, so literal blocks of before what was seen last are
 * a copy. Where an index says otherwise, more writes are needed. */
static void
add_literals(GArray *parts, const VtLayerMap *map, const VtExtent *extent, uint64_t *seen)
{
    const uint64_t end = extent->source + extent->length;
    Part part = {.offset = vt_qcow2_layout_offset(map->layout, extent->guest),
                 .bytes = (uint64_t)extent->length * BLOCK,
                 .first = NO_FRAME,
                 .last = NO_FRAME};

    if (extent->source >= *seen) {
        part.first = extent->source / map->frame_blocks;
        part.last = (end - 1) / map->frame_blocks;
        *seen = end;
    }
    g_array_append_val(parts, part);
}

static void
add_move(GArray *parts, const VtMove *move)
{
    const Part part = {.offset = move->offset,
                       .bytes = (uint64_t)move->blocks * BLOCK,
                       .first = NO_FRAME,
                       .last = NO_FRAME,
                       .move = move};

    g_array_append_val(parts, part);
}

/* In the order of the disk, which is that of the file */
static GArray *
list_parts(const VtLayerMap *map, const VtIndex *index)
{
    GArray *parts = g_array_new(false, false, sizeof(Part));
    uint64_t seen = 0;
    guint moves = 0;
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (!vt_extent_is_stored(&extent))
            continue;
        if (extent.kind == VT_EXTENT_LITERAL)
            add_literals(parts, map, &extent, &seen);
        else
            add_move(parts, &g_array_index(map->moves, VtMove, moves++));
    }
    return parts;
}

static bool
touch(const Part *a, const Part *b)
{
    return a->offset + a->bytes == b->offset || b->offset + b->bytes == a->offset;
}

/* Gives the moves behind literal blocks, or those before them, to their frame */
static void
spread(GArray *parts, bool backward)
{
    uint64_t frame = NO_FRAME, owner = NO_FRAME, taken = 0;
    const Part *last = NULL;

    for (guint i = 0; i < parts->len; i++) {
        Part *part = &g_array_index(parts, Part, backward ? parts->len - 1 - i : i);

        if (last && !touch(last, part))
            frame = NO_FRAME;
        if (part->first != NO_FRAME) {
            frame = backward ? part->first : part->last;
            if (frame != owner)
                taken = 0;
            owner = frame;
        } else if (part->move) {
            if (part->bytes >= VT_LAYER_GATHER_ALONE_MIN || taken + part->bytes > SIDE_MAX)
                frame = NO_FRAME;
            if (frame != NO_FRAME)
                taken += part->bytes;
            part->first = part->last = frame;
        }
        last = part;
    }
}

/* Counts, and then puts each where those of the frames before it end */
static void
sort_by_frame(VtLayerGather *gather, const GArray *parts, uint64_t frame_count)
{
    g_autofree guint *next = g_new0(guint, frame_count + 1);

    for (guint i = 0; i < parts->len; i++) {
        const Part *part = &g_array_index(parts, Part, i);

        if (part->move && part->first != NO_FRAME)
            gather->first[part->first + 1]++;
    }
    for (uint64_t frame = 0; frame < frame_count; frame++) {
        gather->first[frame + 1] += gather->first[frame];
        next[frame] = gather->first[frame];
    }
    g_array_set_size(gather->beside, gather->first[frame_count]);
    for (guint i = 0; i < parts->len; i++) {
        const Part *part = &g_array_index(parts, Part, i);

        if (part->move && part->first != NO_FRAME)
            g_array_index(gather->beside, VtMove, next[part->first]++) = *part->move;
        else if (part->move)
            g_array_append_vals(gather->alone, part->move, 1);
    }
}

VtLayerGather *
vt_layer_gather_new(const VtLayerMap *map, const VtIndex *index, bool together)
{
    VtLayerGather *gather = g_new0(VtLayerGather, 1);
    g_autoptr(GArray) parts = list_parts(map, index);

    gather->alone = g_array_new(false, false, sizeof(VtMove));
    gather->beside = g_array_new(false, false, sizeof(VtMove));
    gather->first = g_new0(guint, map->frame_count + 1);
    if (together) {
        spread(parts, false);
        spread(parts, true);
    }
    sort_by_frame(gather, parts, map->frame_count);
    return gather;
}

void
vt_layer_gather_free(VtLayerGather *gather)
{
    if (!gather)
        return;
    g_clear_pointer(&gather->alone, g_array_unref);
    g_clear_pointer(&gather->beside, g_array_unref);
    g_free(gather->first);
    g_free(gather);
}
