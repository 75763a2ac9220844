/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-map.h: for each frame of a layer, the places in the QCOW2 file that its blocks go to */
#pragma once

#include "vt-qcow2-layout.h"

/**
 * VtTarget:
 * @source: first block in the literal space
 * @offset: where it goes in the file, bytes
 * @blocks: contiguous in both; never across a frame
 */
typedef struct {
    uint64_t source;
    uint64_t offset;
    uint64_t blocks;
} VtTarget;

/**
 * VtTargets: ordered by source
 * @all: (element-type VtTarget)
 * @first: number of the first target of each frame, and of the end: frames + 1 values
 */
typedef struct {
    GArray *all;
    guint *first;
} VtTargets;

/**
 * VtMove: blocks of an ancestor that the layer has elsewhere on the disk
 * @source: guest block of the ancestor
 * @ancestor: how many layers below
 * @offset: where they go in the file, bytes
 * @blocks: contiguous in both
 */
typedef struct {
    uint64_t source;
    uint64_t offset;
    uint32_t blocks;
    uint32_t ancestor;
} VtMove;

/**
 * VtLayerMap:
 * @frame_blocks: blocks of content in each frame but the last
 * @frame_count: frames
 * @primary: covers each block of the literal space exactly once
 * @copies: further places of blocks that occur more than once
 * @moves: (element-type VtMove): in guest order
 */
typedef struct {
    uint64_t frame_blocks;
    uint64_t frame_count;
    VtQcow2Layout *layout;
    VtTargets primary;
    VtTargets copies;
    GArray *moves;
} VtLayerMap;
void vt_layer_map_free(VtLayerMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtLayerMap, vt_layer_map_free)

/**
 * vt_layer_map_new:
 * @index: must live as long
 * @backing: (nullable): see vt_qcow2_layout_new()
 * @error: %VT_ERROR_INVALID when a literal block is used by no extent
 */
bool vt_layer_map_new(const VtIndex *index, const char *backing, VtLayerMap **ret_map,
                      GError **error);
