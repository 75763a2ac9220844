/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-index.h"
#include "vt-index-format.h"

/*
 * The index under test: 100 blocks of disk, 40 literal blocks in 3 frames of 16, two blobs
 *
 *   guest   0 +10  literal 0      frame 0: blob 0, 0 + 500
 *          10 +50  zero           frame 1: blob 0, 500 + 600
 *          60 +30  literal 10     frame 2: blob 1, 0 + 700
 *          90 + 4  literal 2 (seen before)
 *          94 + 6  zero
 */
static VtFrame
frame_of(uint32_t blob, uint32_t offset, uint32_t size, uint32_t blocks)
{
    VtFrame frame = {.blob = blob, .offset = offset, .size = size, .blocks = blocks};

    memset(frame.digest.bytes, (int)size & 0xff, VT_DIGEST_BYTES);
    memset(frame.content_digest.bytes, (int)blocks, VT_DIGEST_BYTES);
    return frame;
}

static GBytes *
sample(void)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MIN);
    const VtFrame frames[] = {frame_of(0, 0, 500, 16), frame_of(0, 500, 600, 16),
                              frame_of(1, 0, 700, 8)};

    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, 4);
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 4, 6);
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, 20);
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, 30);
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 10, 30);
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 2, 4);
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, 6);
    for (size_t i = 0; i < G_N_ELEMENTS(frames); i++)
        vt_index_builder_add_frame(builder, &frames[i]);
    return vt_index_builder_finish(builder);
}

static void
test_round_trip(void)
{
    static const VtExtent want[] = {
        {0, 0, 10, VT_EXTENT_LITERAL}, {10, 0, 50, VT_EXTENT_ZERO}, {60, 10, 30, VT_EXTENT_LITERAL},
        {90, 2, 4, VT_EXTENT_LITERAL}, {94, 0, 6, VT_EXTENT_ZERO},
    };
    static const uint64_t sizes[] = {1100, 700};
    g_autoptr(GBytes) bytes = sample(), again = sample();
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;
    VtExtentIter iter;
    VtExtent extent;
    VtFrame frame;

    g_assert_true(g_bytes_equal(bytes, again));
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(index->capacity, ==, 100 * 4096);
    g_assert_cmpuint(index->literal_blocks, ==, 40);
    g_assert_cmpuint(index->data_blocks, ==, 44);
    g_assert_cmpuint(index->blob_count, ==, 2);
    g_assert_cmpuint(index->frame_blocks, ==, 16);
    vt_extent_iter_init(&iter, index);
    for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
        g_assert_true(vt_extent_iter_next(&iter, &extent));
        g_assert_cmpuint(extent.guest, ==, want[i].guest);
        g_assert_cmpuint(extent.length, ==, want[i].length);
        g_assert_cmpuint(extent.source, ==, want[i].source);
        g_assert_cmpuint(extent.kind, ==, want[i].kind);
    }
    g_assert_false(vt_extent_iter_next(&iter, &extent));
    vt_index_frame(index, 2, &frame);
    g_assert_cmpuint(frame.blob, ==, 1);
    g_assert_cmpuint(frame.size, ==, 700);
    g_assert_cmpuint(frame.blocks, ==, 8);
    g_assert_cmpuint(frame.digest.bytes[31], ==, 700 & 0xff);
    g_assert_cmpuint(frame.content_digest.bytes[31], ==, 8);
    g_assert_true(vt_index_check_blobs(index, sizes, 2, &error));
}

/* Records enough for several pages of each kind, and page boundaries in the middle */
static void
test_many(void)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MIN);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;
    VtExtentIter iter;
    VtExtent extent;

    for (uint32_t i = 0; i < 5000; i++) {
        VtFrame frame = frame_of(0, 100 * i, 100, 16);

        vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, i * 16, 16);
        vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, i + 1);
        vt_index_builder_add_frame(builder, &frame);
    }
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(index->extent_count, ==, 10000);
    g_assert_cmpuint(index->frame_count, ==, 5000);
    g_assert_cmpuint(index->root_size, ==, vt_index_builder_root_size(builder));
    g_assert_cmpuint(vt_index_peek_data(g_bytes_get_data(bytes, NULL)), ==,
                     5000 * 16 * VT_INDEX_BLOCK_SIZE);
    vt_extent_iter_init(&iter, index);
    for (uint32_t i = 0; i < 10000; i++)
        g_assert_true(vt_extent_iter_next(&iter, &extent));
    g_assert_cmpuint(extent.length, ==, 5000);
}

