/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index-build.c: writing the index of a layer */
#include "vt-index-format.h"

#include "vt-index.h"

struct VtIndexBuilder {
    uint32_t frame_size;
    uint32_t root_size;
    /* records of each section, without their pages */
    GByteArray *extents;
    GByteArray *frames;
    GByteArray *prefixes;
    VtDigest parent;
    bool is_delta;
    /* not yet in @extents, so that it can grow */
    VtExtent last;
    uint64_t literal_blocks;
    uint64_t data_blocks;
    uint64_t guest;
    uint32_t blob_count;
};

VtIndexBuilder *
vt_index_builder_new(uint32_t frame_size)
{
    VtIndexBuilder *builder = g_new0(VtIndexBuilder, 1);

    builder->frame_size = frame_size;
    builder->extents = g_byte_array_new();
    builder->frames = g_byte_array_new();
    builder->prefixes = g_byte_array_new();
    return builder;
}

void
vt_index_builder_set_parent(VtIndexBuilder *builder, const VtDigest *parent)
{
    builder->parent = *parent;
    builder->is_delta = true;
}

void
vt_index_builder_free(VtIndexBuilder *builder)
{
    if (!builder)
        return;
    g_byte_array_unref(builder->extents);
    g_byte_array_unref(builder->frames);
    g_byte_array_unref(builder->prefixes);
    g_free(builder);
}

static void
append_extent(GByteArray *records, const VtExtent *extent)
{
    uint8_t record[EXTENT_RECORD];

    put32(record + EXTENT_LENGTH, extent->length);
    put64(record + EXTENT_SOURCE, (uint64_t)extent->kind << EXTENT_KIND_SHIFT |
                                      (uint64_t)extent->ancestor << EXTENT_ANCESTOR_SHIFT |
                                      extent->source);
    g_byte_array_append(records, record, sizeof(record));
}

static void
flush_extent(VtIndexBuilder *builder)
{
    if (builder->last.length == 0)
        return;
    append_extent(builder->extents, &builder->last);
    builder->last.length = 0;
}

static void
add_extent(VtIndexBuilder *builder, const VtExtent *extent)
{
    VtExtent *last = &builder->last;
    const bool follows =
        extent->kind == VT_EXTENT_ZERO || last->source + last->length == extent->source;

    builder->guest += extent->length;
    if (vt_extent_is_stored(extent))
        builder->data_blocks += extent->length;
    if (last->length > 0 && last->kind == extent->kind && last->ancestor == extent->ancestor &&
        follows && extent->length <= UINT32_MAX - last->length) {
        last->length += extent->length;
        return;
    }
    flush_extent(builder);
    *last = *extent;
}

void
vt_index_builder_add_extent(VtIndexBuilder *builder, VtExtentKind kind, uint64_t source,
                            uint32_t length)
{
    const VtExtent extent = {
        .guest = builder->guest, .kind = kind, .source = source, .length = length};

    add_extent(builder, &extent);
}

void
vt_index_builder_add_ancestor(VtIndexBuilder *builder, uint32_t ancestor, uint64_t source,
                              uint32_t length)
{
    const VtExtent extent = {.guest = builder->guest,
                             .kind = VT_EXTENT_ANCESTOR,
                             .ancestor = ancestor,
                             .source = source,
                             .length = length};

    add_extent(builder, &extent);
}

uint32_t
vt_index_builder_add_prefix(VtIndexBuilder *builder, const VtPrefix *prefix)
{
    const VtExtent extent = {.kind = VT_EXTENT_ANCESTOR,
                             .ancestor = prefix->ancestor,
                             .source = prefix->source,
                             .length = prefix->length};

    append_extent(builder->prefixes, &extent);
    return builder->prefixes->len / PREFIX_RECORD - 1;
}

void
vt_index_builder_add_frame(VtIndexBuilder *builder, const VtFrame *frame)
{
    uint8_t record[FRAME_RECORD] = {0};

    put32(record + FRAME_OFFSET, frame->offset);
    put32(record + FRAME_SIZE, frame->size);
    put16(record + FRAME_BLOB, (uint16_t)frame->blob);
    put16(record + FRAME_BLOCKS, (uint16_t)frame->blocks);
    if (frame->prefix_count > 0)
        put32(record + FRAME_PREFIX,
              frame->prefix_count << FRAME_PREFIX_COUNT_SHIFT | frame->prefix_first);
    memcpy(record + FRAME_DIGEST, frame->digest.bytes, VT_DIGEST_BYTES);
    memcpy(record + FRAME_CONTENT_DIGEST, frame->content_digest.bytes, VT_DIGEST_BYTES);
    g_byte_array_append(builder->frames, record, sizeof(record));
    builder->literal_blocks += frame->blocks;
    builder->blob_count = MAX(builder->blob_count, frame->blob + 1);
}

/* One section on its way into the blob */
typedef struct {
    uint32_t type;
    uint32_t record_size;
    const GByteArray *records;
    uint64_t (*first_key)(const uint8_t *records, uint64_t number, uint64_t key, uint32_t step);
} SectionSource;

