/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-similar.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK 4096u
#define DISK  600u

/* Always the same noise, in which each block is its own */
static void
make_noise(uint8_t *bytes, gsize size, uint64_t seed)
{
    for (gsize i = 0; i < size; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (uint8_t)(seed >> 56);
    }
}

static uint8_t *
new_disk(uint64_t seed)
{
    uint8_t *disk = g_malloc(DISK * BLOCK);

    make_noise(disk, DISK * BLOCK, seed);
    return disk;
}

static VtSimilar *
index_disk(const uint8_t *disk, uint64_t announced)
{
    VtSimilar *similar = vt_similar_new(announced);

    for (uint64_t i = 0; i < DISK; i++)
        vt_similar_add(similar, i, disk + i * BLOCK);
    return similar;
}

static GArray *
find(const VtSimilar *similar, const uint8_t *content, uint32_t blocks)
{
    GArray *segments = g_array_new(false, false, sizeof(VtSimilarSegment));
    VtSimilarSegment stale = {.block = 1, .length = 1};

    g_array_append_val(segments, stale);
    vt_similar_find(similar, content, blocks, segments);
    return segments;
}

static void
assert_segment(GArray *segments, guint i, uint64_t block, uint32_t length)
{
    const VtSimilarSegment *segment = &g_array_index(segments, VtSimilarSegment, i);

    g_assert_cmpuint(i, <, segments->len);
    g_assert_cmpuint(segment->block, ==, block);
    g_assert_cmpuint(segment->length, ==, length);
}

static void
test_moved_by_bytes(void)
{
    g_autofree uint8_t *disk = new_disk(1);
    g_autofree uint8_t *content = g_malloc(8 * BLOCK);
    g_autoptr(VtSimilar) similar = index_disk(disk, DISK);
    g_autoptr(GArray) segments = NULL;

    memcpy(content, disk + 100 * BLOCK + 1234, 8 * BLOCK);
    segments = find(similar, content, 8);
    /* the nine blocks that it lies across, and one on each side */
    g_assert_cmpuint(segments->len, ==, 1);
    assert_segment(segments, 0, 99, 11);
}

static void
test_changed_in_many_places(void)
{
    g_autofree uint8_t *disk = new_disk(2);
    g_autofree uint8_t *content = g_memdup2(disk + 300 * BLOCK, 4 * BLOCK);
    g_autoptr(VtSimilar) similar = index_disk(disk, DISK);
    g_autoptr(GArray) segments = NULL;

    /* as the addresses in a program that was linked anew */
    for (gsize i = 0; i < 4 * BLOCK; i += 100)
        content[i] ^= 1;
    segments = find(similar, content, 4);
    g_assert_cmpuint(segments->len, ==, 1);
    assert_segment(segments, 0, 299, 6);
}

static void
test_two_sources(void)
{
    g_autofree uint8_t *disk = new_disk(3);
    g_autofree uint8_t *content = g_malloc(2 * BLOCK);
    g_autoptr(VtSimilar) similar = index_disk(disk, DISK);
    g_autoptr(GArray) segments = NULL;

    /* at both ends of the disk, where there is no neighbour */
    memcpy(content, disk + (DISK - 1) * BLOCK, BLOCK);
    memcpy(content + BLOCK, disk, BLOCK);
    segments = find(similar, content, 2);
    g_assert_cmpuint(segments->len, ==, 2);
    assert_segment(segments, 0, 0, 2);
    assert_segment(segments, 1, DISK - 2, 2);
}

static void
test_nothing_alike(void)
{
    g_autofree uint8_t *disk = new_disk(4), *other = new_disk(5);
    g_autoptr(VtSimilar) similar = index_disk(disk, DISK), empty = vt_similar_new(0);
    g_autoptr(GArray) unlike = find(similar, other, 32), none = find(empty, disk, 32);
    g_autoptr(GArray) nothing = find(similar, disk, 0);

    g_assert_cmpuint(unlike->len, ==, 0);
    g_assert_cmpuint(none->len, ==, 0);
    g_assert_cmpuint(nothing->len, ==, 0);
}

/* A page of one byte is on every disk, and is a run that zstd needs no help with */
static void
test_runs_of_a_byte(void)
{
    g_autofree uint8_t *disk = new_disk(6);
    g_autoptr(VtSimilar) similar = NULL;
    g_autoptr(GArray) segments = NULL;

    for (guint i = 0; i < 256; i++)
        memset(disk + (gsize)i * BLOCK, (int)i, BLOCK);
    similar = index_disk(disk, DISK);
    segments = find(similar, disk, 256);
    for (guint i = 0; i < segments->len; i++) {
        VtSimilarSegment *segment = &g_array_index(segments, VtSimilarSegment, i);

        g_assert_cmpuint(segment->block + segment->length, <=, 257);
    }
}

