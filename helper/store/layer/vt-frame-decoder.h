/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-decoder.h: frames of a layer, checked before they are decoded */
#pragma once

#include "vt-chain.h"

/**
 * VtFrameDecoder:
 *
 * What one thread needs to decode frames: a zstd context, a private copy of the compressed
 * bytes, which the sender cannot change any more, and what frames were compressed against.
 */
typedef struct VtFrameDecoder VtFrameDecoder;
/** vt_frame_decoder_new: @chain: the layers below, which vt_chain_check() was asked about */
VtFrameDecoder *vt_frame_decoder_new(const VtIndex *index, const VtChain *chain);
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
