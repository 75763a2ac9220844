/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index-check.c: the records of an index make sense */
#include "vt-index-parser.h"

#include <inttypes.h>

/* The key by which a reader of single pages finds record @number, where it begins a page */
static bool
check_first_key(const VtIndexParser *parser, uint32_t first_page, uint32_t record_size,
                uint64_t number, uint64_t key)
{
    const uint8_t *table = parser->data + ROOT_HEADER + parser->section_count * SECTION_ENTRY;
    const uint32_t per_page = PAGE_SIZE / record_size;
    size_t page = first_page + (size_t)(number / per_page);

    return number % per_page != 0 || get64(table + page * PAGE_ENTRY + PAGE_FIRST_KEY) == key;
}

/* Length and source of a record that takes blocks from an ancestor */
static bool
check_source(const VtIndex *index, const uint8_t *record, GError **error)
{
    const uint64_t word = get64(record + EXTENT_SOURCE), source = word & EXTENT_SOURCE_MASK;
    const uint64_t ancestor = word >> EXTENT_ANCESTOR_SHIFT & EXTENT_ANCESTOR_MASK;
    const uint64_t blocks_max = VT_INDEX_CAPACITY_MAX / VT_INDEX_BLOCK_SIZE;

    if (!index->is_delta)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: a full layer takes blocks from an ancestor");
    if (word >> EXTENT_KIND_SHIFT != VT_EXTENT_ANCESTOR || get32(record + EXTENT_LENGTH) == 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: a prefix is no run of blocks of an ancestor");
    if (ancestor == 0 || ancestor > VT_INDEX_ANCESTORS_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: ancestor %" PRIu64 " is not one from 1 to %u", ancestor,
                        VT_INDEX_ANCESTORS_MAX);
    return get32(record + EXTENT_LENGTH) <= blocks_max - MIN(source, blocks_max) ||
           vt_throw(error, VT_ERROR_INVALID,
                    "layer index: blocks of an ancestor end behind the largest disk");
}

/* ---- frames ---- */

/* Frames are packed: the next one follows the last, or begins the next blob */
static bool
check_place(uint64_t number, const VtFrame *last, const VtFrame *frame, GError **error)
{
    bool same = frame->blob == last->blob && number > 0;
    uint32_t next_blob = number > 0 ? last->blob + 1 : 0;
    uint32_t end = last->offset + last->size;

    if (!same && frame->blob != next_blob)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " is in blob %u, out of order", number,
                        frame->blob);
    if (same && frame->offset < end)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " overlaps the one before it in "
                        "blob %u",
                        number, frame->blob);
    if (frame->offset != (same ? end : 0))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: gap before frame %" PRIu64 " in blob %u", number,
                        frame->blob);
    if (frame->size > VT_INDEX_BLOB_MAX - frame->offset)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " ends behind the largest blob, "
                        "%u bytes",
                        number, VT_INDEX_BLOB_MAX);
    return true;
}

static bool
check_frame(const VtIndexParser *parser, uint64_t number, const VtFrame *last, const VtFrame *frame,
            GError **error)
{
    const VtIndex *index = parser->index;
    uint64_t left = index->literal_blocks - number * index->frame_blocks;
    uint32_t content = frame->blocks * VT_INDEX_BLOCK_SIZE;

    if (frame->blocks != MIN(left, index->frame_blocks))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " has %u blocks of content, not %u", number,
                        frame->blocks, (unsigned)MIN(left, index->frame_blocks));
    if (frame->size == 0 || frame->size > content + VT_INDEX_FRAME_OVERHEAD(content))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " has %u compressed bytes for %u of "
                        "content",
                        number, frame->size, content);
    if (!check_first_key(parser, parser->frames_page, FRAME_RECORD, number, number))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: wrong first key of the page of frame %" PRIu64, number);
    return check_place(number, last, frame, error);
}

/* In the order of their frames; all used */
static bool
check_prefix(const VtIndexParser *parser, uint64_t number, const VtFrame *frame, uint64_t *ret_next,
             GError **error)
{
    const VtIndex *index = parser->index;
    uint64_t blocks = 0;

    if (get32(record_at(index->frames, number, FRAME_RECORD) + FRAME_PREFIX) == 0)
        return true;
    if (!index->is_delta)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame %" PRIu64 " of a full layer has a prefix", number);
    if (frame->prefix_count == 0 || frame->prefix_first != *ret_next ||
        frame->prefix_count > index->prefix_count - *ret_next)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: the prefix of frame %" PRIu64 " is out of range or order",
                        number);
    for (uint32_t i = 0; i < frame->prefix_count; i++) {
        VtPrefix prefix;

        vt_index_prefix(index, *ret_next + i, &prefix);
        blocks += prefix.length;
        if (!check_source(index, record_at(index->prefixes, *ret_next + i, PREFIX_RECORD), error) ||
            !check_first_key(parser, parser->prefixes_page, PREFIX_RECORD, *ret_next + i,
                             *ret_next + i))
            return false;
    }
    if (blocks > VT_INDEX_PREFIX_MAX / VT_INDEX_BLOCK_SIZE)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "layer index: the prefix of frame %" PRIu64 " has more than %u bytes",
                        number, VT_INDEX_PREFIX_MAX);
    *ret_next += frame->prefix_count;
    return true;
}

