/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-compare.h: where two disks differ, by the indexes of their layers alone */
#pragma once

#include "vt-index.h"

/**
 * VtDisk: what a guest sees of a chain of layers, walked from its beginning to its end
 */
typedef struct VtDisk VtDisk;

/**
 * vt_disk_new:
 * @layers: the top one first, then its parent, and so on; must live as long. A layer that two disks
 *   have must be the same object for both
 */
VtDisk *vt_disk_new(const VtIndex *const *layers, uint32_t count);
void vt_disk_free(VtDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDisk, vt_disk_free)

/** vt_disk_blocks: Returns: blocks of the disk */
uint64_t vt_disk_blocks(const VtDisk *disk);

/**
 * VtDiskRun: blocks with one source
 * @length: blocks
 * @layer: (nullable): whose frames have them; %NULL: zeros
 * @literal: number of the first one in the literal space of @layer
 */
typedef struct {
    uint64_t length;
    const VtIndex *layer;
    uint64_t literal;
} VtDiskRun;

/**
 * vt_disk_run:
 * @block: below vt_disk_blocks()
 * @error: %VT_ERROR_INVALID: a layer takes blocks from one that is not there
 */
bool vt_disk_run(VtDisk *disk, uint64_t block, VtDiskRun *ret_run, GError **error);

/**
 * vt_compare_disks:
 * @differs: called in the order of the disk, for all blocks that both disks have and that do not
 *   come from the same data; false ends it
 *
 * Blocks that are not named are equal: zeros, the same block of a layer, or the same place in
 * frames whose contents have the same digest. Blocks that are named may still be equal, if the same
 * content was stored twice.
 */
typedef bool (*VtCompareDiffers)(void *user, uint64_t block, uint64_t length, GError **error);
bool vt_compare_disks(VtDisk *a, VtDisk *b, VtCompareDiffers differs, void *user, GError **error);
