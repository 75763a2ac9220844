/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-writer.h: decoded frames go to their places in the QCOW2 file, in large writes */
#pragma once

#include "vt-chain.h"
#include "vt-layer-gather.h"

/* Memory for the moved blocks of a write, half of what a thread decodes at a time; bytes */
#define VT_LAYER_WRITER_ROOM (512u << 10)

/**
 * VtLayerWriter:
 *
 * May be used by several threads at once. Remembers up to 32 MiB of blocks that occur again.
 */
typedef struct VtLayerWriter VtLayerWriter;
/**
 * vt_layer_writer_new:
 * @fd: as vt_layer_file_begin() left it
 * @map, @gather, @chain: must live as long
 */
VtLayerWriter *vt_layer_writer_new(int fd, const VtLayerMap *map, const VtLayerGather *gather,
                                   const VtChain *chain);
void vt_layer_writer_free(VtLayerWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtLayerWriter, vt_layer_writer_free)

/**
 * VtLayerBatch: frames that follow each other; its memory is not used after a call
 * @content: of the frames, aligned to %VT_DIRECT_ALIGN
 * @room: %VT_LAYER_WRITER_ROOM bytes, aligned as well
 */
typedef struct {
    const uint8_t *content;
    uint8_t *room;
    uint64_t first_frame;
    uint64_t frame_count;
} VtLayerBatch;

/**
 * vt_layer_writer_add: Writes the blocks of @batch to their primary places, and the moves beside
 * them: the ancestors must be complete. Copies may wait until vt_layer_writer_finish().
 */
bool vt_layer_writer_add(VtLayerWriter *writer, const VtLayerBatch *batch, GError **error);

/** vt_layer_writer_keep: As vt_layer_writer_add() for one frame whose blocks are in their primary
 *  places already, and which has no moves beside it */
bool vt_layer_writer_keep(VtLayerWriter *writer, const uint8_t *content, uint64_t frame,
                          GError **error);

/** vt_layer_writer_finish: All frames were added or kept: writes the copies that are left */
bool vt_layer_writer_finish(VtLayerWriter *writer, GError **error);
