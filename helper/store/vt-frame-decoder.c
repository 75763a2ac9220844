/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-decoder.c: frames of a layer, checked before they are decoded */
#include "vt-frame-decoder.h"
#include "vt-fs.h"
#include "vt-sha256.h"

#include <zstd.h>

/* 8 MiB: RFC 8878 asks every decoder for it; no frame has more than 4 MiB of content */
#define WINDOW_LOG_MAX 23

struct VtFrameDecoder {
    const VtIndex *index;
    ZSTD_DCtx *context;
    uint8_t *copy;
};

VtFrameDecoder *
vt_frame_decoder_new(const VtIndex *index)
{
    VtFrameDecoder *decoder = g_new0(VtFrameDecoder, 1);
    uint32_t content = index->frame_blocks * VT_INDEX_BLOCK_SIZE;

    decoder->index = index;
    decoder->context = ZSTD_createDCtx();
    g_assert(decoder->context);
    ZSTD_DCtx_setParameter(decoder->context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    decoder->copy = g_malloc(content + VT_INDEX_FRAME_OVERHEAD(content));
    return decoder;
}

void
vt_frame_decoder_free(VtFrameDecoder *decoder)
{
    if (!decoder)
        return;
    ZSTD_freeDCtx(decoder->context);
    g_free(decoder->copy);
    g_free(decoder);
}

bool
vt_frame_decode(VtFrameDecoder *decoder, uint64_t number, int fd, uint64_t offset, uint8_t *content,
                GError **error)
{
    VtFrame frame;
    VtDigest digest;
    size_t expected, size;

    vt_index_frame(decoder->index, number, &frame);
    /* Read, not mapped: memory that somebody truncates would end the process */
    if (!vt_fs_pread_all(fd, decoder->copy, frame.size, (off_t)offset, "the shared memory", error))
        return false;
    vt_sha256_data(decoder->copy, frame.size, &digest);
    if (!vt_digest_equal(&digest, &frame.digest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "frame %" G_GUINT64_FORMAT " (blob %u, offset %u, %u bytes) does not have "
                        "its digest: the store's copy is damaged or was changed",
                        number, frame.blob, frame.offset, frame.size);
    expected = (size_t)frame.blocks * VT_INDEX_BLOCK_SIZE;
    /* one frame, nothing behind it, of exactly this content */
    if (ZSTD_findFrameCompressedSize(decoder->copy, frame.size) != frame.size ||
        ZSTD_getFrameContentSize(decoder->copy, frame.size) != expected)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "frame %" G_GUINT64_FORMAT " is not one zstd frame of %zu bytes", number,
                        expected);
    size = ZSTD_decompressDCtx(decoder->context, content, expected, decoder->copy, frame.size);
    if (ZSTD_isError(size) || size != expected)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "frame %" G_GUINT64_FORMAT " cannot be decoded: %s", number,
                        ZSTD_isError(size) ? ZSTD_getErrorName(size) : "short");
    return true;
}
