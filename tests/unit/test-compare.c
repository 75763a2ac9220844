/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-compare.c: indexes of random chains, against models that have the content of each block */
#include "vt-compare.h"

#include <string.h>

#define FRAME_BLOCKS (VT_INDEX_FRAME_MIN / VT_INDEX_BLOCK_SIZE)
#define BLOCKS_MAX   400
#define LAYERS_MAX   6
#define ROUNDS       300

/* A layer and the disk with it on top; content 0 is zeros */
typedef struct {
    VtIndex *index;
    guint blocks;
    guint32 content[BLOCKS_MAX];
    guint32 literal[BLOCKS_MAX];
    guint literals;
} Model;

typedef struct {
    Model models[LAYERS_MAX]; /* the lowest first */
    guint count;
} Chain;

static void
chain_clear(Chain *chain)
{
    for (guint i = 0; i < chain->count; i++)
        vt_index_free(chain->models[i].index);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Chain, chain_clear)

/* As an encoder would: from the parent's same place, else from any place of an ancestor, else
 * stored, once for each content */
static void
add_block(VtIndexBuilder *builder, const Chain *below, Model *model, guint block)
{
    const guint32 content = model->content[block];
    const Model *parent = below->count > 0 ? &below->models[below->count - 1] : NULL;
    guint literal = 0;

    if (parent && block < parent->blocks && parent->content[block] == content) {
        vt_index_builder_add_ancestor(builder, 1, block, 1);
        return;
    }
    if (content == 0) {
        vt_index_builder_add_extent(builder, VT_EXTENT_ZERO, 0, 1);
        return;
    }
    for (guint ancestor = 1; ancestor <= below->count; ancestor++) {
        const Model *other = &below->models[below->count - ancestor];

        for (guint i = 0; i < other->blocks; i++) {
            if (other->content[i] != content)
                continue;
            vt_index_builder_add_ancestor(builder, ancestor, i, 1);
            return;
        }
    }
    while (literal < model->literals && model->literal[literal] != content)
        literal++;
    if (literal == model->literals)
        model->literal[model->literals++] = content;
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, literal, 1);
}

static void
add_frames(VtIndexBuilder *builder, const Model *model)
{
    for (guint first = 0; first < model->literals; first += FRAME_BLOCKS) {
        const guint blocks = MIN(FRAME_BLOCKS, model->literals - first);
        VtFrame frame = {.offset = first * 10, .size = FRAME_BLOCKS * 10, .blocks = blocks};
        g_autofree char *sum =
            g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)&model->literal[first],
                                        blocks * sizeof(model->literal[0]));

        memcpy(frame.content_digest.bytes, sum, VT_DIGEST_BYTES);
        vt_index_builder_add_frame(builder, &frame);
    }
}

/* Puts a layer with that content on top */
static void
push(Chain *chain, const guint32 *content, guint blocks)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(VT_INDEX_FRAME_MIN);
    Model *model = &chain->models[chain->count];
    const VtDigest parent = {{1}};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    *model = (Model){.blocks = blocks};
    memcpy(model->content, content, blocks * sizeof(*content));
    if (chain->count > 0)
        vt_index_builder_set_parent(builder, &parent);
    for (guint i = 0; i < blocks; i++)
        add_block(builder, chain, model, i);
    add_frames(builder, model);
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &model->index, &error);
    g_assert_no_error(error);
    chain->count++;
}

/* Changes, moves and clears some runs of a disk, and maybe its size */
static guint
mutate(guint32 *content, guint blocks, guint32 *next)
{
    const guint size = g_test_rand_bit() ? blocks : (guint)g_test_rand_int_range(20, BLOCKS_MAX);

    for (guint i = blocks; i < size; i++)
        content[i] = 0;
    for (int change = g_test_rand_int_range(1, 8); change > 0; change--) {
        const guint at = (guint)g_test_rand_int_range(0, (gint32)size);
        const guint length = (guint)g_test_rand_int_range(1, 30), end = MIN(size, at + length);
        const guint from = (guint)g_test_rand_int_range(0, (gint32)size);
        const int what = g_test_rand_int_range(0, 3);

        for (guint i = at; i < end; i++)
            content[i] = what == 0 ? 0 : what == 1 ? ++*next : content[(from + i) % size];
    }
    return size;
}

static VtDisk *
disk_of(const Chain *chain, guint count)
{
    const VtIndex *layers[LAYERS_MAX];

    for (guint i = 0; i < count; i++)
        layers[i] = chain->models[count - 1 - i].index;
    return vt_disk_new(layers, count);
}

