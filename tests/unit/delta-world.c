/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* delta-world.c: a chain of layers in a directory, with the disks that it was made from */
#include "delta-world.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

/* In memory if there is room: most of a round would be waiting for the disk */
static const char *
base_dir(void)
{
    return g_getenv("TMPDIR") || g_access("/dev/shm", W_OK) < 0 ? g_get_tmp_dir() : "/dev/shm";
}

void
world_init(World *world)
{
    *world = (World){.dir = g_build_filename(base_dir(), "test-delta-XXXXXX", NULL)};
    g_assert_nonnull(g_mkdtemp(world->dir));
}

void
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

guint
world_ancestors(World *world, guint count)
{
    for (guint i = 0; i < count; i++)
        world->ancestors[i] = (VtAncestor){.index = world->layers[count - 1 - i].result.index,
                                           .fd = world->fds[count - 1 - i]};
    return count;
}

void
world_add(World *world, int image)
{
    const guint number = world->count, below = world_ancestors(world, number);
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

int
world_image(uint64_t blocks)
{
    int fd = open(base_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)(blocks * BLOCK)), ==, 0);
    return fd;
}

void
world_put(int fd, uint64_t at, const uint8_t *block)
{
    g_assert_cmpint(pwrite(fd, block, BLOCK, (off_t)(at * BLOCK)), ==, BLOCK);
}

int
world_image_of(const char *blocks)
{
    int fd = world_image(strlen(blocks));

    for (guint i = 0; blocks[i]; i++) {
        uint8_t block[BLOCK] = {0};

        if (blocks[i] != '.')
            for (guint at = 0; at < BLOCK; at++)
                block[at] = (uint8_t)(blocks[i] + (at & 1 ? at / 7 : 0));
        world_put(fd, i, block);
    }
    return fd;
}
