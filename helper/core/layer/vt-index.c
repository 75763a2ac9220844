/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index.c: reading the index of a layer
 *
 * Theory of operation
 *
 * The blob is a root (header, section table, page table) and pages of 16 KiB. Everything is checked
 * once, in the order root, page digests, frames, extents; after that the accessors read records
 * straight from the blob and check nothing. Frames come before extents because extents point into
 * the literal space whose size the frames prove.
 */
#include "vt-index-parser.h"

#include <inttypes.h>

/* Looking one up reads so many extents at most; a mark has 8 bytes, as many extents 192 */
#define MARK_STEP 16u

static bool
is_zero(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

/* ---- root ---- */

typedef struct {
    size_t offset;
    uint32_t value;
    const char *what;
} FixedField;

/* Fields that have one value in version 1 */
static const FixedField fixed_fields[] = {
    {ROOT_HEADER_SIZE, ROOT_HEADER, "header size"},
    {ROOT_BLOCK_SIZE, VT_INDEX_BLOCK_SIZE, "block size"},
    {ROOT_PAGE_SIZE, PAGE_SIZE, "page size"},
    {ROOT_RESERVED_1, 0, "reserved field at 84"},
    {ROOT_RESERVED_2, 0, "reserved field at 120"},
    {ROOT_RESERVED_2 + 4, 0, "reserved field at 124"},
};

static bool
check_identity(const uint8_t *data, gsize size, GError **error)
{
    if (size < ROOT_HEADER)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: truncated, %zu bytes are less than a header", (size_t)size);
    if (memcmp(data + ROOT_MAGIC, INDEX_MAGIC, 8) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: wrong magic, this is not an index");
    if (get32(data + ROOT_VERSION) != INDEX_VERSION)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "layer index: version %u; this program reads version %u",
                        get32(data + ROOT_VERSION), INDEX_VERSION);
    if (size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "layer index: %zu bytes, more than %u",
                        (size_t)size, VT_INDEX_SIZE_MAX);
    if (get64(data + ROOT_REQUIRED) != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "layer index: needs features 0x%" PRIx64 " that this program does not have",
                        get64(data + ROOT_REQUIRED));
    return true;
}

static bool
check_fields(const uint8_t *data, GError **error)
{
    const uint32_t frame_size = get32(data + ROOT_FRAME_SIZE),
                   bits = get32(data + ROOT_CLUSTER_BITS);
    const bool is_delta = !is_zero(data + ROOT_PARENT, VT_DIGEST_BYTES);
    uint64_t capacity = get64(data + ROOT_CAPACITY);

    for (size_t i = 0; i < G_N_ELEMENTS(fixed_fields); i++) {
        const FixedField *field = &fixed_fields[i];

        if (get32(data + field->offset) != field->value)
            return vt_throw(error, VT_ERROR_INVALID, "layer index: %s is %u, not %u", field->what,
                            get32(data + field->offset), field->value);
    }
    if (bits != (is_delta ? CLUSTER_BITS_DELTA : CLUSTER_BITS_FULL))
        return vt_throw(error, VT_ERROR_INVALID, "layer index: cluster bits is %u, not %u", bits,
                        is_delta ? CLUSTER_BITS_DELTA : CLUSTER_BITS_FULL);
    if (frame_size < VT_INDEX_FRAME_MIN || frame_size > VT_INDEX_FRAME_MAX ||
        (frame_size & (frame_size - 1)) != 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: frame size %u is not a power of two from %u to %u",
                        frame_size, VT_INDEX_FRAME_MIN, VT_INDEX_FRAME_MAX);
    if (capacity == 0 || capacity % VT_INDEX_BLOCK_SIZE != 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: virtual size %" PRIu64 " is not a multiple of %u above 0",
                        capacity, VT_INDEX_BLOCK_SIZE);
    if (capacity > VT_INDEX_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "layer index: virtual size %" PRIu64 " is above the limit %" PRIu64,
                        capacity, VT_INDEX_CAPACITY_MAX);
    return true;
}

static bool
parse_root(VtIndexParser *parser, GError **error)
{
    const uint8_t *data = parser->data;
    VtIndex *index = parser->index;
    uint64_t root_size;

    if (!check_identity(data, parser->size, error) || !check_fields(data, error))
        return false;
    index->capacity = get64(data + ROOT_CAPACITY);
    index->frame_blocks = get32(data + ROOT_FRAME_SIZE) / VT_INDEX_BLOCK_SIZE;
    index->cluster_bits = get32(data + ROOT_CLUSTER_BITS);
    index->literal_blocks = get64(data + ROOT_LITERAL_BLOCKS);
    index->data_blocks = get64(data + ROOT_DATA_BLOCKS);
    memcpy(index->parent.bytes, data + ROOT_PARENT, VT_DIGEST_BYTES);
    index->is_delta = !is_zero(data + ROOT_PARENT, VT_DIGEST_BYTES);
    index->blob_count = get32(data + ROOT_BLOB_COUNT);
    parser->section_count = get32(data + ROOT_SECTION_COUNT);
    parser->page_count = get32(data + ROOT_PAGE_COUNT);
    if (parser->section_count > SECTIONS_MAX || parser->page_count > PAGES_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: %u sections and %u pages, more than %u and %u",
                        parser->section_count, parser->page_count, SECTIONS_MAX, PAGES_MAX);
    if (index->blob_count > VT_INDEX_BLOBS_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: %u blobs, more than %u",
                        index->blob_count, VT_INDEX_BLOBS_MAX);
    if (index->literal_blocks > index->capacity / VT_INDEX_BLOCK_SIZE)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: more literal blocks than blocks on the disk");
    root_size = ROOT_HEADER + (uint64_t)parser->section_count * SECTION_ENTRY +
                (uint64_t)parser->page_count * PAGE_ENTRY;
    index->root_size = (uint32_t)root_size;
    if (parser->size < root_size + (uint64_t)parser->page_count * PAGE_SIZE)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: truncated, its pages end behind its %zu bytes",
                        (size_t)parser->size);
    if (parser->size > root_size + (uint64_t)parser->page_count * PAGE_SIZE)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: trailing bytes behind its pages");
    return true;
}

