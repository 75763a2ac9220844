/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-encode.c: a disk image becomes a layer: frames in blobs, and their index */
#include "vt-encode.h"

#include "vt-dedup.h"
#include "vt-frame-encoder.h"
#include "vt-fs.h"
#include "vt-sha256.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/*
 * One pass over the image. Holes are skipped with SEEK_DATA. Each block of 4 KiB is zero, or the
 * same as an earlier one (found by a quick hash, proven by comparing the bytes), or new: then it
 * goes into a frame. New blocks get literal numbers in guest order, so a run of new blocks is one
 * extent.
 *
 * With a parent, a block that it has at the same place is inherited, even if it is zero. Others are
 * looked up among all of the parent's blocks; what follows a block that was found is compared with
 * what follows in the parent first, so that files that moved are one extent.
 */

#define BLOCK VT_INDEX_BLOCK_SIZE
/* What is read at once: large enough for the disk, small enough for the cache; bytes */
#define READ_SIZE (1u << 20)

#define DEFAULT_LEVEL 3
#define LEVEL_MAX     19
#define THREADS_MAX   64

/* In the table of blocks: the rest is a block of the parent, not a literal */
#define OF_PARENT (UINT64_C(1) << 63)

typedef struct {
    int fd;
    uint64_t file_size;
    uint64_t capacity;
    const VtEncodeOptions *options;
    VtIndexBuilder *builder;
    VtFrameEncoder *frames;
    VtDedup *dedup;
    GArray *first_seen; /* (element-type guint64): guest block of each literal block */
    uint64_t data_blocks;
    uint8_t *buffer;
    uint8_t *compare;
    uint8_t *below;         /* the parent's blocks at the place of @buffer */
    uint64_t parent_blocks; /* 0 without a parent */
    uint64_t follower;      /* block of the parent behind the last one that was found, or 0 */
} Encoder;

void
vt_encode_result_clear(VtEncodeResult *result)
{
    g_clear_pointer(&result->index, g_bytes_unref);
    g_clear_pointer(&result->blob_digests, g_array_unref);
    g_clear_pointer(&result->blob_sizes, g_array_unref);
}

static bool
fill_options(const VtEncodeOptions *given, VtEncodeOptions *ret, GError **error)
{
    VtEncodeOptions options = *given;

    if (options.level == 0)
        options.level = DEFAULT_LEVEL;
    if (options.frame_size == 0)
        options.frame_size = 128u << 10;
    if (options.blob_max == 0)
        options.blob_max = VT_INDEX_BLOB_MAX;
    if (options.threads == 0)
        options.threads = g_get_num_processors();
    options.threads = MIN(options.threads, THREADS_MAX);
    if (options.level < 1 || options.level > LEVEL_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "compression level %d is not between 1 and %d",
                        options.level, LEVEL_MAX);
    if (options.frame_size < VT_INDEX_FRAME_MIN || options.frame_size > VT_INDEX_FRAME_MAX ||
        (options.frame_size & (options.frame_size - 1)))
        return vt_throw(error, VT_ERROR_INVALID,
                        "frame size %u is not a power of two between 64 KiB and 4 MiB",
                        options.frame_size);
    if (options.blob_max > VT_INDEX_BLOB_MAX ||
        options.blob_max < options.frame_size + VT_INDEX_FRAME_OVERHEAD(options.frame_size))
        return vt_throw(error, VT_ERROR_INVALID,
                        "blob size limit %" G_GUINT64_FORMAT " holds no frame, or is above 256 MiB",
                        options.blob_max);
    *ret = options;
    return true;
}

