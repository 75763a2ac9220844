/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-map.c: for each frame of a layer, the places in the QCOW2 file that its blocks go to */
#include "vt-layer-map.h"

/*
 * The index says for each block of the disk where its bytes are; whoever decodes frames asks the
 * other way round. All literal extents are sorted by source and swept once: what the sweep sees for
 * the first time is primary, what it has seen before is a copy.
 */

static int
by_source(gconstpointer a, gconstpointer b)
{
    const VtExtent *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return x->guest < y->guest ? -1 : x->guest > y->guest;
}

/* Most are in order, and sorting takes its time for those, too */
static void
sort_if_needed(GArray *array, GCompareFunc compare)
{
    const guint size = g_array_get_element_size(array);
    guint i = 1;

    while (i < array->len &&
           compare(array->data + (gsize)(i - 1) * size, array->data + (gsize)i * size) <= 0)
        i++;
    if (i < array->len)
        g_array_sort(array, compare);
}

static GArray *
sorted_literals(const VtIndex *index)
{
    GArray *literals = g_array_new(false, false, sizeof(VtExtent));
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (extent.kind == VT_EXTENT_LITERAL)
            g_array_append_val(literals, extent);
    }
    sort_if_needed(literals, by_source);
    return literals;
}

/* Adds [source, source + blocks), cut at frames; an extent is contiguous in the file too */
static void
add_targets(const VtLayerMap *map, GArray *targets, uint64_t guest, const VtTarget *range)
{
    uint64_t source = range->source, left = range->blocks;

    while (left > 0) {
        VtTarget target = {.source = source,
                           .offset = vt_qcow2_layout_offset(map->layout, guest),
                           .blocks = map->frame_blocks - source % map->frame_blocks};

        target.blocks = MIN(target.blocks, left);
        g_array_append_val(targets, target);
        source += target.blocks;
        guest += target.blocks;
        left -= target.blocks;
    }
}

static int
by_target_source(gconstpointer a, gconstpointer b)
{
    const VtTarget *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void
number_frames(VtTargets *targets, uint64_t frames, uint64_t frame_blocks)
{
    guint next = 0;

    sort_if_needed(targets->all, by_target_source);
    targets->first = g_new(guint, frames + 1);
    for (uint64_t frame = 0; frame < frames; frame++) {
        while (next < targets->all->len &&
               g_array_index(targets->all, VtTarget, next).source < frame * frame_blocks)
            next++;
        targets->first[frame] = next;
    }
    targets->first[frames] = targets->all->len;
}

static bool
sweep(const VtIndex *index, VtLayerMap *map, GError **error)
{
    g_autoptr(GArray) literals = sorted_literals(index);
    uint64_t seen = 0;

    for (guint i = 0; i < literals->len; i++) {
        const VtExtent *extent = &g_array_index(literals, VtExtent, i);
        uint64_t end = extent->source + extent->length;
        uint64_t split = CLAMP(seen, extent->source, end);
        VtTarget old = {.source = extent->source, .blocks = split - extent->source};
        VtTarget new = {.source = split, .blocks = end - split};

        if (extent->source > seen)
            break;
        add_targets(map, map->copies.all, extent->guest, &old);
        add_targets(map, map->primary.all, extent->guest + old.blocks, &new);
        seen = MAX(seen, end);
    }
    if (seen != index->literal_blocks)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: literal block %" G_GUINT64_FORMAT " is used by no extent",
                        seen);
    return true;
}

static GArray *
find_moves(const VtIndex *index, const VtQcow2Layout *layout)
{
    GArray *moves = g_array_new(false, false, sizeof(VtMove));
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        VtMove move = {
            .source = extent.source, .blocks = extent.length, .ancestor = extent.ancestor};

        if (extent.kind != VT_EXTENT_ANCESTOR || vt_extent_is_inherited(&extent))
            continue;
        move.offset = vt_qcow2_layout_offset(layout, extent.guest);
        g_array_append_val(moves, move);
    }
    return moves;
}

bool
vt_layer_map_new(const VtIndex *index, const char *backing, VtLayerMap **ret_map, GError **error)
{
    g_autoptr(VtLayerMap) map = g_new0(VtLayerMap, 1);

    map->frame_blocks = index->frame_blocks;
    map->frame_count = index->frame_count;
    map->layout = vt_qcow2_layout_new(index, backing);
    map->moves = find_moves(index, map->layout);
    map->primary.all = g_array_new(false, false, sizeof(VtTarget));
    map->copies.all = g_array_new(false, false, sizeof(VtTarget));
    if (!sweep(index, map, error))
        return false;
    number_frames(&map->primary, index->frame_count, index->frame_blocks);
    number_frames(&map->copies, index->frame_count, index->frame_blocks);
    *ret_map = g_steal_pointer(&map);
    return true;
}

void
vt_layer_map_free(VtLayerMap *map)
{
    if (!map)
        return;
    vt_qcow2_layout_free(map->layout);
    g_clear_pointer(&map->primary.all, g_array_unref);
    g_clear_pointer(&map->copies.all, g_array_unref);
    g_clear_pointer(&map->moves, g_array_unref);
    g_free(map->primary.first);
    g_free(map->copies.first);
    g_free(map);
}