/* ---- sections and pages ---- */

typedef struct {
    uint32_t type;
    uint32_t flags;
    uint32_t record_size;
    uint32_t first_page;
    uint64_t record_count;
    uint64_t pages;
} Section;

static bool
read_section(const uint8_t *entry, uint32_t next_page, Section *ret, GError **error)
{
    Section s = {
        .type = get32(entry + SECTION_TYPE),
        .flags = get32(entry + SECTION_FLAGS),
        .record_size = get32(entry + SECTION_RECORD_SIZE),
        .first_page = get32(entry + SECTION_FIRST_PAGE),
        .record_count = get64(entry + SECTION_RECORD_COUNT),
    };
    uint32_t per_page;

    if ((s.flags & ~SECTION_MUST_UNDERSTAND) || get64(entry + SECTION_RESERVED) != 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: section %u has reserved bits that are not 0", s.type);
    if (s.record_size == 0 || s.record_size > PAGE_SIZE)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: section %u has records of %u bytes",
                        s.type, s.record_size);
    if (s.first_page != next_page)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: section %u starts at page %u, not at %u", s.type,
                        s.first_page, next_page);
    per_page = PAGE_SIZE / s.record_size;
    s.pages = s.record_count / per_page + (s.record_count % per_page != 0);
    *ret = s;
    return true;
}

/* Takes note of a section this program knows, and lets it pass one that it may ignore */
static bool
take_section(VtIndexParser *parser, const Section *section, GError **error)
{
    VtIndex *index = parser->index;
    const struct {
        uint32_t type;
        uint32_t record_size;
        uint64_t *count;
        uint32_t *first_page;
    } known[] = {
        {SECTION_TYPE_EXTENTS, EXTENT_RECORD, &index->extent_count, &parser->extents_page},
        {SECTION_TYPE_FRAMES, FRAME_RECORD, &index->frame_count, &parser->frames_page},
        {SECTION_TYPE_PREFIXES, PREFIX_RECORD, &index->prefix_count, &parser->prefixes_page},
    };
    size_t i = 0;

    while (i < G_N_ELEMENTS(known) && known[i].type != section->type)
        i++;
    if (i == G_N_ELEMENTS(known))
        return !(section->flags & SECTION_MUST_UNDERSTAND) ||
               vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "layer index: section type %u must be understood, and is not by this "
                        "program; update virt-template",
                        section->type);
    if (section->record_size != known[i].record_size)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: section %u has records of %u bytes, not %u", section->type,
                        section->record_size, known[i].record_size);
    *known[i].count = section->record_count;
    *known[i].first_page = section->first_page;
    return true;
}

