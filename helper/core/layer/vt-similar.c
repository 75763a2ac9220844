/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-similar.c: which blocks of a parent look like those that are to be compressed */
#include "vt-similar.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * A gear hash rolls over each block. Where some of its bits are zero, which the last bytes alone
 * decide, the last WINDOW bytes are hashed into a feature. The table maps features to the block
 * where they were first seen. It has buckets of one cache line; a full bucket keeps its smallest
 * features (a bottom-k sample), so it is decided by content, and not by order, which ones go.
 *
 * To find, each block of the content names the two blocks of the disk with which it shares most
 * features. Those with most in common come first; each brings its neighbours along, because what
 * moved within a file moved by bytes and not by blocks. Two and not one: much that is new was made
 * of two old things; a vote over the whole frame instead read 7 % more for the same bytes.
 */

#define BLOCK_BYTES 4096u

/* 16 bytes are too common: they read a tenth more for 0.3 % more bytes. 32 cost 1.3 %. */
#define WINDOW 24u
/* One place in 128: one in 64 saves 0.8 % of the bytes for twice the index, 256 costs 1 % */
#define SELECT_BITS 7u
/* Bit n of the gear hash depends on the last n + 1 bytes: these on no byte before the window */
#define SELECT_MASK (((UINT64_C(1) << SELECT_BITS) - 1) << (WINDOW - SELECT_BITS))

/* Expected are 32; more come only from content that repeats itself */
#define BLOCK_FEATURES_MAX 128u
#define BLOCK_FEATURES     (BLOCK_BYTES >> SELECT_BITS)

/* Parts of a block that the gear hash rolls over at a time: in one, each step waits for the last */
#define LANES      4u
#define LANE_BYTES (BLOCK_BYTES / LANES)

/* Of blocks that two share features with, for each block of content */
#define BEST 2u
/* Blocks on both sides that come along */
#define MARGIN 1u

#define BUCKET_SLOTS 8u
#define BUCKETS_MIN  UINT64_C(64)
/* 2^21 lines of 64 bytes are 128 MiB */
#define BUCKETS_MAX (UINT64_C(1) << 21)

typedef struct {
    /* 0: empty */
    uint32_t tag;
    uint32_t block;
} Slot;

struct VtSimilar {
    uint64_t gear[256];
    Slot *slots;
    uint64_t bucket_mask;
    uint64_t last;
};

typedef struct {
    uint64_t values[BLOCK_FEATURES_MAX];
    guint count;
} Features;

typedef struct {
    uint64_t block;
    guint votes;
} Candidate;

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit of the result hangs on all of
 * @value */
static uint64_t
mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

VtSimilar *
vt_similar_new(uint64_t blocks)
{
    VtSimilar *similar = g_new0(VtSimilar, 1);
    uint64_t buckets = BUCKETS_MIN;

    /* a third of the slots stays free: buckets do not fill evenly */
    while (buckets < BUCKETS_MAX &&
           buckets * BUCKET_SLOTS * 2 / 3 < MIN(blocks, G_MAXUINT32) * BLOCK_FEATURES)
        buckets *= 2;
    similar->bucket_mask = buckets - 1;
    similar->slots = g_new0(Slot, buckets * BUCKET_SLOTS);
    for (guint i = 0; i < G_N_ELEMENTS(similar->gear); i++)
        similar->gear[i] = mix((i + 1) * UINT64_C(0x9e3779b97f4a7c15));
    return similar;
}

void
vt_similar_free(VtSimilar *similar)
{
    if (!similar)
        return;
    g_free(similar->slots);
    g_free(similar);
}

static uint64_t
load64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return GUINT64_FROM_LE(value);
}

static uint64_t
hash_window(const uint8_t *window)
{
    G_STATIC_ASSERT(WINDOW == 3 * sizeof(uint64_t));
    return mix(mix(mix(load64(window)) + load64(window + 8)) + load64(window + 16));
}

/* The window that ends at @end was chosen */
static void
add_feature(const uint8_t *content, guint end, Features *ret)
{
    uint64_t feature;

    /* the gear hash of the first bytes is that of no window */
    if (end < WINDOW - 1 || ret->count == BLOCK_FEATURES_MAX)
        return;
    feature = hash_window(content + end - (WINDOW - 1));
    /* a run of one byte says the same at each place */
    if (ret->count == 0 || ret->values[ret->count - 1] != feature)
        ret->values[ret->count++] = feature;
}

static void
extract(const VtSimilar *similar, const uint8_t *content, Features *ret)
{
    uint64_t gear[LANES] = {0};

    ret->count = 0;
    for (guint lane = 1; lane < LANES; lane++) {
        for (guint i = lane * LANE_BYTES - (WINDOW - 1); i < lane * LANE_BYTES; i++)
            gear[lane] = (gear[lane] << 1) + similar->gear[content[i]];
    }
    for (guint i = 0; i < LANE_BYTES; i++) {
#pragma GCC unroll 4
        for (guint lane = 0; lane < LANES; lane++) {
            const guint end = lane * LANE_BYTES + i;

            gear[lane] = (gear[lane] << 1) + similar->gear[content[end]];
            if (!(gear[lane] & SELECT_MASK))
                add_feature(content, end, ret);
        }
    }
}

