/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-delta.c: chains of layers are the disks that they were made from */
#include "layer-fixture.h"

#include "vt-index-format.h"
#include "vt-sha256.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK 4096u
/* Rounds with random disks, unless VT_TEST_ROUNDS says how many; the first ones are also read by
 * qemu, which takes longer */
#define ROUNDS      40
#define QEMU_ROUNDS 8
#define LAYERS      4

/* A chain in a directory: layer 0 is the full one */
typedef struct {
    char *dir;
    guint count;
    LayerFixture layers[LAYERS];
    char *paths[LAYERS];
    int fds[LAYERS];
    int images[LAYERS];
    VtAncestor ancestors[LAYERS];
} World;

static void
world_init(World *world)
{
    *world = (World){.dir = g_dir_make_tmp("test-delta-XXXXXX", NULL)};
    g_assert_nonnull(world->dir);
}

static void
world_clear(World *world)
{
    for (guint i = 0; i < world->count; i++) {
        layer_fixture_clear(&world->layers[i]);
        g_unlink(world->paths[i]);
        g_free(world->paths[i]);
        close(world->fds[i]);
        close(world->images[i]);
    }
    g_rmdir(world->dir);
    g_free(world->dir);
}

/* The layers below number @count, the parent first */
static guint
ancestors_of(World *world, guint count)
{
    for (guint i = 0; i < count; i++)
        world->ancestors[i] = (VtAncestor){.index = world->layers[count - 1 - i].result.index,
                                           .fd = world->fds[count - 1 - i]};
    return count;
}

/* Encodes @image (whose owner is the world now) over what is there, and unpacks it */
static void
add_layer(World *world, int image)
{
    const guint number = world->count, below = ancestors_of(world, number);
    LayerFixture *layer = &world->layers[number];
    VtEncodeOptions options = {.frame_size = 64u << 10, .blob_max = 1u << 20, .threads = 2};
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;

    layer_fixture_init(layer);
    if (below > 0) {
        options.parent = world->layers[number - 1].result.index_digest;
        vt_chain_new(&options.parent, world->ancestors, below, &chain, &error);
        g_assert_no_error(error);
        options.chain = chain;
        layer->ancestors = world->ancestors;
        layer->ancestor_count = below;
        layer->backing = world->paths[number - 1];
    }
    layer_fixture_encode(layer, image, &options);
    world->images[number] = image;
    world->paths[number] = g_strdup_printf("%s/layer-%u.qcow2", world->dir, number);
    world->fds[number] = open(world->paths[number], O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    world->count++;
    layer_fixture_unpack(layer, world->fds[number], false, &error);
    g_assert_no_error(error);
}

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

/* Reads the disk through the chain, as a layer above it would */
static void
assert_disk(World *world, guint number)
{
    const guint count = ancestors_of(world, number + 1);
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;
    uint8_t here[BLOCK], there[BLOCK];
    struct stat st;

    vt_chain_new(&world->layers[number].result.index_digest, world->ancestors, count, &chain,
                 &error);
    g_assert_no_error(error);
    g_assert_cmpint(fstat(world->images[number], &st), ==, 0);
    g_assert_cmpuint(vt_chain_blocks(chain, 1), ==, (uint64_t)st.st_size / BLOCK);
    for (uint64_t block = 0; block < (uint64_t)st.st_size / BLOCK; block++) {
        const VtPrefix place = {block, 1, 1};

        vt_chain_read(chain, &place, here, &error);
        g_assert_no_error(error);
        g_assert_cmpint(pread(world->images[number], there, BLOCK, (off_t)(block * BLOCK)), ==,
                        BLOCK);
        g_assert_cmpmem(here, BLOCK, there, BLOCK);
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

static int
new_image(uint64_t blocks)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)(blocks * BLOCK)), ==, 0);
    return fd;
}

static void
put_block(int fd, uint64_t at, const uint8_t *block)
{
    g_assert_cmpint(pwrite(fd, block, BLOCK, (off_t)(at * BLOCK)), ==, BLOCK);
}

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
    put_block(fd, at, block);
}