static void
test_all_zero(void)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MAX);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;

    /* The largest disk: 2^32 blocks, one more than an extent can have */
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, UINT32_MAX);
    vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, 1);
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(index->capacity, ==, VT_INDEX_CAPACITY_MAX);
    g_assert_cmpuint(index->blob_count, ==, 0);
    g_assert_true(vt_index_check_blobs(index, NULL, 0, &error));
}

/* ---- refuse ---- */

/* In the sample: sections 1 (page 0) and 2 (page 1) */
#define SAMPLE_ROOT   (ROOT_HEADER + 2 * SECTION_ENTRY + 2 * PAGE_ENTRY)
#define SECTION(i)    (ROOT_HEADER + (i)*SECTION_ENTRY)
#define PAGE_TABLE(i) (ROOT_HEADER + 2 * SECTION_ENTRY + (i)*PAGE_ENTRY)
#define EXTENT(i)     (SAMPLE_ROOT + (i)*EXTENT_RECORD)
#define FRAME(i)      (SAMPLE_ROOT + PAGE_SIZE + (i)*FRAME_RECORD)
#define LITERAL       (UINT64_C(1) << EXTENT_KIND_SHIFT)

/* One field of the sample is overwritten, and the pages' digests are made right again */
typedef struct {
    const char *name;
    size_t offset;
    unsigned width;
    uint64_t value;
    VtError code;
    const char *message;
} Refused;