/* Guest block of extent @number + @step, when that of @number is @key */
static uint64_t
next_extent_key(const uint8_t *records, uint64_t number, uint64_t key, uint32_t step)
{
    for (uint32_t i = 0; i < step; i++)
        key += get32(records + (number + i) * EXTENT_RECORD + EXTENT_LENGTH);
    return key;
}

static uint64_t
next_number(const uint8_t *records, uint64_t number, uint64_t key, uint32_t step)
{
    return key + step;
}

static uint64_t
section_pages(const SectionSource *section)
{
    uint64_t count = section->records->len / section->record_size;
    uint32_t per_page = PAGE_SIZE / section->record_size;

    return (count + per_page - 1) / per_page;
}

/* Writes the pages of @section and their entries in the page table */
static void
put_pages(const SectionSource *section, uint8_t *table, uint8_t *pages)
{
    const uint64_t count = section->records->len / section->record_size;
    const uint32_t per_page = PAGE_SIZE / section->record_size;
    uint64_t key = 0;

    for (uint64_t i = 0; i < count; i += per_page) {
        uint32_t here = (uint32_t)MIN(count - i, per_page);
        VtDigest digest;

        memcpy(pages, section->records->data + i * section->record_size,
               (size_t)here * section->record_size);
        page_digest(pages, &digest);
        memcpy(table + PAGE_DIGEST, digest.bytes, VT_DIGEST_BYTES);
        put64(table + PAGE_FIRST_KEY, key);
        key = section->first_key(section->records->data, i, key, here);
        table += PAGE_ENTRY;
        pages += PAGE_SIZE;
    }
}

static void
put_section(const SectionSource *section, uint64_t first_page, uint8_t *entry)
{
    put32(entry + SECTION_TYPE, section->type);
    put32(entry + SECTION_FLAGS, SECTION_MUST_UNDERSTAND);
    put32(entry + SECTION_RECORD_SIZE, section->record_size);
    put32(entry + SECTION_FIRST_PAGE, (uint32_t)first_page);
    put64(entry + SECTION_RECORD_COUNT, section->records->len / section->record_size);
}

static void
put_header(const VtIndexBuilder *builder, uint32_t sections, uint64_t pages, uint8_t *data)
{
    memcpy(data + ROOT_MAGIC, INDEX_MAGIC, 8);
    put32(data + ROOT_VERSION, INDEX_VERSION);
    put32(data + ROOT_HEADER_SIZE, ROOT_HEADER);
    put32(data + ROOT_BLOCK_SIZE, VT_INDEX_BLOCK_SIZE);
    put32(data + ROOT_FRAME_SIZE, builder->frame_size);
    put32(data + ROOT_PAGE_SIZE, PAGE_SIZE);
    put32(data + ROOT_CLUSTER_BITS, builder->is_delta ? CLUSTER_BITS_DELTA : CLUSTER_BITS_FULL);
    if (builder->is_delta)
        memcpy(data + ROOT_PARENT, builder->parent.bytes, VT_DIGEST_BYTES);
    put64(data + ROOT_CAPACITY, builder->guest * VT_INDEX_BLOCK_SIZE);
    put64(data + ROOT_LITERAL_BLOCKS, builder->literal_blocks);
    put64(data + ROOT_DATA_BLOCKS, builder->data_blocks);
    put32(data + ROOT_BLOB_COUNT, builder->blob_count);
    put32(data + ROOT_SECTION_COUNT, sections);
    put32(data + ROOT_PAGE_COUNT, (uint32_t)pages);
}

GBytes *
vt_index_builder_finish(VtIndexBuilder *builder)
{
    const SectionSource sections[] = {
        {SECTION_TYPE_EXTENTS, EXTENT_RECORD, builder->extents, next_extent_key},
        {SECTION_TYPE_FRAMES, FRAME_RECORD, builder->frames, next_number},
        {SECTION_TYPE_PREFIXES, PREFIX_RECORD, builder->prefixes, next_number},
    };
    /* the last one is there if it has something */
    const uint32_t count = G_N_ELEMENTS(sections) - (builder->prefixes->len == 0);
    uint64_t page_count = 0, page = 0;
    uint8_t *data, *table;
    size_t size;

    flush_extent(builder);
    for (uint32_t i = 0; i < count; i++)
        page_count += section_pages(&sections[i]);
    builder->root_size = (uint32_t)(ROOT_HEADER + count * SECTION_ENTRY + page_count * PAGE_ENTRY);
    size = builder->root_size + page_count * PAGE_SIZE;
    data = g_malloc0(size);
    put_header(builder, count, page_count, data);
    table = data + ROOT_HEADER + count * SECTION_ENTRY;
    for (uint32_t i = 0; i < count; i++) {
        put_section(&sections[i], page, data + ROOT_HEADER + i * SECTION_ENTRY);
        put_pages(&sections[i], table + page * PAGE_ENTRY,
                  data + builder->root_size + page * PAGE_SIZE);
        page += section_pages(&sections[i]);
    }
    return g_bytes_new_take(data, size);
}

uint32_t
vt_index_builder_root_size(const VtIndexBuilder *builder)
{
    return builder->root_size;
}
