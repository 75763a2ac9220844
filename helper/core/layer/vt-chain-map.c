/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-chain-map.c: where the literal blocks of a chain's layers are, in all of its files
 *
 * Theory of operation
 *
 * What a layer takes from an ancestor's disk is, followed down through the extents of the layers
 * between, a literal block of some layer, or zeros. So every stored block of the chain belongs to
 * one literal block, and only literal blocks have digests.
 *
 *     layer 2:  A1:8+2 ──┐                     a place of layer 0, in the file of layer 2
 *     layer 1:  inherited │ blocks 8 and 9
 *     layer 0:  L30+2 <───┘
 */
#include "vt-chain-map.h"

#define BLOCK VT_INDEX_BLOCK_SIZE

void
vt_chain_map_free(VtChainMap *map)
{
    for (uint32_t i = 0; map && i < map->count; i++) {
        VtChainLayer *layer = &map->layers[i];

        vt_layer_map_free(layer->map);
        g_clear_pointer(&layer->places, g_array_unref);
        g_clear_pointer(&layer->zeros, g_array_unref);
        g_free(layer->first);
    }
    g_free(map);
}

static void
advance(VtPlace *place, uint32_t blocks)
{
    place->source += blocks;
    place->offset += (uint64_t)blocks * BLOCK;
    place->blocks -= blocks;
}

/* Literal blocks of layer @level, cut at frames */
static void
add_literals(VtChainMap *map, uint32_t level, const VtPlace *place)
{
    VtChainLayer *layer = &map->layers[level];
    const uint64_t frame = layer->map->frame_blocks;
    VtPlace rest = *place;

    while (rest.blocks > 0) {
        VtPlace piece = rest;

        piece.blocks = (uint32_t)MIN(rest.blocks, frame - rest.source % frame);
        g_array_append_val(layer->places, piece);
        advance(&rest, piece.blocks);
    }
}

static void
add_zeros(VtChainMap *map, const VtPlace *place)
{
    VtPlace zeros = *place;

    zeros.source = 0;
    g_array_append_val(map->layers[place->layer].zeros, zeros);
}

/* Blocks from @block on of the disk as layer @level has it are at @place. The recursion goes down,
 * at most once for each layer. */
static bool
resolve(VtChainMap *map, uint32_t level, uint64_t block, const VtPlace *place, GError **error)
{
    const VtIndex *index = map->layers[level].index;
    const uint64_t disk = index->capacity / BLOCK;
    VtPlace rest = *place;
    VtExtentIter iter;
    VtExtent extent;

    if (block < disk)
        vt_extent_iter_seek(&iter, index, block);
    while (rest.blocks > 0 && block < disk && vt_extent_iter_next(&iter, &extent)) {
        VtPlace piece = rest;

        piece.blocks = (uint32_t)MIN(rest.blocks, extent.guest + extent.length - block);
        piece.source = extent.source + (block - extent.guest);
        if (extent.kind == VT_EXTENT_LITERAL)
            add_literals(map, level, &piece);
        else if (extent.kind == VT_EXTENT_ZERO)
            add_zeros(map, &piece);
        else if (extent.ancestor > level)
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer %u of the chain takes blocks from ancestor %u, and has %u",
                            level + 1, extent.ancestor, level);
        else if (!resolve(map, level - extent.ancestor, piece.source, &piece, error))
            return false;
        advance(&rest, piece.blocks);
        block += piece.blocks;
    }
    /* behind the end of a disk */
    if (rest.blocks > 0)
        add_zeros(map, &rest);
    return true;
}

static bool
add_moves(VtChainMap *map, uint32_t level, GError **error)
{
    const GArray *moves = map->layers[level].map->moves;

    for (guint i = 0; i < moves->len; i++) {
        const VtMove *move = &g_array_index(moves, VtMove, i);
        const VtPlace place = {.offset = move->offset, .blocks = move->blocks, .layer = level};

        if (move->ancestor > level)
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer %u of the chain takes blocks from ancestor %u, and has %u",
                            level + 1, move->ancestor, level);
        if (!resolve(map, level - move->ancestor, move->source, &place, error))
            return false;
    }
    return true;
}

