/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-chain.c: the layers below a delta layer, as their files have them
 *
 * Theory of operation
 *
 * Ancestor 1 is the parent. A block of an ancestor's disk is zeros, or in the ancestor's file at
 * the place that its layout gives, or inherited: then it is the same block of the next ancestor.
 */
#include "vt-chain.h"

#include "vt-fs.h"
#include "vt-qcow2-layout.h"
#include "vt-sha256.h"

#include <inttypes.h>
#include <string.h>

#define BLOCK VT_INDEX_BLOCK_SIZE

typedef struct {
    VtIndex *index;
    VtQcow2Layout *layout;
    int fd;
} Layer;

struct VtChain {
    uint32_t count;
    Layer layers[]; /* the parent first */
};

void
vt_chain_free(VtChain *chain)
{
    for (uint32_t i = 0; chain && i < chain->count; i++) {
        vt_qcow2_layout_free(chain->layers[i].layout);
        vt_index_free(chain->layers[i].index);
    }
    g_free(chain);
}

static bool
add_layer(VtChain *chain, const VtDigest *wanted, const VtAncestor *ancestor, GError **error)
{
    const uint32_t number = chain->count + 1;
    Layer *layer = &chain->layers[chain->count];
    char named[VT_DIGEST_STRING_MAX], found[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    vt_sha256_bytes(ancestor->index, digest.bytes);
    if (!wanted || !vt_digest_equal(&digest, wanted))
        return vt_throw(error, VT_ERROR_INVALID,
                        "ancestor %u is layer %s, but the layer above it %s%s", number,
                        vt_digest_format(&digest, found), wanted ? "names " : "is a full layer",
                        wanted ? vt_digest_format(wanted, named) : "");
    if (!vt_index_parse(ancestor->index, &layer->index, error)) {
        g_prefix_error(error, "ancestor %u: ", number);
        return false;
    }
    /* its path is in the header only */
    layer->layout = vt_qcow2_layout_new(layer->index, NULL);
    layer->fd = ancestor->fd;
    chain->count++;
    return true;
}

/* An inherited extent may go on behind the parent's end */
static bool
check_source(const VtChain *chain, const VtPrefix *source, bool inherited, GError **error)
{
    uint64_t blocks;

    if (source->ancestor > chain->count)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the layer takes blocks from ancestor %u, and has %u", source->ancestor,
                        chain->count);
    blocks = chain->layers[source->ancestor - 1].index->capacity / BLOCK;
    return inherited || (source->source <= blocks && source->length <= blocks - source->source) ||
           vt_throw(error, VT_ERROR_INVALID,
                    "the layer takes blocks %" PRIu64 " to %" PRIu64 " from ancestor %u, which has "
                    "%" PRIu64,
                    source->source, source->source + source->length, source->ancestor, blocks);
}

bool
vt_chain_check(const VtChain *chain, const VtIndex *index, GError **error)
{
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        const VtPrefix source = {extent.source, extent.length, extent.ancestor};

        if (extent.kind == VT_EXTENT_ANCESTOR &&
            !check_source(chain, &source, vt_extent_is_inherited(&extent), error))
            return false;
    }
    for (uint64_t i = 0; i < index->prefix_count; i++) {
        VtPrefix prefix;

        vt_index_prefix(index, i, &prefix);
        if (!check_source(chain, &prefix, false, error))
            return false;
    }
    return true;
}

/* What the layers take from those below them; read from the lowest up, a chain is a part of itself
 */
static bool
check_layers(const VtChain *chain, GError **error)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        VtExtentIter iter;
        VtExtent extent;

        vt_extent_iter_init(&iter, chain->layers[i].index);
        while (vt_extent_iter_next(&iter, &extent)) {
            if (extent.kind == VT_EXTENT_ANCESTOR && extent.ancestor > chain->count - i - 1)
                return vt_throw(error, VT_ERROR_INVALID,
                                "ancestor %u takes blocks from a layer %u below it, and has %u",
                                i + 1, extent.ancestor, chain->count - i - 1);
        }
    }
    return true;
}

bool
vt_chain_new(const VtDigest *top, const VtAncestor *ancestors, uint32_t count, VtChain **ret_chain,
             GError **error)
{
    g_autoptr(VtChain) chain = g_malloc0(sizeof(*chain) + count * sizeof(Layer));
    const VtDigest *wanted = top;

    for (uint32_t i = 0; i < count; i++) {
        const VtIndex *index;

        if (!add_layer(chain, wanted, &ancestors[i], error))
            return false;
        index = chain->layers[i].index;
        wanted = index->is_delta ? &index->parent : NULL;
    }
    if (wanted)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the lowest layer of the chain, %u below the top, is a delta layer: its "
                        "parent is missing",
                        count);
    if (!check_layers(chain, error))
        return false;
    *ret_chain = g_steal_pointer(&chain);
    return true;
}

