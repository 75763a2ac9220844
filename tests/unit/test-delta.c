/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-delta.c: chains of layers are the disks that they were made from */
#include "delta-world.h"

#include "vt-index-format.h"
#include "vt-layer-gather.h"
#include "vt-sha256.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* Rounds with random disks, unless VT_TEST_ROUNDS says how many, and with -m thorough; qemu reads
 * those of each 50th one too, which takes longer than a round */
#define ROUNDS          60
#define ROUNDS_THOROUGH 1000
#define QEMU_EVERY      50
/* Read at once, at most */
#define RUN_MAX 64

/* The layers up to number @number */
static VtVerifyJob
verify_job(const World *world, guint number, VtVerifyLayer *layers)
{
    for (guint i = 0; i <= number; i++)
        layers[i] = (VtVerifyLayer){.index = world->layers[i].result.index,
                                    .fd = world->fds[i],
                                    .backing = i > 0 ? world->paths[i - 1] : NULL};
    return (VtVerifyJob){.layers = layers, .count = number + 1, .threads = 1};
}

static bool
verify_layer(const World *world, guint number, GError **error)
{
    VtVerifyLayer layers[LAYERS];
    const VtVerifyJob job = verify_job(world, number, layers);

    return layer_fixture_verify(&job, error);
}

/* Reads the disk through the chain, as a layer above it would, in runs of any length */
static void
assert_disk(World *world, guint number, GRand *rand)
{
    const guint count = world_ancestors(world, number + 1);
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;
    uint8_t here[RUN_MAX * BLOCK], there[RUN_MAX * BLOCK];
    uint64_t blocks;
    struct stat st;

    vt_chain_new(&world->layers[number].result.index_digest, world->ancestors, count, &chain,
                 &error);
    g_assert_no_error(error);
    g_assert_cmpint(fstat(world->images[number], &st), ==, 0);
    blocks = (uint64_t)st.st_size / BLOCK;
    g_assert_cmpuint(vt_chain_blocks(chain, 1), ==, blocks);
    for (uint64_t block = 0; block < blocks;) {
        const uint32_t run = rand ? (uint32_t)g_rand_int_range(rand, 1, RUN_MAX + 1) : 1;
        const VtPrefix place = {block, (uint32_t)MIN(run, blocks - block), 1};
        const size_t length = place.length * BLOCK;

        vt_chain_read(chain, &place, here, &error);
        g_assert_no_error(error);
        g_assert_cmpint(pread(world->images[number], there, length, (off_t)(block * BLOCK)), ==,
                        (ssize_t)length);
        g_assert_cmpmem(here, length, there, length);
        block += place.length;
    }
}

static void
run_qemu_img(const char *arguments)
{
    g_autofree char *command = g_strconcat("qemu-img ", arguments, NULL), *err = NULL, *out = NULL;
    g_autoptr(GError) error = NULL;
    int status = -1;

    g_spawn_command_line_sync(command, &out, &err, &status, &error);
    g_assert_no_error(error);
    if (status != 0)
        g_error("%s: %s%s", command, out, err);
}

static void
assert_qemu_agrees(const World *world, guint number)
{
    g_autofree char *image =
        g_strdup_printf("/proc/%d/fd/%d", (int)getpid(), world->images[number]);
    g_autofree char *check = g_strconcat("check -q -f qcow2 ", world->paths[number], NULL);
    g_autofree char *compare =
        g_strdup_printf("compare -q -f qcow2 -F raw %s %s", world->paths[number], image);

    run_qemu_img(check);
    run_qemu_img(compare);
}

/* ---- random disks ---- */

static void
put_noise(int fd, uint64_t at, GRand *rand)
{
    uint8_t block[BLOCK];
    const guint32 value = g_rand_int_range(rand, 0, 40);

    /* some values occur again, some are zeros */
    for (guint i = 0; i < BLOCK; i += 4) {
        guint32 word = value > 10 ? g_rand_int(rand) : value * 77;

        memcpy(block + i, &word, 4);
    }
    world_put(fd, at, block);
}