/* The disk of @from, and then runs that are new, zero, or from elsewhere on it */
static int
mutate(int from, uint64_t from_blocks, uint64_t blocks, GRand *rand)
{
    int fd = new_image(blocks);
    uint8_t block[BLOCK];

    for (uint64_t i = 0; i < MIN(blocks, from_blocks); i++) {
        g_assert_cmpint(pread(from, block, BLOCK, (off_t)(i * BLOCK)), ==, BLOCK);
        put_block(fd, i, block);
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
                put_block(fd, at, block);
            if (kind == 2 && source < from_blocks) {
                g_assert_cmpint(pread(from, block, BLOCK, (off_t)(source * BLOCK)), ==, BLOCK);
                put_block(fd, at, block);
            }
        }
    }
    return fd;
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
        int image = new_image(blocks);

        if (i == 0) {
            for (uint64_t at = 0; at < blocks; at++)
                if (g_rand_int_range(rand, 0, 3) > 0)
                    put_noise(image, at, rand);
        } else {
            close(image);
            image = mutate(world.images[i - 1], before, blocks, rand);
        }
        add_layer(&world, image);
        assert_disk(&world, i);
        g_assert_true(verify_layer(&world, i, &error));
        if (with_qemu)
            assert_qemu_agrees(&world, i);
        before = blocks;
        if (g_rand_int_range(rand, 0, 3) == 0)
            blocks = (uint64_t)g_rand_int_range(rand, 1, 900);
    }
    world_clear(&world);
}

static void
test_random(void)
{
    const char *wanted = g_getenv("VT_TEST_ROUNDS");
    const guint32 rounds = wanted ? (guint32)g_ascii_strtoull(wanted, NULL, 10) : ROUNDS;

    for (guint32 i = 0; i < rounds; i++)
        run_round(i, i < QEMU_ROUNDS);
}

/* ---- what a delta layer is ---- */

