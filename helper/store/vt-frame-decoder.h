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
 * @fd: memory shared with whoever fetched it, who may change or truncate it at any time
 * @offset: of its compressed bytes there
 * @content: (out): frame_blocks blocks
 * @error: %VT_ERROR_CORRUPT naming the frame and its blob
 */
bool vt_frame_decode(VtFrameDecoder *decoder, uint64_t number, int fd, uint64_t offset,
                     uint8_t *content, GError **error);
