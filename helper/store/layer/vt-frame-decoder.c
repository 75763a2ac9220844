/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-decoder.c: frames of a layer, checked before they are decoded */
#include "vt-frame-decoder.h"
#include "vt-fs.h"
#include "vt-sha256.h"

#include <string.h>
#include <zstd.h>

/* 8 MiB: RFC 8878 asks every decoder for it; no frame has more than 4 MiB of content */
#define WINDOW_LOG_MAX 23

struct VtFrameDecoder {
    const VtIndex *index;
    const VtChain *chain;
    ZSTD_DCtx *context;
    uint8_t *copy;
    uint8_t *prefix; /* VT_INDEX_PREFIX_MAX bytes, where the layer has prefixes */
};

VtFrameDecoder *
vt_frame_decoder_new(const VtIndex *index, const VtChain *chain)
{
    VtFrameDecoder *decoder = g_new0(VtFrameDecoder, 1);
    uint32_t content = index->frame_blocks * VT_INDEX_BLOCK_SIZE;

    decoder->index = index;
    decoder->chain = chain;
    if (index->prefix_count > 0)
        decoder->prefix = g_malloc(VT_INDEX_PREFIX_MAX);
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
    g_free(decoder->prefix);
    g_free(decoder);
}

/* Reads what @frame was compressed against, and tells zstd for the next frame. What ancestors have
 * was checked when it was fetched. If a disk damaged it since, so is what is decoded: zstd's
 * checksum in the frame, or the content's digest, finds it. */
static bool
load_prefix(VtFrameDecoder *decoder, const VtFrame *frame, GError **error)
{
    size_t size = 0, result;

    for (uint32_t i = 0; i < frame->prefix_count; i++) {
        VtPrefix prefix;

        vt_index_prefix(decoder->index, frame->prefix_first + i, &prefix);
        if (!vt_chain_read(decoder->chain, &prefix, decoder->prefix + size, error))
            return false;
        size += (size_t)prefix.length * VT_INDEX_BLOCK_SIZE;
    }
    result = ZSTD_DCtx_refPrefix(decoder->context, decoder->prefix, size);
    return !ZSTD_isError(result) ||
           vt_throw(error, VT_ERROR_FAILED, "zstd: %s", ZSTD_getErrorName(result));
}

/* RFC 8878, 3.1.1.1: magic 28 b5 2f fd, descriptor (bit 5: no window field, the content is one
 * segment), window: exponent - 10 in bits 7 to 3, eighths of that in bits 2 to 0. We decode into
 * the content itself, but a reader that streams would need the window's memory. */
static bool
check_window(const VtFrame *frame, uint64_t number, const uint8_t *bytes, GError **error)
{
    const bool has_window = frame->size > 5 && !(bytes[4] & 0x20);
    const unsigned log = has_window ? (bytes[5] >> 3) + 10u + ((bytes[5] & 7) != 0) : 0;

    return log <= WINDOW_LOG_MAX ||
           vt_throw(error, VT_ERROR_CORRUPT,
                    "frame %" G_GUINT64_FORMAT " wants a zstd window of more than %u MiB", number,
                    1u << (WINDOW_LOG_MAX - 20));
}

/* libzstd may know forms of before RFC 8878, too, in which the descriptor says other things */
static bool
is_zstd(const uint8_t *bytes, size_t size)
{
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};

    return size > sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;
}

/* Bit 2 of the descriptor: four bytes of XXH64 of the content follow the last block */
static bool
has_checksum(const uint8_t *bytes)
{
    return bytes[4] & 0x04;
}

static bool
has_content_digest(const VtFrame *frame, const uint8_t *content)
{
    VtDigest digest;

    vt_sha256_data(content, (size_t)frame->blocks * VT_INDEX_BLOCK_SIZE, &digest);
    return vt_digest_equal(&digest, &frame->content_digest);
}

/* The bytes of the frame are the right ones. Returns: whether what was decoded is, too */
static bool
check_decoded(const VtFrameDecoder *decoder, const VtFrame *frame, const uint8_t *content,
              size_t size)
{
    if (size != (size_t)frame->blocks * VT_INDEX_BLOCK_SIZE)
        return false;
    return frame->prefix_count == 0 || has_checksum(decoder->copy) ||
           has_content_digest(frame, content);
}

static bool
throw_decoded(const VtFrame *frame, uint64_t number, size_t size, GError **error)
{
    if (frame->prefix_count > 0)
        return vt_throw(
            error, VT_ERROR_CORRUPT,
            "frame %" G_GUINT64_FORMAT " does not have the content that it was made from (%s): "
            "a layer below it on this host is damaged; 'virt-template verify --repair' mends it",
            number, ZSTD_isError(size) ? ZSTD_getErrorName(size) : "digest");
    return vt_throw(error, VT_ERROR_CORRUPT, "frame %" G_GUINT64_FORMAT " cannot be decoded: %s",
                    number, ZSTD_isError(size) ? ZSTD_getErrorName(size) : "short");
}

/* Read, not mapped: memory that somebody truncates would end the process */
static bool
read_window(const VtFrameWindow *window, uint64_t at, uint8_t *bytes, size_t size, GError **error)
{
    const uint64_t offset = at % window->size;
    const size_t first = MIN(size, window->size - offset);

    return vt_fs_pread_all(window->fd, bytes, first, (off_t)(window->start + offset),
                           "the shared memory", error) &&
           vt_fs_pread_all(window->fd, bytes + first, size - first, (off_t)window->start,
                           "the shared memory", error);
}

bool
vt_frame_decode(VtFrameDecoder *decoder, uint64_t number, const VtFrameWindow *window, uint64_t at,
                uint8_t *content, GError **error)
{
    VtFrame frame;
    VtDigest digest;
    size_t expected, size;

    vt_index_frame(decoder->index, number, &frame);
    if (!read_window(window, at, decoder->copy, frame.size, error))
        return false;
    vt_sha256_data(decoder->copy, frame.size, &digest);
    if (!vt_digest_equal(&digest, &frame.digest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "frame %" G_GUINT64_FORMAT " (blob %u, offset %u, %u bytes) does not have "
                        "its digest: the store's copy is damaged or was changed",
                        number, frame.blob, frame.offset, frame.size);
    expected = (size_t)frame.blocks * VT_INDEX_BLOCK_SIZE;
    /* one frame, nothing behind it, of exactly this content */
    if (!is_zstd(decoder->copy, frame.size) ||
        ZSTD_findFrameCompressedSize(decoder->copy, frame.size) != frame.size ||
        ZSTD_getFrameContentSize(decoder->copy, frame.size) != expected)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "frame %" G_GUINT64_FORMAT " is not one zstd frame of %zu bytes", number,
                        expected);
    if (!check_window(&frame, number, decoder->copy, error))
        return false;
    if (frame.prefix_count > 0 && !load_prefix(decoder, &frame, error))
        return false;
    size = ZSTD_decompressDCtx(decoder->context, content, expected, decoder->copy, frame.size);
    return check_decoded(decoder, &frame, content, size) ||
           throw_decoded(&frame, number, size, error);
}
