/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layer-file.h: the QCOW2 file of a layer: writing its parts, reading them back */
#pragma once

#include "vt-chain.h"
#include "vt-direct.h"
#include "vt-layer-map.h"

/**
 * vt_layer_file_begin:
 * @fd: regular file, opened read-write
 *
 * Gives the file its size, and space for what is not zero where the file system can reserve it;
 * turns on O_DIRECT where it has that; writes the metadata clusters. %VT_ERROR_NO_SPACE
 */
bool vt_layer_file_begin(int fd, const VtIndex *index, const VtQcow2Layout *layout, GError **error);

/** vt_layer_file_buffer: Turns O_DIRECT off again */
void vt_layer_file_buffer(int fd);

/**
 * vt_layer_file_read_frame:
 * @buffer: (out): the content of @frame, from its primary places
 */
bool vt_layer_file_read_frame(int fd, const VtLayerMap *map, uint64_t frame, uint8_t *buffer,
                              GError **error);

/** vt_layer_file_locate_move: Appends to @pieces (element-type VtPiece) where in the ancestors'
 *  files the blocks of @move are; those that are zeros there are left out */
void vt_layer_file_locate_move(const VtMove *move, const VtChain *chain, GArray *pieces);

/** vt_layer_file_copy_moves: Writes @moves (element-type VtMove), which the layer takes from its
 *  ancestors */
bool vt_layer_file_copy_moves(int fd, const GArray *moves, const VtChain *chain, GError **error);

/** vt_layer_file_finish: Makes it durable */
bool vt_layer_file_finish(int fd, GError **error);
