/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-delta-refused.c: indexes that take from ancestors what they must not, and chains that are
 * none
 */
#include "delta-world.h"

#include <string.h>

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
    world_add(&world, world_image_of("abcd"));
    world_add(&world, world_image_of("abXd"));
    world_add(&world, world_image_of("YbXd"));
    world_ancestors(&world, 3);
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

/* An index that takes from ancestors what they do not have, over a chain of one layer of 4 blocks;
 * as blocks, or to decode a frame */
static void
assert_source_refused(const VtPrefix *source, bool as_prefix, const char *message)
{
    const VtFrame frame = {.size = 100, .blocks = 16, .prefix_count = 1};
    g_autoptr(VtIndexBuilder) builder = vt_index_builder_new(64u << 10);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(GError) error = NULL;
    World world;

    world_init(&world);
    world_add(&world, world_image_of("abcd"));
    vt_index_builder_set_parent(builder, &world.layers[0].result.index_digest);
    if (as_prefix) {
        vt_index_builder_add_extent(builder, VT_EXTENT_LITERAL, 0, 16);
        vt_index_builder_add_prefix(builder, source);
        vt_index_builder_add_frame(builder, &frame);
    } else {
        vt_index_builder_add_ancestor(builder, source->ancestor, source->source, source->length);
    }
    bytes = vt_index_builder_finish(builder);
    vt_index_parse(bytes, &index, &error);
    g_assert_no_error(error);
    vt_chain_new(&index->parent, world.ancestors, world_ancestors(&world, 1), &chain, &error);
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
    static const VtPrefix over = {1, 4, 1}, behind = {5, 1, 1}, below = {0, 1, 2};

    for (guint as_prefix = 0; as_prefix < 2; as_prefix++) {
        assert_source_refused(&over, as_prefix, "blocks 1 to 5 from ancestor 1, which has 4");
        assert_source_refused(&behind, as_prefix, "which has 4");
        assert_source_refused(&below, as_prefix, "from ancestor 2, and has 1");
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/delta-refused/prefixes", test_wrong_prefixes);
    g_test_add_func("/delta-refused/ancestors", test_wrong_ancestors);
    g_test_add_func("/delta-refused/sources", test_wrong_sources);
    return g_test_run();
}
