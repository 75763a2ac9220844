/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ancestry.c: which blocks the ancestors of a delta layer have, for its encoder */
#include "vt-ancestry.h"

#include <string.h>

#define BLOCK VT_INDEX_BLOCK_SIZE
/* Blocks read at once by a scan: 1 MiB */
#define SCAN 256u
/* Blocks that moved did so together: so many are read at once */
#define FOLLOW 32u

struct VtAncestry {
    const VtChain *chain;
    uint8_t *buffer;   /* SCAN blocks */
    VtPrefix follower; /* one block; of ancestor 0 if there is none */
    uint8_t *ahead;    /* FOLLOW blocks */
    VtPrefix ahead_at; /* where they are; of ancestor 0 before the first */
};

VtAncestry *
vt_ancestry_new(const VtChain *chain)
{
    VtAncestry *ancestry = g_new0(VtAncestry, 1);

    ancestry->chain = chain;
    ancestry->buffer = g_malloc(SCAN * BLOCK);
    ancestry->ahead = g_malloc(FOLLOW * BLOCK);
    return ancestry;
}

void
vt_ancestry_free(VtAncestry *ancestry)
{
    if (!ancestry)
        return;
    g_free(ancestry->buffer);
    g_free(ancestry->ahead);
    g_free(ancestry);
}

/* ---- scan ---- */

/* Blocks that look like an earlier one are the same but for one in thousands */
static void
add_range(const VtAncestry *ancestry, const VtAncestryTables *tables, const VtPrefix *place,
          uint64_t number)
{
    for (uint32_t i = 0; i < place->length; i++) {
        const uint8_t *block = ancestry->buffer + (size_t)i * BLOCK;
        uint64_t hash;

        if (vt_block_is_zero(block))
            continue;
        hash = vt_block_hash(block);
        if (vt_dedup_has(tables->dedup, hash))
            continue;
        vt_dedup_add(tables->dedup, hash, tables->mark | (uint32_t)(number + i));
        if (place->ancestor == 1)
            vt_similar_add(tables->similar, place->source + i, block);
    }
}

/* @first: the number of the ancestor's first block */
static bool
scan_ancestor(VtAncestry *ancestry, const VtAncestryTables *tables, uint32_t ancestor,
              uint64_t first, GCancellable *cancellable, GError **error)
{
    VtPrefix place = {.ancestor = ancestor};

    while (vt_chain_next_data(ancestry->chain, &place, SCAN)) {
        if (first + place.source + place.length > VT_ANCESTRY_NUMBER_MAX)
            return true;
        if (g_cancellable_set_error_if_cancelled(cancellable, error) ||
            !vt_chain_read(ancestry->chain, &place, ancestry->buffer, error))
            return false;
        add_range(ancestry, tables, &place, first + place.source);
    }
    return true;
}

bool
vt_ancestry_scan(VtAncestry *ancestry, const VtAncestryTables *tables, GCancellable *cancellable,
                 GError **error)
{
    uint64_t first = 0, blocks;

    for (uint32_t i = 1; (blocks = vt_chain_blocks(ancestry->chain, i)) > 0; i++) {
        if (!scan_ancestor(ancestry, tables, i, first, cancellable, error))
            return false;
        first += blocks;
    }
    return true;
}

/* ---- what it found ---- */

static VtPrefix
place_of(const VtAncestry *ancestry, uint32_t number)
{
    VtPrefix place = {.source = number, .length = 1, .ancestor = 1};
    uint64_t blocks;

    while (place.source >= (blocks = vt_chain_blocks(ancestry->chain, place.ancestor))) {
        place.source -= blocks;
        place.ancestor++;
    }
    return place;
}

bool
vt_ancestry_same(VtAncestry *ancestry, uint32_t number, const uint8_t *block, bool *ret_same,
                 GError **error)
{
    const VtPrefix place = place_of(ancestry, number);

    if (!vt_chain_read(ancestry->chain, &place, ancestry->buffer, error))
        return false;
    *ret_same = memcmp(ancestry->buffer, block, BLOCK) == 0;
    return true;
}

/* Returns: the number of the follower among the blocks that were read ahead, or their number */
static uint64_t
place_ahead(const VtAncestry *ancestry)
{
    const VtPrefix *at = &ancestry->ahead_at, *follower = &ancestry->follower;

    return at->ancestor == follower->ancestor && follower->source >= at->source &&
                   follower->source - at->source < at->length
               ? follower->source - at->source
               : at->length;
}

static bool
read_ahead(VtAncestry *ancestry, GError **error)
{
    VtPrefix place = ancestry->follower;
    const uint64_t left = vt_chain_blocks(ancestry->chain, place.ancestor) - place.source;

    place.length = (uint32_t)MIN(FOLLOW, left);
    ancestry->ahead_at = (VtPrefix){0};
    if (!vt_chain_read(ancestry->chain, &place, ancestry->ahead, error))
        return false;
    ancestry->ahead_at = place;
    return true;
}

bool
vt_ancestry_follows(VtAncestry *ancestry, const uint8_t *block, bool *ret_same, GError **error)
{
    uint64_t at = place_ahead(ancestry);

    if (ancestry->follower.ancestor == 0) {
        *ret_same = false;
        return true;
    }
    if (at == ancestry->ahead_at.length) {
        if (!read_ahead(ancestry, error))
            return false;
        at = 0;
    }
    *ret_same = memcmp(ancestry->ahead + at * BLOCK, block, BLOCK) == 0;
    return true;
}

static VtPrefix
take(VtAncestry *ancestry, VtPrefix place)
{
    ancestry->follower = place;
    if (++ancestry->follower.source >= vt_chain_blocks(ancestry->chain, place.ancestor))
        vt_ancestry_stop(ancestry);
    return place;
}

VtPrefix
vt_ancestry_take(VtAncestry *ancestry, uint32_t number)
{
    return take(ancestry, place_of(ancestry, number));
}

VtPrefix
vt_ancestry_take_follower(VtAncestry *ancestry)
{
    return take(ancestry, ancestry->follower);
}

void
vt_ancestry_stop(VtAncestry *ancestry)
{
    ancestry->follower = (VtPrefix){0};
}
