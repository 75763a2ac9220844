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
 * VtFrameWindow: memory that is shared with whoever fetches, who may change or truncate it at any
 * time
 * @fd: of the memory
 * @start: first byte of the window there
 * @size: bytes; what goes on behind the last byte goes on at the first one
 */
typedef struct {
    int fd;
    uint64_t start;
    uint64_t size;
} VtFrameWindow;

/**
 * vt_frame_decode:
 * @number: of the frame
 * @window: that all its compressed bytes are in
 * @at: where they begin, byte of what goes through the window
 * @content: (out): frame_blocks blocks
 * @error: %VT_ERROR_CORRUPT naming the frame and its blob
 */
bool vt_frame_decode(VtFrameDecoder *decoder, uint64_t number, const VtFrameWindow *window,
                     uint64_t at, uint8_t *content, GError **error);