static void
assert_disk(const Chain *chain, guint count)
{
    g_autoptr(VtDisk) disk = disk_of(chain, count);
    const Model *top = &chain->models[count - 1];
    g_autoptr(GError) error = NULL;
    VtDiskRun run = {0};

    g_assert_cmpuint(vt_disk_blocks(disk), ==, top->blocks);
    for (guint i = 0; i < top->blocks; i += (guint)run.length) {
        vt_disk_run(disk, i, &run, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(run.length, >, 0);
        g_assert_cmpuint(i + run.length, <=, top->blocks);
        for (guint j = 0; j < run.length; j++) {
            const Model *of = chain->models;

            while (run.layer && of->index != run.layer)
                of++;
            g_assert_cmpuint(top->content[i + j], ==, run.layer ? of->literal[run.literal + j] : 0);
        }
    }
}

static bool
mark(void *user, uint64_t block, uint64_t length, GError **error)
{
    memset((bool *)user + block, true, length);
    return true;
}

/* @exact: what is named differs, too */
static void
assert_difference(const Chain *a, guint count_a, const Chain *b, guint count_b, bool exact)
{
    g_autoptr(VtDisk) disk_a = disk_of(a, count_a), disk_b = disk_of(b, count_b);
    const Model *top_a = &a->models[count_a - 1], *top_b = &b->models[count_b - 1];
    bool named[BLOCKS_MAX] = {false};
    g_autoptr(GError) error = NULL;

    vt_compare_disks(disk_a, disk_b, mark, named, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < BLOCKS_MAX; i++) {
        const bool both = i < MIN(top_a->blocks, top_b->blocks);
        const bool differ = both && top_a->content[i] != top_b->content[i];

        g_assert_true(named[i] || !differ);
        g_assert_true(!exact || !named[i] || differ);
        g_assert_true(both || !named[i]);
    }
}

static void
build(Chain *chain, guint32 *next)
{
    guint32 content[BLOCKS_MAX] = {0};
    guint blocks = (guint)g_test_rand_int_range(20, BLOCKS_MAX);
    const guint layers = (guint)g_test_rand_int_range(1, LAYERS_MAX + 1);

    for (guint i = 0; i < blocks; i++)
        content[i] = g_test_rand_int_range(0, 5) == 0 ? 0 : ++*next;
    while (chain->count < layers) {
        push(chain, content, blocks);
        blocks = mutate(content, blocks, next);
    }
}

/* In one chain nothing is stored twice by the encoder above, so the answer is exact both ways */
static void
test_one_chain(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        g_auto(Chain) chain = {0};
        guint32 next = 0;

        build(&chain, &next);
        for (guint i = 1; i <= chain.count; i++) {
            assert_disk(&chain, i);
            for (guint j = 1; j <= chain.count; j++)
                assert_difference(&chain, i, &chain, j, true);
        }
    }
}

static void
test_unrelated(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        g_auto(Chain) a = {0}, b = {0};
        guint32 next = 0;

        build(&a, &next);
        /* the same contents again, more or less */
        next = g_test_rand_bit() ? 0 : 1;
        build(&b, &next);
        assert_difference(&a, a.count, &b, b.count, false);
    }
}

/* Two full layers of one disk: their frames have the same contents */
static void
test_same_frames(void)
{
    g_auto(Chain) a = {0}, b = {0};
    guint32 content[100];

    for (guint i = 0; i < G_N_ELEMENTS(content); i++)
        content[i] = i % 7 ? i : 0;
    push(&a, content, 100);
    push(&b, content, 100);
    assert_difference(&a, 1, &b, 1, true);
}

static bool
stop(void *user, uint64_t block, uint64_t length, GError **error)
{
    return vt_throw(error, VT_ERROR_BUSY, "enough");
}

static void
test_stop(void)
{
    const guint32 one[] = {1, 2, 3}, other[] = {1, 9, 3};
    g_autoptr(VtDisk) a = NULL, b = NULL;
    g_auto(Chain) of_a = {0}, of_b = {0};
    g_autoptr(GError) error = NULL;

    push(&of_a, one, 3);
    push(&of_b, other, 3);
    a = disk_of(&of_a, 1);
    b = disk_of(&of_b, 1);
    g_assert_false(vt_compare_disks(a, b, stop, NULL, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
}

static void
test_missing_ancestor(void)
{
    const guint32 one[] = {1, 2, 3}, two[] = {1, 9, 3};
    g_autoptr(VtDisk) disk = NULL;
    g_auto(Chain) chain = {0};
    g_autoptr(GError) error = NULL;
    const VtIndex *top;
    VtDiskRun run;

    push(&chain, one, 3);
    push(&chain, two, 3);
    top = chain.models[1].index;
    disk = vt_disk_new(&top, 1);
    g_assert_true(vt_disk_run(disk, 1, &run, &error));
    g_assert_false(vt_disk_run(disk, 0, &run, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/compare/one-chain", test_one_chain);
    g_test_add_func("/compare/unrelated", test_unrelated);
    g_test_add_func("/compare/same-frames", test_same_frames);
    g_test_add_func("/compare/stop", test_stop);
    g_test_add_func("/compare/missing-ancestor", test_missing_ancestor);
    return g_test_run();
}
