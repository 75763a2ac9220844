/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-encoder.h: literal blocks become zstd frames, compressed in threads, written in order */
#pragma once

#include "vt-encode.h"
#include "vt-index.h"
#include "vt-similar.h"

/**
 * VtFrameEncoder:
 *
 * Takes blocks one by one. Full frames are compressed by a pool of threads; finished ones are
 * written to the sink's blobs in the order of their blocks by the thread that calls.
 */
typedef struct VtFrameEncoder VtFrameEncoder;

/** vt_frame_encoder_new: @builder gets a frame record for each; @options: with defaults filled in
 */
VtFrameEncoder *vt_frame_encoder_new(const VtEncodeOptions *options, VtBlobSink *sink,
                                     VtIndexBuilder *builder);
void vt_frame_encoder_free(VtFrameEncoder *encoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtFrameEncoder, vt_frame_encoder_free)

/**
 * vt_frame_encoder_set_similar:
 * @similar: what the parent has, which is 1 of the options' chain; must live as long
 *
 * From now on, frames are compressed against what looks like them. Before the first block.
 */
void vt_frame_encoder_set_similar(VtFrameEncoder *encoder, const VtSimilar *similar);

/** vt_frame_encoder_add: Appends one block to the literal space */
bool vt_frame_encoder_add(VtFrameEncoder *encoder, const uint8_t *block, GError **error);

/** vt_frame_encoder_finish: Writes what is left, commits the last blob, fills in blobs and sizes */
bool vt_frame_encoder_finish(VtFrameEncoder *encoder, VtEncodeResult *result, GError **error);
