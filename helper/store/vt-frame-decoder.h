/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-decoder.h: frames of a layer, checked before they are decoded */
#pragma once

#include "vt-index.h"

/**
 * VtFrameDecoder:
 *
 * What one thread needs to decode frames: a zstd context, and a private copy of the compressed
 * bytes, which the sender cannot change any more.
 */
typedef struct VtFrameDecoder VtFrameDecoder;
VtFrameDecoder *vt_frame_decoder_new(const VtIndex *index);
void vt_frame_decoder_free(VtFrameDecoder *decoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtFrameDecoder, vt_frame_decoder_free)

/**
 * vt_frame_decode:
 * @number: of the frame
 * @shared: its compressed bytes, which may change while this runs
 * @content: (out): frame_blocks blocks
 * @error: %VT_ERROR_CORRUPT naming the frame and its blob
 */
bool vt_frame_decode(VtFrameDecoder *decoder, uint64_t number, const uint8_t *shared,
                     uint8_t *content, GError **error);
