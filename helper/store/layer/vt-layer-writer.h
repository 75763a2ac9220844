/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-writer.h: decoded frames go to their places in the QCOW2 file, in large writes */
#pragma once

#include "vt-layer-map.h"

/**
 * VtLayerWriter:
 *
 * May be used by several threads at once. Remembers up to 32 MiB of blocks that occur again.
 */
typedef struct VtLayerWriter VtLayerWriter;
/** vt_layer_writer_new: @fd: as vt_layer_file_begin() left it; @map: must live as long */
VtLayerWriter *vt_layer_writer_new(int fd, const VtLayerMap *map);
void vt_layer_writer_free(VtLayerWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtLayerWriter, vt_layer_writer_free)

/**
 * vt_layer_writer_add:
 * @content: of @frame_count frames from @first_frame on, aligned to %VT_DIRECT_ALIGN; not used
 *   after the call
 *
 * Writes their blocks to their primary places. Copies may wait until vt_layer_writer_finish().
 */
bool vt_layer_writer_add(VtLayerWriter *writer, const uint8_t *content, uint64_t first_frame,
                         uint64_t frame_count, GError **error);

/** vt_layer_writer_keep: As vt_layer_writer_add() for one frame whose blocks are in their primary
 *  places already */
bool vt_layer_writer_keep(VtLayerWriter *writer, const uint8_t *content, uint64_t frame,
                          GError **error);

/** vt_layer_writer_finish: All frames were added or kept: writes the copies that are left */
bool vt_layer_writer_finish(VtLayerWriter *writer, GError **error);