static const Refused refused[] = {
    {"magic", ROOT_MAGIC, 8, 0, VT_ERROR_INVALID, "wrong magic"},
    {"version", ROOT_VERSION, 4, 2, VT_ERROR_UNSUPPORTED, "version 2"},
    {"header-size", ROOT_HEADER_SIZE, 4, 136, VT_ERROR_INVALID, "header size is 136"},
    {"feature", ROOT_REQUIRED, 8, 2, VT_ERROR_UNSUPPORTED, "features 0x2"},
    {"block-size", ROOT_BLOCK_SIZE, 4, 512, VT_ERROR_INVALID, "block size is 512"},
    {"frame-size", ROOT_FRAME_SIZE, 4, 65535, VT_ERROR_INVALID, "frame size 65535"},
    {"frame-small", ROOT_FRAME_SIZE, 4, 32768, VT_ERROR_INVALID, "frame size 32768"},
    {"frame-large", ROOT_FRAME_SIZE, 4, 8 << 20, VT_ERROR_INVALID, "frame size 8388608"},
    {"page-size", ROOT_PAGE_SIZE, 4, 4096, VT_ERROR_INVALID, "page size is 4096"},
    {"cluster-bits", ROOT_CLUSTER_BITS, 4, 31, VT_ERROR_INVALID, "cluster bits is 31"},
    {"reserved", ROOT_RESERVED_2, 8, 1, VT_ERROR_INVALID, "reserved field"},
    {"no-capacity", ROOT_CAPACITY, 8, 0, VT_ERROR_INVALID, "virtual size 0"},
    {"odd-capacity", ROOT_CAPACITY, 8, 409601, VT_ERROR_INVALID, "virtual size 409601"},
    {"huge-capacity", ROOT_CAPACITY, 8, UINT64_C(1) << 63, VT_ERROR_TOO_LARGE, "above the limit"},
    {"capacity-less", ROOT_CAPACITY, 8, 99 * 4096, VT_ERROR_INVALID, "behind the virtual disk"},
    {"capacity-more", ROOT_CAPACITY, 8, 101 * 4096, VT_ERROR_INVALID, "cover 100 blocks"},
    {"literal-less", ROOT_LITERAL_BLOCKS, 8, 39, VT_ERROR_INVALID, "8 blocks of content, not 7"},
    {"literal-more", ROOT_LITERAL_BLOCKS, 8, 49, VT_ERROR_INVALID, "3 frames for 49"},
    {"literal-huge", ROOT_LITERAL_BLOCKS, 8, UINT64_MAX, VT_ERROR_INVALID, "more literal blocks"},
    {"data-blocks", ROOT_DATA_BLOCKS, 8, 45, VT_ERROR_INVALID, "counts 45 data blocks"},
    {"blob-count", ROOT_BLOB_COUNT, 4, 3, VT_ERROR_INVALID, "counts 3 blobs"},
    {"blobs-huge", ROOT_BLOB_COUNT, 4, 16385, VT_ERROR_INVALID, "16385 blobs"},
    {"sections", ROOT_SECTION_COUNT, 4, 17, VT_ERROR_INVALID, "17 sections"},
    {"sections-huge", ROOT_SECTION_COUNT, 4, UINT32_MAX, VT_ERROR_INVALID, "sections"},
    {"pages-more", ROOT_PAGE_COUNT, 4, 3, VT_ERROR_INVALID, "truncated"},
    {"pages-less", ROOT_PAGE_COUNT, 4, 1, VT_ERROR_INVALID, "trailing bytes"},
    {"pages-huge", ROOT_PAGE_COUNT, 4, UINT32_MAX, VT_ERROR_INVALID, "pages, more than"},
    {"parent", ROOT_PARENT, 8, 1, VT_ERROR_INVALID, "cluster bits is 16, not 17"},
    {"section-type", SECTION(1), 4, 9, VT_ERROR_UNSUPPORTED, "type 9 must be understood"},
    {"section-order", SECTION(1), 4, 1, VT_ERROR_INVALID, "type 1 stands behind type 1"},
    {"section-flags", SECTION(0) + SECTION_FLAGS, 4, 3, VT_ERROR_INVALID, "reserved bits"},
    {"section-page", SECTION(1) + SECTION_FIRST_PAGE, 4, 0, VT_ERROR_INVALID, "starts at page 0"},
    {"section-record", SECTION(0) + SECTION_RECORD_SIZE, 4, 16, VT_ERROR_INVALID, "of 16 bytes"},
    {"section-no-record", SECTION(0) + SECTION_RECORD_SIZE, 4, 0, VT_ERROR_INVALID, "of 0 bytes"},
    {"section-big-record", SECTION(0) + SECTION_RECORD_SIZE, 4, 16385, VT_ERROR_INVALID, "16385"},
    {"section-reserved", SECTION(0) + SECTION_RESERVED, 8, 1, VT_ERROR_INVALID, "reserved bits"},
    {"section-count", SECTION(1) + SECTION_RECORD_COUNT, 8, 300, VT_ERROR_INVALID, "more records"},
    {"section-count-huge", SECTION(1) + SECTION_RECORD_COUNT, 8, UINT64_MAX, VT_ERROR_INVALID,
     "more records"},
    {"section-count-0", SECTION(1) + SECTION_RECORD_COUNT, 8, 0, VT_ERROR_INVALID,
     "1 pages belong to no section"},
    {"extent-count", SECTION(0) + SECTION_RECORD_COUNT, 8, 4, VT_ERROR_INVALID, "behind its last"},
    {"first-key", PAGE_TABLE(0) + PAGE_FIRST_KEY, 8, 1, VT_ERROR_INVALID, "wrong first key"},
    {"first-key-frames", PAGE_TABLE(1) + PAGE_FIRST_KEY, 8, 1, VT_ERROR_INVALID, "first key"},
    {"page-tail", SAMPLE_ROOT + PAGE_SIZE - 4, 4, 1, VT_ERROR_INVALID, "behind its last record"},
    {"extent-empty", EXTENT(1), 4, 0, VT_ERROR_INVALID, "no length"},
    {"extent-overlap", EXTENT(1), 4, 49, VT_ERROR_INVALID, "cover 99 blocks"},
    {"extent-long", EXTENT(4), 4, 7, VT_ERROR_INVALID, "ends behind the virtual disk"},
    {"extent-huge", EXTENT(4), 4, UINT32_MAX, VT_ERROR_INVALID, "ends behind the virtual disk"},
    {"extent-source", EXTENT(3) + 4, 8, LITERAL | 37, VT_ERROR_INVALID, "out of range"},
    {"extent-far", EXTENT(3) + 4, 8, LITERAL | EXTENT_SOURCE_MASK, VT_ERROR_INVALID, "range"},
    {"extent-ancestor", EXTENT(3) + 4, 8, UINT64_C(2) << 60, VT_ERROR_INVALID, "a full layer"},
    {"extent-number", EXTENT(3) + 4, 8, LITERAL | UINT64_C(1) << 48, VT_ERROR_INVALID, "kind"},
    {"extent-kind", EXTENT(3) + 4, 8, UINT64_C(7) << 60, VT_ERROR_INVALID, "unknown kind"},
    {"extent-zero-source", EXTENT(1) + 4, 8, 5, VT_ERROR_INVALID, "has a source"},
    {"extent-unmerged", EXTENT(3) + 4, 8, 0, VT_ERROR_INVALID, "not merged"},
    {"extent-unused", EXTENT(2) + 4, 8, LITERAL | 9, VT_ERROR_INVALID, "no extent uses"},
    {"frame-blocks", FRAME(0) + FRAME_BLOCKS, 2, 15, VT_ERROR_INVALID, "15 blocks of content"},
    {"frame-empty", FRAME(1) + FRAME_SIZE, 4, 0, VT_ERROR_INVALID, "0 compressed bytes"},
    {"frame-size-huge", FRAME(1) + FRAME_SIZE, 4, 65857, VT_ERROR_INVALID, "65857 compressed"},
    {"frame-blob", FRAME(2) + FRAME_BLOB, 2, 2, VT_ERROR_INVALID, "blob 2, out of order"},
    {"frame-blob-back", FRAME(1) + FRAME_BLOB, 2, 1, VT_ERROR_INVALID, "gap before frame 1"},
    {"frame-overlap", FRAME(1) + FRAME_OFFSET, 4, 499, VT_ERROR_INVALID, "overlaps"},
    {"frame-gap", FRAME(1) + FRAME_OFFSET, 4, 501, VT_ERROR_INVALID, "gap before frame 1"},
    {"frame-offset", FRAME(0) + FRAME_OFFSET, 4, 1, VT_ERROR_INVALID, "gap before frame 0"},
    {"frame-flags", FRAME(0) + FRAME_PREFIX, 4, 1, VT_ERROR_INVALID,
     "of a full layer has a prefix"},
};

