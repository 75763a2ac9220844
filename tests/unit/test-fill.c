/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-fill.c: a full layer is made from a disk that has its content, and only the rest is fetched
 */
#include "layer-fixture.h"

#include "vt-fill.h"

#include <fcntl.h>
#include <string.h>

#define BLOCK  4096u
#define BLOCKS 700u

static const VtEncodeOptions options = {
    .frame_size = 64u << 10, .blob_max = 1u << 20, .threads = 2};

static int
scratch(void)
{
    int fd = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

/* Unpacks a layer of @image into @fd */
static void
make_layer(LayerFixture *fixture, int image, int fd)
{
    g_autoptr(GError) error = NULL;

    layer_fixture_init(fixture);
    layer_fixture_encode(fixture, image, &options);
    layer_fixture_unpack(fixture, fd, false, &error);
    g_assert_no_error(error);
}

static VtChain *
chain_of(const LayerFixture *fixture, int fd)
{
    const VtAncestor ancestor = {fixture->result.index, fd};
    g_autoptr(GError) error = NULL;
    VtChain *chain = NULL;

    vt_chain_new(&fixture->result.index_digest, &ancestor, 1, &chain, &error);
    g_assert_no_error(error);
    return chain;
}

static VtIndex *
index_of(const LayerFixture *fixture)
{
    VtIndex *index = NULL;

    g_assert_true(vt_index_parse(fixture->result.index, &index, NULL));
    return index;
}

/* Fills a layer of @to from the disk @from; returns: how many requests were left to make */
static guint
fill(int from, int to)
{
    LayerFixture old, new;
    vt_autofd old_fd = scratch(), new_fd = scratch();
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;
    guint requests;

    make_layer(&old, from, old_fd);
    layer_fixture_init(&new);
    layer_fixture_encode(&new, to, &options);
    chain = chain_of(&old, old_fd);
    index = index_of(&new);
    vt_fill_layer(index, chain, new_fd, NULL, &error);
    g_assert_no_error(error);
    layer_fixture_unpack(&new, new_fd, true, &error);
    g_assert_no_error(error);
    layer_fixture_verify(
        &(VtVerifyJob){&(VtVerifyLayer){.index = new.result.index, .fd = new_fd}, 1}, &error);
    g_assert_no_error(error);
    requests = new.requests;
    layer_fixture_clear(&old);
    layer_fixture_clear(&new);
    return requests;
}

static void
change(int image, guint block)
{
    uint8_t data[BLOCK];

    for (guint i = 0; i < BLOCK; i++)
        data[i] = (uint8_t)g_test_rand_int();
    g_assert_cmpint(pwrite(image, data, BLOCK, (off_t)(block * BLOCK)), ==, BLOCK);
}

static void
test_same(void)
{
    vt_autofd image = layer_fixture_image(BLOCKS);

    g_assert_cmpuint(fill(image, image), ==, 0);
}

static void
test_changed(void)
{
    vt_autofd from = layer_fixture_image(BLOCKS), to = layer_fixture_image(BLOCKS);

    change(to, 5);
    change(to, 6);
    change(to, BLOCKS - 1);
    g_assert_cmpuint(fill(from, to), >, 0);
    g_assert_cmpuint(fill(from, to), <=, 3);
    g_assert_cmpuint(fill(to, to), ==, 0);
}

/* What is behind the end of the disk that is here reads as zeros */
static void
test_sizes(void)
{
    vt_autofd small = layer_fixture_image(BLOCKS / 2), large = layer_fixture_image(BLOCKS);

    g_assert_cmpuint(fill(small, large), >, 0);
    g_assert_cmpint(ftruncate(small, BLOCKS * BLOCK), ==, 0);
    change(small, BLOCKS - 1);
    g_assert_cmpint(ftruncate(large, BLOCKS / 3 * BLOCK), ==, 0);
    fill(small, large);
}

static void
test_cancelled(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    vt_autofd image = layer_fixture_image(BLOCKS), fd = scratch(), other = scratch();
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GError) error = NULL;
    LayerFixture fixture;

    make_layer(&fixture, image, fd);
    chain = chain_of(&fixture, fd);
    index = index_of(&fixture);
    g_cancellable_cancel(cancellable);
    g_assert_false(vt_fill_layer(index, chain, other, cancellable, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    layer_fixture_clear(&fixture);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fill/same", test_same);
    g_test_add_func("/fill/changed", test_changed);
    g_test_add_func("/fill/sizes", test_sizes);
    g_test_add_func("/fill/cancelled", test_cancelled);
    return g_test_run();
}
