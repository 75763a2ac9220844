/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-index.c: no bytes make the reader of an index, or what relies on it, go wrong
 *
 * The digests of the pages are made right first: else hardly any input would get past them. A delta
 * layer is put over a small full one, whose digest it gets, too.
 */
#include "fuzz.h"
#include "vt-chain-map.h"
#include "vt-chain.h"
#include "vt-index-format.h"
#include "vt-layer-gather.h"
#include "vt-sha256.h"

/* An input that can be reproduced does not need more */
#define PAGES_TRIED 64
/* A disk of zeros has metadata without end */
#define METADATA_TRIED 64
/* Blocks of the base: literal ones, and as many zeros */
#define BASE_BLOCKS 40

static GBytes *
base_new(void)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MIN);

    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, BASE_BLOCKS);
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, BASE_BLOCKS);
    for (uint32_t i = 0; i * 16 < BASE_BLOCKS; i++) {
        const VtFrame frame = {
            .offset = i * 100, .size = 100, .blocks = MIN(16, BASE_BLOCKS - i * 16)};

        vt_index_builder_add_frame(builder, &frame);
    }
    return vt_index_builder_finish(builder);
}

static void
reseal(uint8_t *data, size_t size, GBytes *base)
{
    const uint64_t sections = get32(data + ROOT_SECTION_COUNT);
    const uint64_t pages = get32(data + ROOT_PAGE_COUNT);
    const uint64_t table = ROOT_HEADER + sections * SECTION_ENTRY;
    const uint64_t root = table + pages * PAGE_ENTRY;
    VtDigest parent;

    if (vt_index_peek_parent(data, &parent))
        vt_sha256_bytes(base, data + ROOT_PARENT);
    for (uint64_t i = 0; i < MIN(pages, PAGES_TRIED); i++) {
        VtDigest digest;

        if (root + (i + 1) * PAGE_SIZE > size)
            return;
        page_digest(data + root + i * PAGE_SIZE, &digest);
        memcpy(data + table + i * PAGE_ENTRY, digest.bytes, VT_DIGEST_BYTES);
    }
}

/* Each byte of the file stands for one thing */
static void
check_places(const VtChainMap *map, uint32_t level)
{
    const VtChainLayer *layer = &map->layers[level];

    g_assert_cmpuint(layer->first[layer->map->frame_count], ==, layer->places->len);
    for (guint i = 0; i < layer->places->len; i++) {
        const VtPlace *place = &g_array_index(layer->places, VtPlace, i);
        const VtQcow2Layout *layout = map->layers[place->layer].map->layout;

        g_assert_cmpuint(place->source + place->blocks, <=, layer->index->literal_blocks);
        g_assert_cmpuint(place->offset + (uint64_t)place->blocks * VT_INDEX_BLOCK_SIZE, <=,
                         layout->file_size);
    }
    g_assert_cmpuint(layer->bytes, <=, layer->map->layout->file_size);
}

static void
check_chain(const VtIndex *index, GBytes *base_bytes)
{
    const VtAncestor ancestor = {.index = base_bytes, .fd = -1};
    g_autoptr(VtChainMap) map = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtIndex) base = NULL;
    VtChainPart parts[2] = {{index, NULL}, {index, "/base"}};

    if (index->is_delta) {
        if (!vt_chain_new(&index->parent, &ancestor, 1, &chain, NULL) ||
            !vt_chain_check(chain, index, NULL))
            return;
        g_assert_true(vt_index_parse(base_bytes, &base, NULL));
        parts[0].index = base;
    }
    if (!vt_chain_map_new(parts, index->is_delta ? 2 : 1, &map, NULL))
        return;
    for (uint32_t i = 0; i < map->count; i++)
        check_places(map, i);
}

static void
check_gather(const VtIndex *index)
{
    g_autoptr(VtLayerGather) gather = NULL;
    g_autoptr(VtLayerMap) map = NULL;

    if (!vt_layer_map_new(index, index->is_delta ? "/base" : NULL, &map, NULL))
        return;
    gather = vt_layer_gather_new(map, index, true);
    g_assert_cmpuint(gather->alone->len + gather->beside->len, ==, map->moves->len);
    g_assert_cmpuint(gather->first[map->frame_count], ==, gather->beside->len);
}

static void
check_layout(const VtIndex *index)
{
    g_autoptr(VtQcow2Layout) layout = vt_qcow2_layout_new(index, index->is_delta ? "/base" : NULL);
    uint8_t cluster[VT_QCOW2_LAYOUT_CLUSTER_MAX];
    VtExtentIter iter;
    VtExtent extent;

    for (uint64_t i = 0; i < MIN(layout->metadata_clusters, METADATA_TRIED); i++)
        vt_qcow2_layout_metadata(layout, i, cluster);
    vt_qcow2_layout_metadata(layout, layout->metadata_clusters - 1, cluster);
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (vt_extent_is_stored(&extent))
            g_assert_cmpuint(vt_qcow2_layout_offset(layout, extent.guest), <, layout->file_size);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = g_memdup2(data, size);
    g_autoptr(GBytes) base = base_new();
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (size >= ROOT_HEADER)
        reseal(copy, size, base);
    bytes = g_bytes_new_take(copy, size);
    if (!vt_index_parse(bytes, &index, NULL))
        return 0;
    check_layout(index);
    check_gather(index);
    check_chain(index, base);
    return 0;
}
