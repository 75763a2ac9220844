/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-unpack-plan.c: all that is missing is asked for once, in pieces that fit the connections */
#include "vt-unpack-plan.h"

#define FRAMES       2000
#define FRAME_BLOCKS 16
#define FRAME_BYTES  40000u
/* The rest is in a second blob */
#define FIRST_BLOB  1700
#define CONNECTIONS 8u

typedef struct {
    VtIndex *index;
    VtUnpackPlan plan;
} Fixture;

static GBytes *
make_index(void)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(FRAME_BLOCKS * VT_INDEX_BLOCK_SIZE);

    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, FRAMES * FRAME_BLOCKS);
    for (uint32_t i = 0; i < FRAMES; i++) {
        const VtFrame frame = {.blob = i >= FIRST_BLOB,
                               .offset = (uint64_t)(i % FIRST_BLOB) * FRAME_BYTES,
                               .size = FRAME_BYTES,
                               .blocks = FRAME_BLOCKS};

        vt_index_builder_add_frame(builder, &frame);
    }
    return vt_index_builder_finish(builder);
}

static void
set_up(Fixture *f, gconstpointer data)
{
    g_autoptr(GBytes) bytes = make_index();
    g_autoptr(GError) error = NULL;

    vt_index_parse(bytes, &f->index, &error);
    g_assert_no_error(error);
    vt_unpack_plan_init(&f->plan, f->index);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    vt_unpack_plan_clear(&f->plan);
    vt_index_free(f->index);
}

/* Returns: whether there was one; it begins at @first or behind, and ends in its blob */
static bool
take(Fixture *f, uint64_t first, VtFrameRange *ret)
{
    const uint64_t most = vt_unpack_plan_share(&f->plan, CONNECTIONS);
    const uint64_t left = f->plan.left;

    if (!vt_unpack_plan_next(&f->plan, most, ret))
        return false;
    g_assert_cmpuint(ret->first, >=, first);
    g_assert_cmpuint(ret->bytes, ==, ret->count * FRAME_BYTES);
    g_assert_cmpuint(ret->bytes, <=, most);
    g_assert_cmpuint(ret->blob, ==, ret->first >= FIRST_BLOB);
    g_assert_true(ret->blob == 1 || ret->first + ret->count <= FIRST_BLOB);
    g_assert_cmpuint(f->plan.left, ==, left - ret->bytes);
    return true;
}

static void
test_shares(Fixture *f, gconstpointer data)
{
    const uint64_t part = UINT64_C(1) * FRAMES * FRAME_BYTES / CONNECTIONS;
    uint64_t next = 0, before = part, requests = 0;
    VtFrameRange range;

    g_assert_cmpuint(f->plan.left, ==, part * CONNECTIONS);
    while (take(f, next, &range)) {
        const uint64_t end = range.first + range.count;

        g_assert_cmpuint(range.first, ==, next);
        g_assert_cmpuint(range.bytes, <=, before);
        /* Shorter than half a part only where there is no more of it */
        if (end != FIRST_BLOB && end != FRAMES) {
            g_assert_cmpuint(range.bytes + FRAME_BYTES, >, part / 2);
            before = range.bytes;
        }
        next = end;
        requests++;
    }
    g_assert_cmpuint(next, ==, FRAMES);
    g_assert_cmpuint(f->plan.left, ==, 0);
    g_assert_cmpuint(requests, >, CONNECTIONS);
    g_assert_cmpuint(requests, <=, 2 * CONNECTIONS);
}

/* A fetch that is taken up again: what is here counts for nothing */
static void
test_have(Fixture *f, gconstpointer data)
{
    uint64_t next = 0, frames = 0;
    VtFrameRange range;

    for (uint64_t i = 0; i < FRAMES; i++) {
        if (i < FRAMES / 2 || i % 100 == 0)
            vt_unpack_plan_have(&f->plan, i);
    }
    g_assert_cmpuint(vt_unpack_plan_share(&f->plan, 1), ==, UINT64_C(990) * FRAME_BYTES);
    while (take(f, next, &range)) {
        for (uint64_t i = range.first; i < range.first + range.count; i++)
            g_assert_true(i >= FRAMES / 2 && i % 100 != 0);
        next = range.first + range.count;
        frames += range.count;
    }
    g_assert_cmpuint(frames, ==, 990);
    g_assert_cmpuint(f->plan.left, ==, 0);
}

/* Nothing is missing: no request */
static void
test_complete(Fixture *f, gconstpointer data)
{
    VtFrameRange range;

    for (uint64_t i = 0; i < FRAMES; i++)
        vt_unpack_plan_have(&f->plan, i);
    g_assert_cmpuint(vt_unpack_plan_share(&f->plan, CONNECTIONS), ==, 0);
    g_assert_false(vt_unpack_plan_next(&f->plan, 1, &range));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)
    ADD("/unpack-plan/shares", test_shares);
    ADD("/unpack-plan/have", test_have);
    ADD("/unpack-plan/complete", test_complete);
#undef ADD
    return g_test_run();
}