static int
image_of(const char *blocks)
{
    int fd = new_image(strlen(blocks));

    for (guint i = 0; blocks[i]; i++) {
        uint8_t block[BLOCK] = {0};

        if (blocks[i] != '.')
            for (guint at = 0; at < BLOCK; at++)
                block[at] = (uint8_t)(blocks[i] + (at & 1 ? at / 7 : 0));
        put_block(fd, i, block);
    }
    return fd;
}

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
        add_layer(&world, image_of(cases[i].before));
        add_layer(&world, image_of(cases[i].after));
        extents = describe(world.layers[1].result.index);
        g_assert_cmpstr(extents, ==, cases[i].extents);
        assert_disk(&world, 1);
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
            add_layer(&world, image_of(cases[i].versions[count++]));
        extents = describe(world.layers[count - 1].result.index);
        g_assert_cmpstr(extents, ==, cases[i].extents);
        assert_disk(&world, count - 1);
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
    int fd = new_image(blocks);

    for (guint i = 0; i < blocks; i++) {
        uint8_t block[BLOCK];

        for (guint at = 0; at < BLOCK; at++)
            block[at] = (uint8_t)g_rand_int_range(rand, 0, 256);
        if (edited)
            memset(block + 1000 + i * 8 % 2000, 'x', 8);
        put_block(fd, i, block);
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
    add_layer(&world, text_image(200, false));
    add_layer(&world, text_image(200, true));
    g_assert_true(vt_index_parse(world.layers[1].result.index, &index, &error));
    g_assert_cmpuint(index->literal_blocks, ==, 200);
    g_assert_cmpuint(index->prefix_count, >, 0);
    /* noise, but for what the parent has */
    g_assert_cmpuint(world.layers[1].result.stored_bytes, <, 200 * BLOCK / 10);
    assert_disk(&world, 1);
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
    add_layer(&world, text_image(64, false));
    add_layer(&world, text_image(64, true));
    g_assert_cmpint(fstat(world.fds[0], &st), ==, 0);
    memset(block, 'y', sizeof(block));
    for (guint i = 1; i <= 64; i++)
        g_assert_cmpint(pwrite(world.fds[0], block, BLOCK, st.st_size - (off_t)i * BLOCK), ==,
                        BLOCK);
    ancestors_of(&world, 1);
    g_assert_cmpint(ftruncate(world.fds[1], 0), ==, 0);
    g_assert_false(layer_fixture_unpack(&world.layers[1], world.fds[1], false, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    if (!strstr(error->message, "does not have the content that its digest says") &&
        !strstr(error->message, "cannot be decoded"))
        g_error("%s", error->message);
    world_clear(&world);
}

/* An index of one frame of 16 blocks over @prefixes */
static void
assert_prefixes_refused(const VtPrefix *prefixes, guint count, const char *message)
{
    static const VtDigest parent = {{1}};
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(64u << 10);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;
    const VtFrame frame = {.size = 100, .blocks = 16, .prefix_count = 1};

    vt_index_builder_set_parent(builder, &parent);
    vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, 16);
    for (guint i = 0; i < count; i++)
        vt_index_builder_add_prefix(builder, &prefixes[i]);
    vt_index_builder_add_frame(builder, &frame);
    bytes = vt_index_builder_finish(builder);
    g_assert_false(vt_index_parse(bytes, &index, &error));
    if (!strstr(error->message, message))
        g_error("'%s' does not say '%s'", error->message, message);
}

static void
test_wrong_prefixes(void)
{
    static const VtPrefix good[] = {{5, 3, 1}, {9, 1, 1}}, far = {UINT64_C(1) << 40, 2, 1},
                          old = {5, 3, 0}, empty = {5, 0, 1}, large = {0, 1025, 1};

    assert_prefixes_refused(good, 2, "no frame uses prefix 1");
    assert_prefixes_refused(good, 0, "out of range or order");
    assert_prefixes_refused(&far, 1, "end behind the largest disk");
    assert_prefixes_refused(&old, 1, "ancestor 0 is not one");
    assert_prefixes_refused(&empty, 1, "is no run of blocks");
    assert_prefixes_refused(&large, 1, "more than 4194304 bytes");
}

/* ---- refused ---- */

static void
assert_chain_refused(World *world, const VtDigest *top, guint count, const char *message)
{
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_chain_new(top, world->ancestors, count, &chain, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    if (!strstr(error->message, message))
        g_error("'%s' does not say '%s'", error->message, message);
}

static void
test_wrong_ancestors(void)
{
    VtAncestor swapped;
    World world;

    world_init(&world);
    add_layer(&world, image_of("abcd"));
    add_layer(&world, image_of("abXd"));
    add_layer(&world, image_of("YbXd"));
    ancestors_of(&world, 3);
    assert_chain_refused(&world, &world.layers[2].result.index_digest, 1, "its parent is missing");
    assert_chain_refused(&world, &world.layers[2].result.index_digest, 0, "its parent is missing");
    assert_chain_refused(&world, &world.layers[1].result.index_digest, 3, "but the layer above it");
    assert_chain_refused(&world, NULL, 1, "is a full layer");
    swapped = world.ancestors[1];
    world.ancestors[1] = world.ancestors[2];
    world.ancestors[2] = swapped;
    assert_chain_refused(&world, &world.layers[2].result.index_digest, 3, "ancestor 2 is layer");
    world_clear(&world);
}

/* An index that takes from ancestors what they do not have, over a chain of one layer of 4 blocks
 */
static void
assert_source_refused(guint32 ancestor, uint64_t source, guint32 length, const char *message)
{
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(64u << 10);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;
    World world;

    world_init(&world);
    add_layer(&world, image_of("abcd"));
    vt_index_builder_set_parent(builder, &world.layers[0].result.index_digest);
    vt_index_builder_add_ancestor(builder, ancestor, source, length);
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    vt_chain_new(&index->parent, world.ancestors, ancestors_of(&world, 1), &chain, &error);
    g_assert_no_error(error);
    g_assert_false(vt_chain_check(chain, index, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    if (!strstr(error->message, message))
        g_error("'%s' does not say '%s'", error->message, message);
    world_clear(&world);
}

static void
test_wrong_sources(void)
{
    assert_source_refused(1, 1, 4, "blocks 1 to 5 from ancestor 1, which has 4");
    assert_source_refused(1, 5, 1, "which has 4");
    assert_source_refused(2, 0, 1, "from ancestor 2, and has 1");
}

static void
test_damage(void)
{
    uint8_t byte = 0xff;
    g_autoptr(GError) error = NULL;
    World world;
    struct stat st;

    world_init(&world);
    add_layer(&world, image_of("abcdefgh"));
    add_layer(&world, image_of("habXdefg"));
    g_assert_true(verify_layer(&world, 1, &error));
    g_assert_cmpint(fstat(world.fds[1], &st), ==, 0);
    /* what was moved is at the end of the file: the blocks of one cluster */
    g_assert_cmpint(pwrite(world.fds[1], &byte, 1, st.st_size - 131072 + 100), ==, 1);
    g_assert_false(verify_layer(&world, 1, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "is not what its ancestor 1 has"));
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
    g_test_add_func("/delta/wrong-prefixes", test_wrong_prefixes);
    g_test_add_func("/delta/wrong-ancestors", test_wrong_ancestors);
    g_test_add_func("/delta/wrong-sources", test_wrong_sources);
    g_test_add_func("/delta/damage", test_damage);
    g_test_add_func("/delta/random", test_random);
    return g_test_run();
}