uint64_t
vt_chain_data_blocks(const VtChain *chain)
{
    uint64_t blocks = 0;

    for (uint32_t i = 0; i < chain->count; i++)
        blocks += chain->layers[i].index->data_blocks;
    return blocks;
}

uint64_t
vt_chain_blocks(const VtChain *chain, uint32_t ancestor)
{
    return ancestor > 0 && ancestor <= chain->count
               ? chain->layers[ancestor - 1].index->capacity / BLOCK
               : 0;
}

VtChainRun
vt_chain_locate(const VtChain *chain, uint32_t ancestor, uint64_t block)
{
    uint64_t limit = UINT64_MAX - block;

    for (uint32_t number = ancestor; number <= chain->count; number++) {
        const Layer *layer = &chain->layers[number - 1];
        VtExtentIter iter;
        VtExtent extent;

        if (block >= layer->index->capacity / BLOCK)
            break;
        vt_extent_iter_seek(&iter, layer->index, block);
        vt_extent_iter_next(&iter, &extent);
        limit = MIN(limit, extent.guest + extent.length - block);
        if (extent.kind == VT_EXTENT_ZERO)
            return (VtChainRun){.blocks = limit, .fd = -1, .layer = number};
        if (!vt_extent_is_inherited(&extent))
            return (VtChainRun){limit, vt_qcow2_layout_offset(layer->layout, block), layer->fd,
                                number};
    }
    return (VtChainRun){.blocks = limit, .fd = -1};
}

bool
vt_chain_read(const VtChain *chain, const VtPrefix *source, uint8_t *buffer, GError **error)
{
    const uint64_t end = source->source + source->length;
    uint64_t block = source->source;

    while (block < end) {
        const VtChainRun run = vt_chain_locate(chain, source->ancestor, block);
        const uint64_t blocks = MIN(run.blocks, end - block);

        if (run.fd < 0)
            memset(buffer, 0, blocks * BLOCK);
        else if (!vt_fs_pread_all(run.fd, buffer, blocks * BLOCK, (off_t)run.offset, "layer",
                                  error))
            return false;
        buffer += blocks * BLOCK;
        block += blocks;
    }
    return true;
}

uint64_t
vt_chain_zeros(const VtChain *chain, uint32_t ancestor, uint64_t block)
{
    uint64_t at = block;
    VtChainRun run;

    for (;;) {
        run = vt_chain_locate(chain, ancestor, at);
        if (run.fd >= 0)
            return at - block;
        if (run.layer == 0 && run.blocks == UINT64_MAX - at)
            return UINT64_MAX - block;
        at += run.blocks;
    }
}

/* @range: (out): the next blocks from @block on that the layer above @ancestor hides; all for the
 * parent, which no layer is above yet */
static bool
next_hidden(const VtChain *chain, uint32_t ancestor, uint64_t block, uint64_t range[2])
{
    const VtIndex *above = ancestor > 1 ? chain->layers[ancestor - 2].index : NULL;
    const uint64_t disk = vt_chain_blocks(chain, ancestor);
    const uint64_t covered = above ? above->capacity / BLOCK : 0;
    VtExtentIter iter;
    VtExtent extent;

    range[0] = MAX(block, covered);
    range[1] = disk;
    if (block < covered)
        vt_extent_iter_seek(&iter, above, block);
    while (block < covered && vt_extent_iter_next(&iter, &extent)) {
        if (vt_extent_is_inherited(&extent))
            continue;
        range[0] = MAX(block, extent.guest);
        range[1] = MIN(extent.guest + extent.length, disk);
        break;
    }
    return range[0] < range[1];
}

bool
vt_chain_next_data(const VtChain *chain, VtPrefix *place, uint32_t max)
{
    uint64_t range[2] = {place->source + place->length}, zeros;

    do {
        if (!next_hidden(chain, place->ancestor, range[0], range))
            return false;
        zeros = vt_chain_zeros(chain, place->ancestor, range[0]);
        range[0] += zeros;
    } while (zeros > 0);
    place->source = range[0];
    place->length = (uint32_t)MIN(max, range[1] - range[0]);
    return true;
}
