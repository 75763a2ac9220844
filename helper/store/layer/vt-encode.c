/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-encode.c: a disk image becomes a layer: frames in blobs, and their index */
#include "vt-encode.h"

#include "vt-ancestry.h"
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
 * looked up among all blocks of the ancestors; what follows a block that was found is compared with
 * what follows there first, so that files that moved are one extent.
 */

#define BLOCK VT_INDEX_BLOCK_SIZE
/* What is read at once: large enough for the disk, small enough for the cache; bytes */
#define READ_SIZE (1u << 20)

#define DEFAULT_LEVEL 3
#define LEVEL_MAX     19
#define THREADS_MAX   64

/* In the table of blocks: the rest is a block of an ancestor, not a literal. So literals have
 * numbers of up to 31 bits, 8 TiB; what is behind is not found again */
#define OF_ANCESTOR (VT_ANCESTRY_NUMBER_MAX + 1)
/* Different blocks that look the same in the table: more than a few are somebody's intention */
#define CANDIDATES_MAX 8

/* Ranges of READ_SIZE that are looked at to tell whether a delta is worth it: 512 MiB, in a quarter
 * of a second, are a percent or two off */
#define SAMPLE_RANGES 512

typedef struct {
    int fd;
    uint64_t file_size;
    uint64_t capacity;
    const VtEncodeOptions *options;
    VtIndexBuilder *builder;
    VtFrameEncoder *frames;
    VtDedup *dedup;
    GArray *first_seen; /* (element-type guint32): guest block of each literal block */
    uint64_t data_blocks;
    uint8_t *buffer;
    uint8_t *compare;
    uint8_t *below;       /* with a parent: its blocks at the place of @buffer */
    VtAncestry *ancestry; /* the same */
    VtSimilar *similar;   /* what new blocks may look like */
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

/* ---- blocks ---- */

static bool
add_literal(Encoder *encoder, uint64_t guest, const uint8_t *block, GError **error)
{
    const uint64_t literal = encoder->first_seen->len;
    const uint32_t place = (uint32_t)guest;

    g_array_append_val(encoder->first_seen, place);
    vt_index_builder_add_extent(encoder->builder, VT_EXTENT_LITERAL, literal, 1);
    return vt_frame_encoder_add(encoder->frames, block, error);
}

/* @ret_same: whether @found, which the table had, has the bytes of @block */
static bool
compare_found(const Encoder *encoder, uint32_t found, const uint8_t *block, bool *ret_same,
              GError **error)
{
    return found & OF_ANCESTOR
               ? vt_ancestry_same(encoder->ancestry, found & ~OF_ANCESTOR, block, ret_same, error)
               : same_bytes(encoder, g_array_index(encoder->first_seen, guint32, found), block,
                            ret_same, error);
}

static void
add_ancestor_block(Encoder *encoder, VtPrefix place)
{
    vt_index_builder_add_ancestor(encoder->builder, place.ancestor, place.source, 1);
}

/* A block that is new, or was seen before, here or in an ancestor */
static bool
add_not_following(Encoder *encoder, uint64_t guest, const uint8_t *block, GError **error)
{
    const uint64_t hash = vt_block_hash(block), literal = encoder->first_seen->len;
    uint64_t cursor = 0;
    uint32_t found = 0, candidates = 0;
    bool same = false;

    while (!same && candidates < CANDIDATES_MAX &&
           vt_dedup_next(encoder->dedup, hash, &cursor, &found)) {
        if (!compare_found(encoder, found, block, &same, error))
            return false;
        candidates++;
    }
    if (same && found & OF_ANCESTOR) {
        add_ancestor_block(encoder, vt_ancestry_take(encoder->ancestry, found & ~OF_ANCESTOR));
        return true;
    }
    if (encoder->ancestry)
        vt_ancestry_stop(encoder->ancestry);
    if (same) {
        vt_index_builder_add_extent(encoder->builder, VT_EXTENT_LITERAL, found, 1);
        return true;
    }
    if (candidates < CANDIDATES_MAX && literal < OF_ANCESTOR)
        vt_dedup_add(encoder->dedup, hash, (uint32_t)literal);
    return add_literal(encoder, guest, block, error);
}

static bool
add_data_block(Encoder *encoder, uint64_t guest, const uint8_t *block, GError **error)
{
    bool follows = false;

    encoder->data_blocks++;
    if (encoder->ancestry && !vt_ancestry_follows(encoder->ancestry, block, &follows, error))
        return false;
    if (!follows)
        return add_not_following(encoder, guest, block, error);
    add_ancestor_block(encoder, vt_ancestry_take_follower(encoder->ancestry));
    return true;
}

static void
inherit(Encoder *encoder, uint64_t guest, uint32_t length)
{
    vt_index_builder_add_ancestor(encoder->builder, 1, guest, length);
    vt_ancestry_stop(encoder->ancestry);
}

static bool
add_block(Encoder *encoder, uint64_t guest, const uint8_t *block, const uint8_t *below,
          GError **error)
{
    if (below && memcmp(block, below, BLOCK) == 0) {
        encoder->data_blocks += !vt_block_is_zero(block);
        inherit(encoder, guest, 1);
        return true;
    }
    if (vt_block_is_zero(block)) {
        vt_index_builder_add_extent(encoder->builder, VT_EXTENT_ZERO, 0, 1);
        return true;
    }
    return add_data_block(encoder, guest, block, error);
}

/* The image's bytes, and the parent's at the same place */
static bool
read_range(Encoder *encoder, uint64_t offset, size_t length, GError **error)
{
    const VtPrefix place = {offset / BLOCK, (uint32_t)(length / BLOCK), 1};

    return !g_cancellable_set_error_if_cancelled(encoder->options->cancellable, error) &&
           read_padded(encoder, encoder->buffer, offset, length, error) &&
           (!encoder->below ||
            vt_chain_read(encoder->options->chain, &place, encoder->below, error));
}

static bool
encode_range(Encoder *encoder, uint64_t offset, size_t length, GError **error)
{
    if (!read_range(encoder, offset, length, error))
        return false;
    for (size_t at = 0; at < length; at += BLOCK) {
        if (!add_block(encoder, (offset + at) / BLOCK, encoder->buffer + at,
                       encoder->below ? encoder->below + at : NULL, error))
            return false;
    }
    return true;
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

/* Bytes from @offset on that are zeros, with a parent in that, too, as far as is known without
 * reading them */
static uint64_t
known_zeros(const Encoder *encoder, uint64_t offset)
{
    const uint64_t data = MAX(next_data(encoder, offset), offset);
    uint64_t blocks = (data - offset) / BLOCK;

    if (encoder->below && blocks > 0)
        blocks = MIN(blocks, vt_chain_zeros(encoder->options->chain, 1, offset / BLOCK));
    return blocks * BLOCK;
}

static void
add_zeros(Encoder *encoder, uint64_t offset, uint64_t length)
{
    uint64_t guest = offset / BLOCK;
    const uint64_t end = guest + length / BLOCK;

    while (guest < end) {
        const uint32_t part = (uint32_t)MIN(end - guest, G_MAXUINT32);

        if (encoder->below)
            inherit(encoder, guest, part);
        else
            vt_index_builder_add_extent(encoder->builder, VT_EXTENT_ZERO, 0, part);
        guest += part;
    }
}

static bool
encode_all(Encoder *encoder, GError **error)
{
    const VtEncodeOptions *options = encoder->options;
    uint64_t offset = 0, length;

    for (; offset < encoder->capacity; offset += length) {
        length = known_zeros(encoder, offset);
        if (length > 0) {
            add_zeros(encoder, offset, length);
            continue;
        }
        /* A hole may hide what the parent has */
        length = encoder->below ? encoder->capacity : next_hole(encoder, offset);
        length = MIN(READ_SIZE, length - offset);
        if (!encode_range(encoder, offset, (size_t)length, error))
            return false;
        if (options->progress)
            options->progress(options->user, offset + length, encoder->capacity);
    }
    if (options->progress)
        options->progress(options->user, encoder->capacity, encoder->capacity);
    return true;
}

/* ---- worth it? ---- */

/* Counts blocks that a full layer would store, and how many of them a delta would */
static void
count_range(const Encoder *encoder, VtDedup *seen, size_t length, uint64_t *data, uint64_t *fresh)
{
    for (size_t at = 0; at < length; at += BLOCK) {
        const uint8_t *block = encoder->buffer + at;
        uint64_t hash;

        if (vt_block_is_zero(block))
            continue;
        hash = vt_block_hash(block);
        if (vt_dedup_has(seen, hash))
            continue;
        vt_dedup_add(seen, hash, 0);
        ++*data;
        if (memcmp(block, encoder->below + at, BLOCK) != 0 && !vt_dedup_has(encoder->dedup, hash))
            ++*fresh;
    }
}

/* A sample, evenly over the image, or all of a small one. Always the same, for the same bytes */
static bool
check_worth(Encoder *encoder, VtEncodeResult *result, GError **error)
{
    const uint64_t ranges = (encoder->capacity + READ_SIZE - 1) / READ_SIZE;
    const uint64_t step = (ranges + SAMPLE_RANGES - 1) / SAMPLE_RANGES;
    g_autoptr(VtDedup) seen = vt_dedup_new();
    uint64_t data = 0, fresh = 0;

    for (uint64_t offset = 0; offset < encoder->capacity; offset += step * READ_SIZE) {
        const size_t length = (size_t)MIN(READ_SIZE, encoder->capacity - offset);

        if (!read_range(encoder, offset, length, error))
            return false;
        count_range(encoder, seen, length, &data, &fresh);
    }
    result->worthless = fresh * 100 > data * encoder->options->worth;
    result->data_bytes = data * BLOCK;
    result->unique_bytes = fresh * BLOCK;
    return true;
}

/* ---- */

static void
encoder_clear(Encoder *encoder)
{
    vt_frame_encoder_free(encoder->frames);
    vt_index_builder_free(encoder->builder);
    vt_dedup_free(encoder->dedup);
    vt_similar_free(encoder->similar);
    g_clear_pointer(&encoder->first_seen, g_array_unref);
    g_free(encoder->buffer);
    g_free(encoder->compare);
    g_free(encoder->below);
    vt_ancestry_free(encoder->ancestry);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Encoder, encoder_clear)

static void
encoder_init(Encoder *encoder)
{
    const VtEncodeOptions *options = encoder->options;

    encoder->capacity = (encoder->file_size + BLOCK - 1) / BLOCK * BLOCK;
    encoder->builder = vt_index_builder_new(options->frame_size);
    encoder->dedup = vt_dedup_new();
    encoder->first_seen = g_array_new(false, false, sizeof(guint32));
    encoder->buffer = g_malloc(READ_SIZE);
    encoder->compare = g_malloc(BLOCK);
    if (!options->chain)
        return;
    encoder->below = g_malloc(READ_SIZE);
    encoder->ancestry = vt_ancestry_new(options->chain);
    encoder->similar = vt_similar_new(vt_chain_data_blocks(options->chain));
    vt_index_builder_set_parent(encoder->builder, &options->parent);
}

static bool
scan_ancestors(Encoder *encoder, GError **error)
{
    const VtAncestryTables tables = {encoder->dedup, OF_ANCESTOR, encoder->similar};

    return vt_ancestry_scan(encoder->ancestry, &tables, encoder->options->cancellable, error);
}

static bool
encode_image(Encoder *encoder, VtBlobSink *sink, VtEncodeResult *result, GError **error)
{
    encoder->frames = vt_frame_encoder_new(encoder->options, sink, encoder->builder);
    if (encoder->similar)
        vt_frame_encoder_set_similar(encoder->frames, encoder->similar);
    if (!encode_all(encoder, error) || !vt_frame_encoder_finish(encoder->frames, result, error))
        return false;
    result->index = vt_index_builder_finish(encoder->builder);
    result->index_root_size = vt_index_builder_root_size(encoder->builder);
    vt_sha256_bytes(result->index, result->index_digest.bytes);
    result->capacity = encoder->capacity;
    result->data_bytes = encoder->data_blocks * BLOCK;
    result->unique_bytes = (uint64_t)encoder->first_seen->len * BLOCK;
    return true;
}

bool
vt_encode_image(int image_fd, const VtEncodeOptions *given, VtBlobSink *sink,
                VtEncodeResult *ret_result, GError **error)
{
    VtEncodeOptions options;
    g_auto(VtEncodeResult) result = {0};
    g_auto(Encoder) encoder = {.fd = image_fd, .options = &options};

    if (!fill_options(given, &options, error) || !image_size(image_fd, &encoder.file_size, error))
        return false;
    encoder_init(&encoder);
    if ((options.chain && !scan_ancestors(&encoder, error)) ||
        (options.chain && options.worth > 0 && !check_worth(&encoder, &result, error)) ||
        (!result.worthless && !encode_image(&encoder, sink, &result, error)))
        return false;
    *ret_result = result;
    result = (VtEncodeResult){0};
    return true;
}