/* The disk of @from, and then runs that are new, zero, or from elsewhere on it */
static int
mutate(int from, uint64_t from_blocks, uint64_t blocks, GRand *rand)
{
    int fd = world_image(blocks);
    uint8_t block[BLOCK];

    for (uint64_t i = 0; i < MIN(blocks, from_blocks); i++) {
        g_assert_cmpint(pread(from, block, BLOCK, (off_t)(i * BLOCK)), ==, BLOCK);
        world_put(fd, i, block);
    }
    for (int run = g_rand_int_range(rand, 0, 12); run > 0; run--) {
        const int kind = g_rand_int_range(rand, 0, 3);
        uint64_t at = (uint64_t)g_rand_int_range(rand, 0, (gint32)blocks);
        uint64_t source = (uint64_t)g_rand_int_range(rand, 0, (gint32)from_blocks);

        for (int i = g_rand_int_range(rand, 1, 50); i > 0 && at < blocks; i--, at++, source++) {
            memset(block, 0, BLOCK);
            if (kind == 0)
                put_noise(fd, at, rand);
            if (kind == 1)
                world_put(fd, at, block);
            if (kind == 2 && source < from_blocks) {
                g_assert_cmpint(pread(from, block, BLOCK, (off_t)(source * BLOCK)), ==, BLOCK);
                world_put(fd, at, block);
            }
        }
    }
    return fd;
}

/* A byte that the layer's file has, by what its map says; @ret_primary: whether a frame is read
 * from there. Returns: its offset, 0 if there is none */
static uint64_t
random_place(const World *world, guint number, GRand *rand, bool *ret_primary)
{
    g_autoptr(VtLayerMap) map = NULL;
    g_autoptr(VtIndex) index = NULL;
    const VtTarget *target = NULL;
    guint all, at;

    g_assert_true(vt_index_parse(world->layers[number].result.index, &index, NULL));
    g_assert_true(vt_layer_map_new(index, NULL, &map, NULL));
    all = map->primary.all->len + map->copies.all->len + map->moves->len;
    if (all == 0)
        return 0;
    at = (guint)g_rand_int_range(rand, 0, (gint32)all);
    *ret_primary = at < map->primary.all->len;
    if (*ret_primary)
        target = &g_array_index(map->primary.all, VtTarget, at);
    else if (at - map->primary.all->len < map->copies.all->len)
        target = &g_array_index(map->copies.all, VtTarget, at - map->primary.all->len);
    if (target)
        return target->offset + (uint64_t)g_rand_int_range(rand, 0, (gint32)target->blocks * 4096);
    at -= map->primary.all->len + map->copies.all->len;
    return g_array_index(map->moves, VtMove, at).offset +
           (uint64_t)g_rand_int_range(rand, 0,
                                      (gint32)g_array_index(map->moves, VtMove, at).blocks * 4096);
}

static void
flip(int fd, uint64_t offset)
{
    uint8_t byte;

    g_assert_cmpint(pread(fd, &byte, 1, (off_t)offset), ==, 1);
    byte ^= 0x40;
    g_assert_cmpint(pwrite(fd, &byte, 1, (off_t)offset), ==, 1);
}

/* Any bit that is wrong is found, in the layer where it is and no other; and going on with the file
 * as with a download that was cut off mends it, with at most one request for the frame */