static void
overwrite(uint8_t *data, const Refused *change)
{
    uint8_t value[8];

    put64(value, change->value);
    memcpy(data + change->offset, value, change->width);
}

static void
reseal(uint8_t *data)
{
    for (size_t i = 0; i < 2; i++) {
        VtDigest digest;

        page_digest(data + SAMPLE_ROOT + i * PAGE_SIZE, &digest);
        memcpy(data + PAGE_TABLE(i), digest.bytes, VT_DIGEST_BYTES);
    }
}

static void
assert_refused(const uint8_t *data, size_t size, VtError code, const char *message)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;

    g_assert_false(vt_index_parse(bytes, &index, &error));
    g_assert_error(error, VT_ERROR, (int)code);
    g_assert_null(index);
    if (!strstr(error->message, message))
        g_error("'%s' does not say '%s'", error->message, message);
}

static void
test_refuse(gconstpointer data)
{
    const Refused *change = data;
    g_autoptr(GBytes) bytes = sample();
    gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), size);

    overwrite(copy, change);
    reseal(copy);
    assert_refused(copy, size, change->code, change->message);
}

/* Neighbours that could be one, as a careless writer would leave them */
static void
test_refuse_unmerged(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), size);

    put64(copy + EXTENT(3) + 4, LITERAL | 20);
    put32(copy + EXTENT(2), 10);
    put32(copy + EXTENT(3), 24);
    reseal(copy);
    assert_refused(copy, size, VT_ERROR_INVALID, "not merged");
}