/* Pages: digest, and zeros behind the last record */
static bool
check_pages(const VtIndexParser *parser, const Section *section, GError **error)
{
    const uint8_t *table = parser->data + ROOT_HEADER + parser->section_count * SECTION_ENTRY;
    const uint8_t *pages = parser->data + parser->index->root_size;
    const uint32_t per_page = PAGE_SIZE / section->record_size;
    uint64_t left = section->record_count;

    for (uint32_t i = section->first_page; i < section->first_page + section->pages; i++) {
        const uint8_t *page = pages + (size_t)i * PAGE_SIZE;
        const uint32_t used = (uint32_t)MIN(left, per_page) * section->record_size;
        VtDigest digest;

        page_digest(page, &digest);
        if (memcmp(digest.bytes, table + (size_t)i * PAGE_ENTRY + PAGE_DIGEST, VT_DIGEST_BYTES))
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "layer index: page %u does not have the digest that the root gives", i);
        if (!is_zero(page + used, PAGE_SIZE - used))
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer index: page %u has bytes behind its last record", i);
        left -= MIN(left, per_page);
    }
    return true;
}

static bool
parse_sections(VtIndexParser *parser, GError **error)
{
    const uint8_t *pages = parser->data + parser->index->root_size;
    uint64_t next_page = 0;
    uint32_t last_type = 0;

    for (uint32_t i = 0; i < parser->section_count; i++) {
        const uint8_t *entry = parser->data + ROOT_HEADER + (size_t)i * SECTION_ENTRY;
        Section section = {0};

        if (!read_section(entry, (uint32_t)next_page, &section, error))
            return false;
        if (section.type <= last_type)
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer index: section type %u stands behind type %u", section.type,
                            last_type);
        if (section.pages > parser->page_count - next_page)
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer index: section %u has more records than the pages hold",
                            section.type);
        if (!take_section(parser, &section, error) || !check_pages(parser, &section, error))
            return false;
        next_page += section.pages;
        last_type = section.type;
    }
    if (next_page != parser->page_count)
        return vt_throw(error, VT_ERROR_INVALID, "layer index: %u pages belong to no section",
                        (unsigned)(parser->page_count - next_page));
    parser->index->extents = pages + (size_t)parser->extents_page * PAGE_SIZE;
    parser->index->frames = pages + (size_t)parser->frames_page * PAGE_SIZE;
    parser->index->prefixes = pages + (size_t)parser->prefixes_page * PAGE_SIZE;
    return true;
}

/* ---- interface ---- */

/* Extents say how long they are, not where: so one in MARK_STEP is remembered */
static void
set_marks(VtIndex *index)
{
    VtExtentIter iter;
    VtExtent extent;

    index->marks = g_new0(uint64_t, index->extent_count / MARK_STEP + 1);
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (iter.number % MARK_STEP == 0)
            index->marks[iter.number / MARK_STEP] = iter.guest;
    }
}

bool
vt_index_parse(GBytes *bytes, VtIndex **ret_index, GError **error)
{
    g_autoptr(VtIndex) index = g_new0(VtIndex, 1);
    VtIndexParser parser = {.index = index};

    index->bytes = g_bytes_ref(bytes);
    parser.data = g_bytes_get_data(bytes, &parser.size);
    if (!parse_root(&parser, error) || !parse_sections(&parser, error) ||
        !vt_index_check_frames(&parser, error) || !vt_index_check_extents(&parser, error))
        return false;
    set_marks(index);
    *ret_index = g_steal_pointer(&index);
    return true;
}

bool
vt_index_peek_parent(const uint8_t head[VT_INDEX_HEAD_SIZE], VtDigest *ret_parent)
{
    G_STATIC_ASSERT(VT_INDEX_HEAD_SIZE == ROOT_HEADER);
    if (is_zero(head + ROOT_PARENT, VT_DIGEST_BYTES))
        return false;
    memcpy(ret_parent->bytes, head + ROOT_PARENT, VT_DIGEST_BYTES);
    return true;
}

uint64_t
vt_index_peek_data(const uint8_t head[VT_INDEX_HEAD_SIZE])
{
    return get64(head + ROOT_DATA_BLOCKS) * VT_INDEX_BLOCK_SIZE;
}