static void
assert_found_and_mended(World *world, GRand *rand)
{
    const guint number = (guint)g_rand_int_range(rand, 0, (gint32)world->count);
    LayerFixture *layer = &world->layers[number];
    VtLayerState states[LAYERS] = {{0}};
    VtVerifyLayer layers[LAYERS];
    const VtVerifyJob job = verify_job(world, world->count - 1, layers);
    g_autoptr(GError) error = NULL;
    bool primary = false;
    const uint64_t offset = random_place(world, number, rand, &primary);

    if (offset == 0)
        return;
    flip(world->fds[number], offset);
    g_assert_true(vt_verify_chain(&job, states, &error));
    for (guint i = 0; i < world->count; i++) {
        g_assert_cmpuint(states[i].damaged, ==, i == number);
        vt_layer_state_clear(&states[i]);
    }
    world_ancestors(world, number);
    layer->requests = 0;
    layer_fixture_unpack(layer, world->fds[number], true, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(layer->requests, ==, primary);
    g_assert_true(verify_layer(world, world->count - 1, &error));
}

static void
run_round(guint32 seed, bool with_qemu)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    uint64_t before = 0, blocks = (uint64_t)g_rand_int_range(rand, 1, 600);
    World world;

    world_init(&world);
    for (guint i = 0; i < LAYERS; i++) {
        g_autoptr(GError) error = NULL;
        int image = world_image(blocks);

        if (i == 0) {
            for (uint64_t at = 0; at < blocks; at++)
                if (g_rand_int_range(rand, 0, 3) > 0)
                    put_noise(image, at, rand);
        } else {
            close(image);
            image = mutate(world.images[i - 1], before, blocks, rand);
        }
        world_add(&world, image);
        assert_disk(&world, i, rand);
        g_assert_true(verify_layer(&world, i, &error));
        if (with_qemu)
            assert_qemu_agrees(&world, i);
        before = blocks;
        if (g_rand_int_range(rand, 0, 3) == 0)
            blocks = (uint64_t)g_rand_int_range(rand, 1, 900);
    }
    assert_found_and_mended(&world, rand);
    world_clear(&world);
}

static void
test_random(void)
{
    const char *wanted = g_getenv("VT_TEST_ROUNDS");
    const guint32 few = g_test_thorough() ? ROUNDS_THOROUGH : ROUNDS;
    const guint32 rounds = wanted ? (guint32)g_ascii_strtoull(wanted, NULL, 10) : few;

    for (guint32 i = 0; i < rounds; i++)
        run_round(i, i % QEMU_EVERY == 0);
}

/* ---- what a delta layer is ---- */