bool
vt_index_check_frames(const VtIndexParser *parser, GError **error)
{
    const VtIndex *index = parser->index;
    uint64_t count = index->literal_blocks / index->frame_blocks +
                     (index->literal_blocks % index->frame_blocks != 0);
    uint64_t next_prefix = 0;
    VtFrame last = {0};

    if (index->frame_count != count)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: %" PRIu64 " frames for %" PRIu64
                        " literal blocks, not %" PRIu64,
                        index->frame_count, index->literal_blocks, count);
    for (uint64_t i = 0; i < count; i++) {
        VtFrame frame;

        vt_index_frame(index, i, &frame);
        if (!check_frame(parser, i, &last, &frame, error) ||
            !check_prefix(parser, i, &frame, &next_prefix, error))
            return false;
        last = frame;
    }
    if (next_prefix != index->prefix_count)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: no frame uses prefix %" PRIu64,
                        next_prefix);
    if (index->blob_count != (count > 0 ? last.blob + 1 : 0))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: the root counts %u blobs, the frames fill %u",
                        index->blob_count, count > 0 ? last.blob + 1 : 0);
    return true;
}

/* ---- extents ---- */

/* Bits [first, first + count) become 1 */
static void
set_bits(uint8_t *bits, uint64_t first, uint64_t count)
{
    for (; count > 0 && first % 8 != 0; first++, count--)
        bits[first / 8] |= (uint8_t)(1u << first % 8);
    memset(bits + first / 8, 0xff, count / 8);
    for (first += count / 8 * 8, count %= 8; count > 0; first++, count--)
        bits[first / 8] |= (uint8_t)(1u << first % 8);
}

static bool
check_kind(const VtIndex *index, const uint8_t *record, const VtExtent *extent, GError **error)
{
    uint64_t word = get64(record + EXTENT_SOURCE);

    if (extent->kind == VT_EXTENT_ANCESTOR)
        return check_source(index, record, error);
    if (word >> EXTENT_KIND_SHIFT > VT_EXTENT_LITERAL ||
        (word & ~(EXTENT_SOURCE_MASK | (UINT64_C(1) << EXTENT_KIND_SHIFT))))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extent at block %" PRIu64 " has an unknown kind",
                        extent->guest);
    if (extent->kind == VT_EXTENT_ZERO && extent->source != 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: zero extent at block %" PRIu64 " has a source",
                        extent->guest);
    if (extent->kind == VT_EXTENT_LITERAL &&
        (extent->source > index->literal_blocks ||
         extent->length > index->literal_blocks - extent->source))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extent at block %" PRIu64
                        " is out of range, it ends behind the last literal block",
                        extent->guest);
    return true;
}

/* Two neighbours that one extent could say */
static bool
is_mergeable(const VtExtent *a, const VtExtent *b)
{
    if (a->length == 0 || a->kind != b->kind || a->ancestor != b->ancestor ||
        (uint64_t)a->length + b->length > UINT32_MAX)
        return false;
    return a->kind == VT_EXTENT_ZERO || a->source + a->length == b->source;
}

static bool
check_extent(const VtIndexParser *parser, uint64_t number, const VtExtent *last,
             const VtExtent *extent, GError **error)
{
    const VtIndex *index = parser->index;

    if (extent->length == 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extent at block %" PRIu64 " has no length", extent->guest);
    if (extent->length > index->capacity / VT_INDEX_BLOCK_SIZE - extent->guest)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extent at block %" PRIu64 " ends behind the virtual disk",
                        extent->guest);
    if (!check_first_key(parser, parser->extents_page, EXTENT_RECORD, number, extent->guest))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: wrong first key of the page of the extent at block "
                        "%" PRIu64,
                        extent->guest);
    if (is_mergeable(last, extent))
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extent at block %" PRIu64
                        " is not merged with the one before it",
                        extent->guest);
    return check_kind(index, record_at(index->extents, number, EXTENT_RECORD), extent, error);
}

static bool
check_all_used(const VtIndex *index, const uint8_t *used, GError **error)
{
    for (uint64_t i = 0; i < index->literal_blocks; i++) {
        if (!(used[i / 8] & 1u << i % 8))
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer index: no extent uses literal block %" PRIu64, i);
    }
    return true;
}

bool
vt_index_check_extents(const VtIndexParser *parser, GError **error)
{
    const VtIndex *index = parser->index;
    g_autofree uint8_t *used = g_malloc0(index->literal_blocks / 8 + 1);
    uint64_t data_blocks = 0;
    VtExtent last = {0}, extent;
    VtExtentIter iter;

    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (!check_extent(parser, iter.number - 1, &last, &extent, error))
            return false;
        if (vt_extent_is_stored(&extent))
            data_blocks += extent.length;
        if (extent.kind == VT_EXTENT_LITERAL)
            set_bits(used, extent.source, extent.length);
        last = extent;
    }
    if (iter.guest != index->capacity / VT_INDEX_BLOCK_SIZE)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: extents cover %" PRIu64
                        " blocks, the virtual size is %" PRIu64,
                        iter.guest, index->capacity / VT_INDEX_BLOCK_SIZE);
    if (data_blocks != index->data_blocks)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: the root counts %" PRIu64
                        " data blocks, the extents %" PRIu64,
                        index->data_blocks, data_blocks);
    return check_all_used(index, used, error);
}