static void
add_copies(VtChainMap *map, uint32_t level)
{
    const GArray *copies = map->layers[level].map->copies.all;

    for (guint i = 0; i < copies->len; i++) {
        const VtTarget *copy = &g_array_index(copies, VtTarget, i);
        const VtPlace place = {copy->source, copy->offset, (uint32_t)copy->blocks, level};

        g_array_append_val(map->layers[level].places, place);
    }
}

/* Guest blocks [first, end) are in one allocated cluster */
static void
add_padding(VtChainMap *map, uint32_t level, uint64_t first, uint64_t end)
{
    const VtPlace place = {.offset = vt_qcow2_layout_offset(map->layers[level].map->layout, first),
                           .blocks = (uint32_t)(end - first),
                           .layer = level};

    add_zeros(map, &place);
}

/*
 * In a full layer, a zero extent shares its first cluster with the data before it, and its last one
 * with the data behind it; clusters between are not in the file. In a delta layer the tables say
 * that they are zeros, whatever is in the file.
 */
static void
add_paddings(VtChainMap *map, uint32_t level)
{
    const VtIndex *index = map->layers[level].index;
    const uint64_t cluster = map->layers[level].map->layout->cluster / BLOCK;
    VtExtent extent, before = {.kind = VT_EXTENT_ZERO};
    VtExtentIter iter;

    vt_extent_iter_init(&iter, index);
    for (; !index->is_delta && vt_extent_iter_next(&iter, &extent); before = extent) {
        uint64_t end = extent.guest + extent.length, head = extent.guest, tail;
        VtExtentIter peek = iter;
        VtExtent after;

        if (extent.kind != VT_EXTENT_ZERO)
            continue;
        if (before.kind != VT_EXTENT_ZERO && head % cluster) {
            head = MIN(end, (head / cluster + 1) * cluster);
            add_padding(map, level, extent.guest, head);
        }
        tail = MAX(head, end / cluster * cluster);
        if (tail < end && vt_extent_iter_next(&peek, &after) && after.kind != VT_EXTENT_ZERO)
            add_padding(map, level, tail, end);
    }
}

static int
by_source(gconstpointer a, gconstpointer b)
{
    const VtPlace *x = a, *y = b;

    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void
number_frames(VtChainLayer *layer)
{
    const uint64_t frames = layer->map->frame_count;
    guint next = 0;

    g_array_sort(layer->places, by_source);
    layer->first = g_new(guint, frames + 1);
    for (uint64_t frame = 0; frame < frames; frame++) {
        while (next < layer->places->len && g_array_index(layer->places, VtPlace, next).source <
                                                frame * layer->map->frame_blocks)
            next++;
        layer->first[frame] = next;
    }
    layer->first[frames] = layer->places->len;
}

/* To the layers whose files they are in */
static void
count_bytes(VtChainMap *map, const GArray *places)
{
    for (guint i = 0; i < places->len; i++) {
        const VtPlace *place = &g_array_index(places, VtPlace, i);

        map->layers[place->layer].bytes += (uint64_t)place->blocks * BLOCK;
    }
}

static bool
fill(VtChainMap *map, GError **error)
{
    for (uint32_t i = 0; i < map->count; i++) {
        add_copies(map, i);
        add_paddings(map, i);
        if (!add_moves(map, i, error))
            return false;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        const VtQcow2Layout *layout = map->layers[i].map->layout;

        number_frames(&map->layers[i]);
        count_bytes(map, map->layers[i].places);
        count_bytes(map, map->layers[i].zeros);
        map->layers[i].bytes += layout->metadata_clusters * layout->cluster +
                                map->layers[i].index->literal_blocks * BLOCK;
    }
    return true;
}

bool
vt_chain_map_new(const VtChainPart *parts, uint32_t count, VtChainMap **ret_map, GError **error)
{
    g_autoptr(VtChainMap) map = g_malloc0(sizeof(*map) + count * sizeof(VtChainLayer));

    for (; map->count < count; map->count++) {
        VtChainLayer *layer = &map->layers[map->count];

        layer->index = parts[map->count].index;
        if (!vt_layer_map_new(layer->index, parts[map->count].backing, &layer->map, error))
            return false;
        layer->places = g_array_new(false, false, sizeof(VtPlace));
        layer->zeros = g_array_new(false, false, sizeof(VtPlace));
    }
    if (!fill(map, error))
        return false;
    *ret_map = g_steal_pointer(&map);
    return true;
}