static void
assert_within_limits(GArray *segments, uint32_t blocks)
{
    uint64_t end = 0;
    uint32_t sum = 0;

    g_assert_cmpuint(segments->len, <=, VT_SIMILAR_SEGMENTS_MAX);
    for (guint i = 0; i < segments->len; i++) {
        VtSimilarSegment *segment = &g_array_index(segments, VtSimilarSegment, i);

        g_assert_cmpuint(segment->length, >, 0);
        /* a gap, or they would be one */
        g_assert_true(i == 0 || segment->block > end);
        end = segment->block + segment->length;
        sum += segment->length;
    }
    g_assert_cmpuint(end, <=, DISK);
    g_assert_cmpuint(sum, <=, MIN(VT_SIMILAR_FACTOR * blocks, VT_SIMILAR_BLOCKS_MAX));
}

/* Content that takes a little of everything asks for more than there may be */
static void
test_limits(void)
{
    g_autofree uint8_t *disk = new_disk(7);
    g_autofree uint8_t *content = g_malloc(1024 * BLOCK);
    g_autoptr(VtSimilar) similar = index_disk(disk, DISK);
    static const uint32_t sizes[] = {1, 16, 32, 256, 1024};

    for (gsize i = 0; i < 1024 * BLOCK; i += 512)
        memcpy(content + i, disk + i * 7919 % (DISK * BLOCK - 512), 512);
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GArray) segments = find(similar, content, sizes[i]);

        g_assert_cmpuint(segments->len, >, 0);
        assert_within_limits(segments, sizes[i]);
    }
}

/* Every third block is somewhere else on the disk: as many segments as blocks, were it allowed */
static void
test_limit_of_segments(void)
{
    const uint32_t blocks = 1000;
    g_autofree uint8_t *content = g_malloc((gsize)blocks * BLOCK);
    g_autoptr(VtSimilar) similar = vt_similar_new(blocks);
    g_autoptr(GArray) segments = NULL;

    make_noise(content, (gsize)blocks * BLOCK, 8);
    for (uint64_t i = 0; i < blocks; i++)
        vt_similar_add(similar, 5 * i, content + i * BLOCK);
    segments = find(similar, content, blocks);
    g_assert_cmpuint(segments->len, ==, VT_SIMILAR_SEGMENTS_MAX);
}

/* A disk that is bigger than was announced is thinned, and still known by its neighbours */
static void
test_thinned(void)
{
    g_autofree uint8_t *disk = new_disk(9);
    g_autoptr(VtSimilar) similar = index_disk(disk, 0);
    guint found = 0;

    for (gsize i = 0; i + 32 <= DISK; i += 32) {
        g_autoptr(GArray) segments = find(similar, disk + i * BLOCK, 32);

        assert_within_limits(segments, 32);
        for (guint k = 0; k < segments->len; k++) {
            VtSimilarSegment *segment = &g_array_index(segments, VtSimilarSegment, k);

            g_assert_cmpuint(segment->block + 1, >=, i);
            g_assert_cmpuint(segment->block + segment->length, <=, i + 33);
        }
        found += segments->len > 0;
    }
    g_assert_cmpuint(found, ==, DISK / 32);
}

/* The first of equal blocks counts, and the answer is the same each time */
static void
test_same_answer(void)
{
    g_autofree uint8_t *disk = new_disk(10);
    g_autoptr(VtSimilar) one = NULL, two = NULL;
    g_autoptr(GArray) first = NULL, second = NULL;

    memcpy(disk + 400 * BLOCK, disk + 50 * BLOCK, 20 * BLOCK);
    one = index_disk(disk, DISK);
    two = index_disk(disk, DISK);
    first = find(one, disk + 400 * BLOCK, 20);
    second = find(two, disk + 400 * BLOCK, 20);
    g_assert_cmpuint(first->len, ==, 1);
    assert_segment(first, 0, 49, 22);
    g_assert_cmpmem(first->data, first->len * sizeof(VtSimilarSegment), second->data,
                    second->len * sizeof(VtSimilarSegment));
}

/* The number of a block uses all of its 32 bits */
static void
test_end_of_the_largest_disk(void)
{
    uint8_t content[BLOCK];
    g_autoptr(VtSimilar) similar = vt_similar_new(G_MAXUINT64);
    g_autoptr(GArray) segments = NULL;

    make_noise(content, sizeof(content), 11);
    vt_similar_add(similar, G_MAXUINT32, content);
    segments = find(similar, content, 1);
    g_assert_cmpuint(segments->len, ==, 1);
    assert_segment(segments, 0, (uint64_t)G_MAXUINT32 - 1, 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/similar/moved-by-bytes", test_moved_by_bytes);
    g_test_add_func("/similar/changed-in-many-places", test_changed_in_many_places);
    g_test_add_func("/similar/two-sources", test_two_sources);
    g_test_add_func("/similar/nothing-alike", test_nothing_alike);
    g_test_add_func("/similar/runs-of-a-byte", test_runs_of_a_byte);
    g_test_add_func("/similar/limits", test_limits);
    g_test_add_func("/similar/limit-of-segments", test_limit_of_segments);
    g_test_add_func("/similar/thinned", test_thinned);
    g_test_add_func("/similar/same-answer", test_same_answer);
    g_test_add_func("/similar/end-of-the-largest-disk", test_end_of_the_largest_disk);
    return g_test_run();
}