/* "L0+2 A1:5+3 Z+1": kind, ancestor, source and length */
static char *
describe(GBytes *bytes)
{
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    VtExtentIter iter;
    VtExtent extent;

    g_assert_true(vt_index_parse(bytes, &index, NULL));
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (text->len > 0)
            g_string_append_c(text, ' ');
        if (extent.kind == VT_EXTENT_ZERO)
            g_string_append_printf(text, "Z+%u", extent.length);
        else if (extent.kind == VT_EXTENT_LITERAL)
            g_string_append_printf(text, "L%u+%u", (guint)extent.source, extent.length);
        else
            g_string_append_printf(text, "A%u:%u+%u", extent.ancestor, (guint)extent.source,
                                   extent.length);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
test_extents(void)
{
    static const struct {
        const char *before, *after, *extents;
    } cases[] = {
        {"abcd", "abcd", "A1:0+4"},
        {"abcd", "abXd", "A1:0+2 L0+1 A1:3+1"},
        {"abcd", "cdab", "A1:2+2 A1:0+2"},
        {"abcd", "ab.d", "A1:0+2 Z+1 A1:3+1"},
        {"ab.d", "ab.X", "A1:0+3 L0+1"},
        {"abcd", "abcd..", "A1:0+6"},
        {"abcd", "abcd.X", "A1:0+5 L0+1"},
        {"abcd", "ab", "A1:0+2"},
        {"abcd", "XabcdX", "L0+1 A1:0+4 L0+1"},
        {"a..b", "XXXX", "L0+1 L0+1 L0+1 L0+1"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *extents = NULL;
        World world;

        world_init(&world);
        world_add(&world, world_image_of(cases[i].before));
        world_add(&world, world_image_of(cases[i].after));
        extents = describe(world.layers[1].result.index);
        g_assert_cmpstr(extents, ==, cases[i].extents);
        assert_disk(&world, 1, NULL);
        assert_qemu_agrees(&world, 1);
        world_clear(&world);
    }
}

/* What no disk between shows any more is taken from the ancestor that had it */
static void
test_hidden(void)
{
    static const struct {
        const char *versions[4], *extents;
    } cases[] = {
        {{"abcd", "XbYd", "abcd"}, "A2:0+1 A1:1+1 A2:2+1 A1:3+1"},
        {{"abcdef", "abcd", "abcdef"}, "A1:0+4 A2:4+2"},
        {{"abcd", "....", "cdab"}, "A2:2+2 A2:0+2"},
        {{"abcd", "XXXX", "YYYY", "abcdXY"}, "A3:0+4 A2:0+1 A1:0+1"},
        {{"ab", "Xb", "Xba", "YZW"}, "L0+3"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *extents = NULL;
        guint count = 0;
        World world;

        world_init(&world);
        while (count < G_N_ELEMENTS(cases[i].versions) && cases[i].versions[count])
            world_add(&world, world_image_of(cases[i].versions[count++]));
        extents = describe(world.layers[count - 1].result.index);
        g_assert_cmpstr(extents, ==, cases[i].extents);
        assert_disk(&world, count - 1, NULL);
        assert_qemu_agrees(&world, count - 1);
        world_clear(&world);
    }
}

/* ---- frames over prefixes ---- */

/* Blocks of text that does not repeat; with @edited, a word in each is another one */
static int
text_image(guint blocks, bool edited)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    int fd = world_image(blocks);

    for (guint i = 0; i < blocks; i++) {
        uint8_t block[BLOCK];

        for (guint at = 0; at < BLOCK; at++)
            block[at] = (uint8_t)g_rand_int_range(rand, 0, 256);
        if (edited)
            memset(block + 1000 + i * 8 % 2000, 'x', 8);
        world_put(fd, i, block);
    }
    return fd;
}

static void
test_prefixes(void)
{
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;
    World world;

    world_init(&world);
    world_add(&world, text_image(200, false));
    world_add(&world, text_image(200, true));
    g_assert_true(vt_index_parse(world.layers[1].result.index, &index, &error));
    g_assert_cmpuint(index->literal_blocks, ==, 200);
    g_assert_cmpuint(index->prefix_count, >, 0);
    /* noise, but for what the parent has */
    g_assert_cmpuint(world.layers[1].result.stored_bytes, <, 200 * BLOCK / 10);
    assert_disk(&world, 1, NULL);
    assert_qemu_agrees(&world, 1);
    g_assert_true(verify_layer(&world, 1, &error));
    world_clear(&world);
}

/* The parent was damaged after it was fetched: that must not go unnoticed into its child */
static void
test_damaged_prefix(void)
{
    g_autoptr(GError) error = NULL;
    uint8_t block[BLOCK];
    struct stat st;
    World world;

    world_init(&world);
    world_add(&world, text_image(64, false));
    world_add(&world, text_image(64, true));
    g_assert_cmpint(fstat(world.fds[0], &st), ==, 0);
    memset(block, 'y', sizeof(block));
    for (guint i = 1; i <= 64; i++)
        g_assert_cmpint(pwrite(world.fds[0], block, BLOCK, st.st_size - (off_t)i * BLOCK), ==,
                        BLOCK);
    world_ancestors(&world, 1);
    g_assert_cmpint(ftruncate(world.fds[1], 0), ==, 0);
    g_assert_false(layer_fixture_unpack(&world.layers[1], world.fds[1], false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    if (!strstr(error->message, "does not have the content that it was made from"))
        g_error("%s", error->message);
    world_clear(&world);
}

static void
test_damage(void)
{
    uint8_t byte = 0xff;
    g_autoptr(GError) error = NULL;
    World world;
    struct stat st;

    world_init(&world);
    world_add(&world, world_image_of("abcdefgh"));
    world_add(&world, world_image_of("habXdefg"));
    g_assert_true(verify_layer(&world, 1, &error));
    g_assert_cmpint(fstat(world.fds[1], &st), ==, 0);
    /* what was moved is at the end of the file: the blocks of one cluster */
    g_assert_cmpint(pwrite(world.fds[1], &byte, 1, st.st_size - 131072 + 100), ==, 1);
    g_assert_false(verify_layer(&world, 1, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "is not what its ancestor 1 has"));
    world_clear(&world);
}

/* ---- moves beside frames ---- */

#define GROUPS     10
#define GROUP_NEW  16
#define GROUP_RUNS 4
#define RUN        15

/* Sixteen blocks of noise, four runs of @parent from other places, and so on without a gap: all of
 * it is written in a few large writes */
static int
woven_image(int parent)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(12);
    int fd = world_image(GROUPS * (GROUP_NEW + GROUP_RUNS * RUN));
    uint8_t block[BLOCK];
    uint64_t at = 0, source;

    for (guint group = 0; group < GROUPS; group++) {
        for (guint i = 0; i < GROUP_NEW; i++, at++) {
            for (guint k = 0; k < BLOCK; k++)
                block[k] = (uint8_t)g_rand_int_range(rand, 0, 256);
            world_put(fd, at, block);
        }
        for (guint i = 0; i < GROUP_RUNS * RUN; i++, at++) {
            source = (group * GROUP_RUNS + i / RUN) * (RUN + 12) + i % RUN;
            g_assert_cmpint(pread(parent, block, BLOCK, (off_t)(source * BLOCK)), ==, BLOCK);
            world_put(fd, at, block);
        }
    }
    return fd;
}

static uint64_t
first_move_beside(GBytes *bytes)
{
    g_autoptr(VtLayerGather) gather = NULL;
    g_autoptr(VtLayerMap) map = NULL;
    g_autoptr(VtIndex) index = NULL;

    g_assert_true(vt_index_parse(bytes, &index, NULL));
    g_assert_true(vt_layer_map_new(index, NULL, &map, NULL));
    gather = vt_layer_gather_new(map, index, true);
    g_assert_cmpuint(gather->beside->len, ==, GROUPS * GROUP_RUNS);
    return g_array_index(gather->beside, VtMove, 0).offset;
}

/* They are written with frames, and without them when the frames are here already */
static void
test_beside(void)
{
    g_autoptr(GError) error = NULL;
    LayerFixture *layer;
    World world;

    world_init(&world);
    world_add(&world, text_image(1200, false));
    world_add(&world, woven_image(world.images[0]));
    layer = &world.layers[1];
    assert_disk(&world, 1, NULL);
    assert_qemu_agrees(&world, 1);
    g_assert_true(verify_layer(&world, 1, &error));
    flip(world.fds[1], first_move_beside(layer->result.index));
    g_assert_false(verify_layer(&world, 1, NULL));
    world_ancestors(&world, 1);
    layer->requests = 0;
    layer_fixture_unpack(layer, world.fds[1], true, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(layer->requests, ==, 0);
    g_assert_true(verify_layer(&world, 1, &error));
    world_clear(&world);
}

/* A block in each of many tables: more metadata than is written at a time */
static void
test_wide(void)
{
    const uint64_t blocks_per_table = (512u << 20) / BLOCK;
    const guint tables = 40;
    int image = world_image(tables * blocks_per_table);
    uint8_t block[BLOCK];
    World world;

    for (guint i = 0; i < tables; i++) {
        memset(block, 'a' + (int)i, BLOCK);
        world_put(image, i * blocks_per_table + i, block);
    }
    world_init(&world);
    world_add(&world, image);
    assert_qemu_agrees(&world, 0);
    world_clear(&world);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/delta/extents", test_extents);
    g_test_add_func("/delta/hidden", test_hidden);
    g_test_add_func("/delta/prefixes", test_prefixes);
    g_test_add_func("/delta/damaged-prefix", test_damaged_prefix);
    g_test_add_func("/delta/damage", test_damage);
    g_test_add_func("/delta/beside", test_beside);
    g_test_add_func("/delta/wide", test_wide);
    g_test_add_func("/delta/random", test_random);
    return g_test_run();
}