static Slot *
bucket_of(const VtSimilar *similar, uint64_t feature)
{
    return similar->slots + (feature & similar->bucket_mask) * BUCKET_SLOTS;
}

/* The bucket is chosen by the low bits, of which there are 21 at most */
static uint32_t
tag_of(uint64_t feature)
{
    return MAX((uint32_t)(feature >> 32), 1u);
}

static void
remember(const VtSimilar *similar, uint64_t feature, uint32_t block)
{
    Slot *slot = bucket_of(similar, feature), *largest = slot;
    const Slot *end = slot + BUCKET_SLOTS;
    const uint32_t tag = tag_of(feature);

    for (; slot < end && slot->tag; slot++) {
        if (slot->tag == tag)
            return;
        if (slot->tag > largest->tag)
            largest = slot;
    }
    if (slot == end)
        slot = largest;
    if (!slot->tag || slot->tag > tag)
        *slot = (Slot){.tag = tag, .block = block};
}

void
vt_similar_add(VtSimilar *similar, uint64_t block, const uint8_t *content)
{
    Features features;

    g_return_if_fail(block <= G_MAXUINT32);
    extract(similar, content, &features);
    for (guint i = 0; i < features.count; i++)
        remember(similar, features.values[i], (uint32_t)block);
    similar->last = MAX(similar->last, block);
}

static bool
recall(const VtSimilar *similar, uint64_t feature, uint64_t *ret_block)
{
    const Slot *slot = bucket_of(similar, feature);
    const uint32_t tag = tag_of(feature);

    for (guint i = 0; i < BUCKET_SLOTS && slot[i].tag; i++) {
        if (slot[i].tag == tag) {
            *ret_block = slot[i].block;
            return true;
        }
    }
    return false;
}

/* Most votes first; a tie goes to the first block, so that the order is always the same */
static int
compare_candidates(gconstpointer left, gconstpointer right)
{
    const Candidate *a = left, *b = right;

    if (a->votes != b->votes)
        return a->votes > b->votes ? -1 : 1;
    return a->block < b->block ? -1 : a->block > b->block;
}

static void
count_vote(Candidate *candidates, guint *count, uint64_t block)
{
    guint i;

    for (i = 0; i < *count && candidates[i].block != block; i++)
        ;
    if (i == *count)
        candidates[(*count)++] = (Candidate){.block = block};
    candidates[i].votes++;
}

/* Adds to @ret what has most in common with one block */
static void
find_block(const VtSimilar *similar, const uint8_t *content, GArray *ret)
{
    Candidate candidates[BLOCK_FEATURES_MAX];
    Features features;
    guint count = 0;
    uint64_t block;

    extract(similar, content, &features);
    for (guint i = 0; i < features.count; i++) {
        if (recall(similar, features.values[i], &block))
            count_vote(candidates, &count, block);
    }
    qsort(candidates, count, sizeof(Candidate), compare_candidates);
    g_array_append_vals(ret, candidates, MIN(count, BEST));
}

static int
compare_blocks(gconstpointer left, gconstpointer right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* Adds to @taken, up to @limit, those of @block and its neighbours that are not in there yet */
static bool
take(const VtSimilar *similar, uint64_t block, GHashTable *seen, GArray *taken, guint limit)
{
    const uint64_t end = MIN(block + MARGIN, similar->last);
    const guint before = taken->len;

    for (uint64_t at = block - MIN(block, MARGIN); at <= end && taken->len < limit; at++) {
        if (g_hash_table_add(seen, GSIZE_TO_POINTER(at)))
            g_array_append_val(taken, at);
    }
    return taken->len > before;
}

static void
join(GArray *taken, GArray *ret_segments)
{
    g_array_sort(taken, compare_blocks);
    for (guint i = 0; i < taken->len; i++) {
        const uint64_t block = g_array_index(taken, uint64_t, i);
        VtSimilarSegment segment = {.block = block, .length = 1};
        VtSimilarSegment *last =
            ret_segments->len > 0
                ? &g_array_index(ret_segments, VtSimilarSegment, ret_segments->len - 1)
                : NULL;

        if (last && last->block + last->length == block)
            last->length++;
        else
            g_array_append_val(ret_segments, segment);
    }
}

void
vt_similar_find(const VtSimilar *similar, const uint8_t *content, uint32_t blocks,
                GArray *ret_segments)
{
    g_autoptr(GArray) candidates = g_array_new(false, false, sizeof(Candidate));
    g_autoptr(GArray) taken = g_array_new(false, false, sizeof(uint64_t));
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    const guint limit = (guint)MIN((uint64_t)blocks * VT_SIMILAR_FACTOR, VT_SIMILAR_BLOCKS_MAX);
    guint runs = 0;

    for (uint32_t i = 0; i < blocks; i++)
        find_block(similar, content + (size_t)i * BLOCK_BYTES, candidates);
    g_array_sort(candidates, compare_candidates);
    /* each candidate makes at most one segment more */
    for (guint i = 0; i < candidates->len && runs < VT_SIMILAR_SEGMENTS_MAX; i++) {
        const Candidate *candidate = &g_array_index(candidates, Candidate, i);

        if (take(similar, candidate->block, seen, taken, limit))
            runs++;
    }
    g_array_set_size(ret_segments, 0);
    join(taken, ret_segments);
}
