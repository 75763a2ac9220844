/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* delta-world.h: a chain of layers in a directory, with the disks that it was made from */
#pragma once

#include "layer-fixture.h"

#define BLOCK  4096u
#define LAYERS 4

/** World: layer 0 is the full one */
typedef struct {
    char *dir;
    guint count;
    LayerFixture layers[LAYERS];
    char *paths[LAYERS];
    int fds[LAYERS];
    int images[LAYERS];
    VtAncestor ancestors[LAYERS];
} World;

void world_init(World *world);
void world_clear(World *world);

/** world_ancestors: Fills @ancestors with the layers below number @count, the parent first; returns
 *  @count */
guint world_ancestors(World *world, guint count);

/** world_add: Encodes @image (whose owner is the world now) over what is there, and unpacks it */
void world_add(World *world, int image);

/** world_image: Returns: an unnamed file of @blocks blocks of zeros */
int world_image(uint64_t blocks);
/** world_image_of: One of a block for each character; '.' is zeros */
int world_image_of(const char *blocks);
void world_put(int fd, uint64_t at, const uint8_t *block);