/* Every flipped bit of a record, and of the page table, breaks a digest */
static void
test_refuse_flipped(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *copy = g_memdup2(g_bytes_get_data(bytes, NULL), size);
    const size_t places[] = {PAGE_TABLE(0), EXTENT(0), EXTENT(4), FRAME(0), FRAME(2), size - 1};

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            copy[places[i]] ^= (uint8_t)(1u << bit);
            assert_refused(copy, size, VT_ERROR_CORRUPT, "does not have the digest");
            copy[places[i]] ^= (uint8_t)(1u << bit);
        }
    }
}

static void
test_refuse_length(void)
{
    g_autoptr(GBytes) bytes = sample();
    gsize size = g_bytes_get_size(bytes);
    g_autofree uint8_t *copy = g_malloc0(size + 1);

    memcpy(copy, g_bytes_get_data(bytes, NULL), size);
    assert_refused(copy, 0, VT_ERROR_INVALID, "truncated");
    assert_refused(copy, ROOT_HEADER - 1, VT_ERROR_INVALID, "truncated");
    assert_refused(copy, ROOT_HEADER, VT_ERROR_INVALID, "truncated");
    assert_refused(copy, size - 1, VT_ERROR_INVALID, "truncated");
    assert_refused(copy, size + 1, VT_ERROR_INVALID, "trailing");
}

/* A section that need not be understood is let pass, with its pages checked */
static void
test_optional_section(void)
{
    g_autoptr(GBytes) bytes = sample(), extended = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(VtIndex) index = NULL;
    const uint8_t *old = g_bytes_get_data(bytes, NULL);
    const size_t grown = SECTION_ENTRY + PAGE_ENTRY;
    const size_t size = g_bytes_get_size(bytes) + grown + PAGE_SIZE;
    uint8_t *data = g_malloc0(size), *entry = data + SECTION(2);
    VtDigest digest;

    memcpy(data, old, SECTION(2));
    memcpy(data + SECTION(3), old + PAGE_TABLE(0), 2 * PAGE_ENTRY);
    memcpy(data + SAMPLE_ROOT + grown, old + SAMPLE_ROOT, 2 * PAGE_SIZE);
    put32(data + ROOT_SECTION_COUNT, 3);
    put32(data + ROOT_PAGE_COUNT, 3);
    put32(entry + SECTION_TYPE, 77);
    put32(entry + SECTION_RECORD_SIZE, 24);
    put32(entry + SECTION_FIRST_PAGE, 2);
    put64(entry + SECTION_RECORD_COUNT, 1);
    page_digest(data + size - PAGE_SIZE, &digest);
    memcpy(data + SECTION(3) + 2 * PAGE_ENTRY, digest.bytes, VT_DIGEST_BYTES);
    extended = g_bytes_new_take(data, size);
    vt_index_parse(extended, &index, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(index->extent_count, ==, 5);
    put32(entry + SECTION_FLAGS, SECTION_MUST_UNDERSTAND);
    assert_refused(data, size, VT_ERROR_UNSUPPORTED, "type 77 must be understood");
}

static void
test_refuse_blobs(void)
{
    static const struct {
        uint64_t sizes[3];
        uint32_t count;
    } cases[] = {{{1100}, 1}, {{1100, 700, 1}, 3}, {{1099, 700}, 2}, {{1100, 701}, 2}, {{0}, 0}};
    g_autoptr(GBytes) bytes = sample();
    g_autoptr(VtIndex) index = NULL;

    g_assert_true(vt_index_parse(bytes, &index, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_index_check_blobs(index, cases[i].sizes, cases[i].count, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/index/round-trip", test_round_trip);
    g_test_add_func("/index/many", test_many);
    g_test_add_func("/index/all-zero", test_all_zero);
    g_test_add_func("/index/optional-section", test_optional_section);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *path = g_strdup_printf("/index/refuse/%s", refused[i].name);

        g_test_add_data_func(path, &refused[i], test_refuse);
    }
    g_test_add_func("/index/refuse/unmerged", test_refuse_unmerged);
    g_test_add_func("/index/refuse/flipped", test_refuse_flipped);
    g_test_add_func("/index/refuse/length", test_refuse_length);
    g_test_add_func("/index/refuse/blobs", test_refuse_blobs);
    return g_test_run();
}