void
vt_index_free(VtIndex *index)
{
    if (!index)
        return;
    g_bytes_unref(index->bytes);
    g_free(index->marks);
    g_free(index);
}

bool
vt_index_check_blobs(const VtIndex *index, const uint64_t *sizes, uint32_t count, GError **error)
{
    if (count != index->blob_count)
        return vt_throw(error, VT_ERROR_INVALID,
                        "layer index: it has %u blobs, the manifest lists %u", index->blob_count,
                        count);
    for (uint64_t i = 0; i < index->frame_count; i++) {
        VtFrame frame, next = {.blob = UINT32_MAX};

        vt_index_frame(index, i, &frame);
        if (i + 1 < index->frame_count)
            vt_index_frame(index, i + 1, &next);
        if (next.blob != frame.blob && sizes[frame.blob] != (uint64_t)frame.offset + frame.size)
            return vt_throw(error, VT_ERROR_INVALID,
                            "layer index: its frames in blob %u end at %" PRIu64
                            ", the manifest gives the blob %" PRIu64 " bytes",
                            frame.blob, (uint64_t)frame.offset + frame.size, sizes[frame.blob]);
    }
    return true;
}

void
vt_index_frame(const VtIndex *index, uint64_t number, VtFrame *ret_frame)
{
    const uint8_t *record = record_at(index->frames, number, FRAME_RECORD);

    ret_frame->blob = get16(record + FRAME_BLOB);
    ret_frame->offset = get32(record + FRAME_OFFSET);
    ret_frame->size = get32(record + FRAME_SIZE);
    ret_frame->blocks = get16(record + FRAME_BLOCKS);
    ret_frame->prefix_count = get32(record + FRAME_PREFIX) >> FRAME_PREFIX_COUNT_SHIFT;
    ret_frame->prefix_first = get32(record + FRAME_PREFIX) & FRAME_PREFIX_FIRST_MASK;
    memcpy(ret_frame->digest.bytes, record + FRAME_DIGEST, VT_DIGEST_BYTES);
    memcpy(ret_frame->content_digest.bytes, record + FRAME_CONTENT_DIGEST, VT_DIGEST_BYTES);
}

void
vt_index_prefix(const VtIndex *index, uint64_t number, VtPrefix *ret_prefix)
{
    const uint8_t *record = record_at(index->prefixes, number, PREFIX_RECORD);
    const uint64_t word = get64(record + EXTENT_SOURCE);

    ret_prefix->length = get32(record + EXTENT_LENGTH);
    ret_prefix->ancestor = (uint32_t)(word >> EXTENT_ANCESTOR_SHIFT) & EXTENT_ANCESTOR_MASK;
    ret_prefix->source = word & EXTENT_SOURCE_MASK;
}

void
vt_extent_iter_init(VtExtentIter *iter, const VtIndex *index)
{
    *iter = (VtExtentIter){.index = index};
}

void
vt_extent_iter_seek(VtExtentIter *iter, const VtIndex *index, uint64_t block)
{
    uint64_t low = 0, high = index->extent_count / MARK_STEP + 1;
    VtExtent extent;

    /* The last mark at or before it */
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;

        if (index->marks[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    *iter = (VtExtentIter){index, low * MARK_STEP, index->marks[low]};
    for (VtExtentIter peek = *iter; vt_extent_iter_next(&peek, &extent); *iter = peek) {
        if (peek.guest > block)
            return;
    }
}

bool
vt_extent_iter_next(VtExtentIter *iter, VtExtent *ret_extent)
{
    const uint8_t *record;
    uint64_t word;

    if (iter->number == iter->index->extent_count)
        return false;
    record = record_at(iter->index->extents, iter->number, EXTENT_RECORD);
    word = get64(record + EXTENT_SOURCE);
    ret_extent->guest = iter->guest;
    ret_extent->length = get32(record + EXTENT_LENGTH);
    ret_extent->kind = (VtExtentKind)(word >> EXTENT_KIND_SHIFT);
    ret_extent->ancestor = (uint32_t)(word >> EXTENT_ANCESTOR_SHIFT) & EXTENT_ANCESTOR_MASK;
    ret_extent->source = word & EXTENT_SOURCE_MASK;
    iter->number++;
    iter->guest += ret_extent->length;
    return true;
}
