/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-gather.h: which moved blocks are written together with the literal blocks beside them */
#pragma once

#include "vt-layer-map.h"

/* Moves from so many bytes on are a write of their own, or shared by the file system */
#define VT_LAYER_GATHER_ALONE_MIN (64u << 10)

/**
 * VtLayerGather:
 * @alone: (element-type VtMove): in guest order: those that nobody takes along
 * @beside: (element-type VtMove): those that whoever writes a frame takes along, by frame
 * @first: number in @beside of the first one of each frame, and of the end: frames + 1 values
 */
typedef struct {
    GArray *alone;
    GArray *beside;
    guint *first;
} VtLayerGather;
void vt_layer_gather_free(VtLayerGather *gather);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtLayerGather, vt_layer_gather_free)

/**
 * vt_layer_gather_new:
 * @map: of @index
 * @together: %false: all moves are alone, as is right where frames are not written again
 *
 * Each move of @map is in exactly one of the two lists. Those in @beside have less than
 * %VT_LAYER_GATHER_ALONE_MIN bytes.
 */
VtLayerGather *vt_layer_gather_new(const VtLayerMap *map, const VtIndex *index, bool together);
