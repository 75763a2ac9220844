/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-chain-map.h: where the literal blocks of a chain's layers are, in all of its files */
#pragma once

#include "vt-layer-map.h"

/**
 * VtPlace: blocks in the file of a layer
 * @source: the literal block that the first one is; 0 for zeros
 * @offset: in the file, bytes
 * @layer: whose file, 0 is the base
 */
typedef struct {
    uint64_t source;
    uint64_t offset;
    uint32_t blocks;
    uint32_t layer;
} VtPlace;

/**
 * VtChainLayer:
 * @map: of this layer alone; its @primary are the places that come first
 * @places: (element-type VtPlace): where else its literal blocks are, in this file and in those of
 *   layers above; ordered by source, never across a frame
 * @first: number of the first place of each frame, and of the end: frames + 1 values
 * @zeros: (element-type VtPlace): what must be zeros in its file
 * @bytes: of its file that these three, the primary places and the metadata are
 */
typedef struct {
    const VtIndex *index;
    VtLayerMap *map;
    GArray *places;
    guint *first;
    GArray *zeros;
    uint64_t bytes;
} VtChainLayer;

/** VtChainMap: @layers: base first; read only */
typedef struct {
    uint32_t count;
    VtChainLayer layers[];
} VtChainMap;
void vt_chain_map_free(VtChainMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtChainMap, vt_chain_map_free)

/**
 * VtChainPart: a layer
 * @index: must live as long as the map
 * @backing: (nullable): see vt_qcow2_layout_new()
 */
typedef struct {
    const VtIndex *index;
    const char *backing;
} VtChainPart;

/**
 * vt_chain_map_new:
 * @parts: base first
 *
 * Each stored byte of each file is in it exactly once, so that who hashes a frame can compare all
 * that was taken from it while it is in memory.
 *
 * @error: %VT_ERROR_INVALID: a layer takes blocks from an ancestor that it does not have
 */
bool vt_chain_map_new(const VtChainPart *parts, uint32_t count, VtChainMap **ret_map,
                      GError **error);