static bool
image_size(int fd, uint64_t *ret, GError **error)
{
    struct stat st;
    uint64_t size;

    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the image");
    if (S_ISREG(st.st_mode))
        size = (uint64_t)st.st_size;
    else if (!S_ISBLK(st.st_mode))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the image is no regular file and no block device");
    else if (ioctl(fd, BLKGETSIZE64, &size) < 0)
        return vt_throw_errno(error, errno, "cannot get the size of the block device");
    if (size == 0)
        return vt_throw(error, VT_ERROR_INVALID, "the image is empty");
    if (size > VT_INDEX_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the image is larger than 16 TiB");
    *ret = size;
    return true;
}

/* Reads [offset, offset + length); what is behind the end of the file is zeros */
static bool
read_padded(const Encoder *encoder, uint8_t *buffer, uint64_t offset, size_t length, GError **error)
{
    size_t present = (size_t)MIN(length, encoder->file_size - offset);

    memset(buffer + present, 0, length - present);
    return vt_fs_pread_all(encoder->fd, buffer, present, (off_t)offset, "image", error);
}

/* Whether guest block @earlier has the bytes of @block; the page cache still has it, mostly */
static bool
same_bytes(const Encoder *encoder, uint64_t earlier, const uint8_t *block, bool *ret,
           GError **error)
{
    if (!read_padded(encoder, encoder->compare, earlier * BLOCK, BLOCK, error))
        return false;
    *ret = memcmp(encoder->compare, block, BLOCK) == 0;
    return true;
}

/* ---- the parent ---- */

static bool
same_as_parent(const Encoder *encoder, uint64_t source, const uint8_t *block, bool *ret,
               GError **error)
{
    const VtPrefix place = {.source = source, .length = 1, .ancestor = 1};

    if (!vt_chain_read(encoder->options->chain, &place, encoder->compare, error))
        return false;
    *ret = memcmp(encoder->compare, block, BLOCK) == 0;
    return true;
}

/* Every block of the parent's disk that is not zero, the first of those that are the same */
static bool
add_parent(Encoder *encoder, GError **error)
{
    for (uint64_t at = 0; at < encoder->parent_blocks; at += READ_SIZE / BLOCK) {
        const VtPrefix place = {at, (uint32_t)MIN(READ_SIZE / BLOCK, encoder->parent_blocks - at),
                                1};

        if (g_cancellable_set_error_if_cancelled(encoder->options->cancellable, error) ||
            !vt_chain_read(encoder->options->chain, &place, encoder->buffer, error))
            return false;
        for (uint32_t i = 0; i < place.length; i++) {
            const uint8_t *block = encoder->buffer + (size_t)i * BLOCK;
            uint64_t hash, known;

            if (vt_block_is_zero(block))
                continue;
            hash = vt_block_hash(block);
            if (!vt_dedup_find(encoder->dedup, hash, &known))
                vt_dedup_add(encoder->dedup, hash, OF_PARENT | (at + i));
        }
    }
    return true;
}

static void
take_from_parent(Encoder *encoder, uint64_t source)
{
    encoder->data_blocks++;
    vt_index_builder_add_ancestor(encoder->builder, 1, source, 1);
    encoder->follower = source + 1 < encoder->parent_blocks ? source + 1 : 0;
}

/* ---- blocks ---- */

static bool
add_literal(Encoder *encoder, uint64_t guest, const uint8_t *block, GError **error)
{
    const uint64_t literal = encoder->first_seen->len;

    g_array_append_val(encoder->first_seen, guest);
    vt_index_builder_add_extent(encoder->builder, VT_EXTENT_LITERAL, literal, 1);
    return vt_frame_encoder_add(encoder->frames, block, error);
}

static bool
add_data_block(Encoder *encoder, uint64_t guest, const uint8_t *block, GError **error)
{
    uint64_t hash, found = 0;
    bool known, same = false;

    if (encoder->follower > 0 && !same_as_parent(encoder, encoder->follower, block, &same, error))
        return false;
    if (same) {
        take_from_parent(encoder, encoder->follower);
        return true;
    }
    encoder->follower = 0;
    hash = vt_block_hash(block);
    known = vt_dedup_find(encoder->dedup, hash, &found);
    if (known && found & OF_PARENT) {
        if (!same_as_parent(encoder, found & ~OF_PARENT, block, &same, error))
            return false;
        if (same) {
            take_from_parent(encoder, found & ~OF_PARENT);
            return true;
        }
    } else if (known && !same_bytes(encoder, g_array_index(encoder->first_seen, guint64, found),
                                    block, &same, error)) {
        return false;
    }
    encoder->data_blocks++;
    if (same) {
        vt_index_builder_add_extent(encoder->builder, VT_EXTENT_LITERAL, found, 1);
        return true;
    }
    if (!known)
        vt_dedup_add(encoder->dedup, hash, encoder->first_seen->len);
    return add_literal(encoder, guest, block, error);
}

static bool
add_block(Encoder *encoder, uint64_t guest, const uint8_t *block, const uint8_t *below,
          GError **error)
{
    if (below && memcmp(block, below, BLOCK) == 0) {
        vt_index_builder_add_ancestor(encoder->builder, 1, guest, 1);
        encoder->follower = 0;
        return true;
    }
    if (vt_block_is_zero(block)) {
        vt_index_builder_add_extent(encoder->builder, VT_EXTENT_ZERO, 0, 1);
        return true;
    }
    return add_data_block(encoder, guest, block, error);
}

static bool
encode_range(Encoder *encoder, uint64_t offset, size_t length, GError **error)
{
    const VtPrefix place = {offset / BLOCK, (uint32_t)(length / BLOCK), 1};

    if (!read_padded(encoder, encoder->buffer, offset, length, error) ||
        (encoder->below && !vt_chain_read(encoder->options->chain, &place, encoder->below, error)))
        return false;
    for (size_t at = 0; at < length; at += BLOCK) {
        if (!add_block(encoder, (offset + at) / BLOCK, encoder->buffer + at,
                       encoder->below ? encoder->below + at : NULL, error))
            return false;
    }
    return true;
}

static void
skip_hole(Encoder *encoder, uint64_t from, uint64_t to)
{
    uint64_t blocks = (to - from) / BLOCK;

    while (blocks > 0) {
        uint32_t part = (uint32_t)MIN(blocks, G_MAXUINT32);

        vt_index_builder_add_extent(encoder->builder, VT_EXTENT_ZERO, 0, part);
        blocks -= part;
    }
}

/* The block in which data begins at or behind @offset; the capacity if there is none */
static uint64_t
next_data(const Encoder *encoder, uint64_t offset)
{
    off_t data = lseek(encoder->fd, (off_t)offset, SEEK_DATA);

    if (data < 0)
        return errno == ENXIO ? encoder->capacity : offset;
    return (uint64_t)data / BLOCK * BLOCK;
}

/* The end of the block in which a hole begins behind @offset */
static uint64_t
next_hole(const Encoder *encoder, uint64_t offset)
{
    off_t hole = lseek(encoder->fd, (off_t)offset, SEEK_HOLE);

    if (hole <= (off_t)offset)
        return encoder->capacity;
    return MIN(((uint64_t)hole + BLOCK - 1) / BLOCK * BLOCK, encoder->capacity);
}

static bool
encode_all(Encoder *encoder, GError **error)
{
    const VtEncodeOptions *options = encoder->options;
    uint64_t offset = 0;

    while (offset < encoder->capacity) {
        /* A hole may hide what the parent has */
        uint64_t data = encoder->below ? offset : MAX(next_data(encoder, offset), offset), hole;

        skip_hole(encoder, offset, data);
        hole = encoder->below             ? encoder->capacity
               : data < encoder->capacity ? next_hole(encoder, data)
                                          : data;
        for (offset = data; offset < hole;) {
            size_t length = (size_t)MIN(READ_SIZE, hole - offset);

            if (g_cancellable_set_error_if_cancelled(options->cancellable, error) ||
                !encode_range(encoder, offset, length, error))
                return false;
            offset += length;
            if (options->progress)
                options->progress(options->user, offset, encoder->capacity);
        }
    }
    if (options->progress)
        options->progress(options->user, encoder->capacity, encoder->capacity);
    return true;
}

static void
encoder_clear(Encoder *encoder)
{
    vt_frame_encoder_free(encoder->frames);
    vt_index_builder_free(encoder->builder);
    vt_dedup_free(encoder->dedup);
    g_clear_pointer(&encoder->first_seen, g_array_unref);
    g_free(encoder->buffer);
    g_free(encoder->compare);
    g_free(encoder->below);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Encoder, encoder_clear)

bool
vt_encode_image(int image_fd, const VtEncodeOptions *given, VtBlobSink *sink,
                VtEncodeResult *ret_result, GError **error)
{
    VtEncodeOptions options;
    g_auto(VtEncodeResult) result = {0};
    g_auto(Encoder) encoder = {.fd = image_fd, .options = &options};

    if (!fill_options(given, &options, error) || !image_size(image_fd, &encoder.file_size, error))
        return false;
    encoder.capacity = (encoder.file_size + BLOCK - 1) / BLOCK * BLOCK;
    encoder.builder = vt_index_builder_new(options.frame_size);
    encoder.frames = vt_frame_encoder_new(&options, sink, encoder.builder);
    encoder.dedup = vt_dedup_new();
    encoder.first_seen = g_array_new(false, false, sizeof(guint64));
    encoder.buffer = g_malloc(READ_SIZE);
    encoder.compare = g_malloc(BLOCK);
    if (options.chain) {
        encoder.parent_blocks = vt_chain_blocks(options.chain, 1);
        encoder.below = g_malloc(READ_SIZE);
        vt_index_builder_set_parent(encoder.builder, &options.parent);
    }
    if (!add_parent(&encoder, error) || !encode_all(&encoder, error) ||
        !vt_frame_encoder_finish(encoder.frames, &result, error))
        return false;
    result.index = vt_index_builder_finish(encoder.builder);
    result.index_root_size = vt_index_builder_root_size(encoder.builder);
    vt_sha256_bytes(result.index, result.index_digest.bytes);
    result.capacity = encoder.capacity;
    result.data_bytes = encoder.data_blocks * BLOCK;
    result.unique_bytes = (uint64_t)encoder.first_seen->len * BLOCK;
    *ret_result = result;
    result = (VtEncodeResult){0};
    return true;
}
