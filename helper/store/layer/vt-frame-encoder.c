/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-frame-encoder.c: literal blocks become zstd frames, compressed in threads, written in order */
#include "vt-frame-encoder.h"
#include "vt-fs.h"
#include "vt-sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zstd.h>

/*
 * Slots form a ring: the caller fills slot `next`, a pool thread compresses it, the caller writes
 * slot `oldest` when it is done. With two slots a thread nobody waits for long.
 */
#define SLOTS_PER_THREAD 4

/* Dirty pages are handed to the disk early, so that the final sync is short; bytes */
#define WRITE_BEHIND (8u << 20)

typedef struct {
    uint8_t *content;
    size_t content_size;
    uint8_t *frame;
    size_t frame_capacity;
    size_t frame_size;
    VtDigest digest;
    VtDigest content_digest;
    GArray *segments; /* (element-type VtSimilarSegment) */
    GError *failure;
    bool done;
} Slot;

/* What a thread needs: kept, the last used first, as it is in the cache */
typedef struct {
    ZSTD_CCtx *zstd;
    uint8_t *prefix;
} Workspace;

struct VtFrameEncoder {
    VtEncodeOptions options;
    VtBlobSink *sink;
    VtIndexBuilder *builder;
    GThreadPool *pool;
    GMutex lock;
    GCond ready;
    GPtrArray *idle; /* Workspace, one for each thread; guarded by lock */
    const VtSimilar *similar;
    Slot *slots;
    guint slot_count;
    uint64_t next;
    uint64_t oldest;
    /* the blob being written */
    int blob_fd;
    uint32_t blob_number;
    uint64_t blob_size;
    uint64_t blob_flushed;
    VtSha256 *blob_hash;
    GArray *digests;
    GArray *sizes;
    uint64_t stored;
};

/* Finds what the content of @slot looks like, and makes it the prefix of the next frame */
static bool
load_prefix(const VtFrameEncoder *encoder, Slot *slot, const Workspace *workspace, GError **error)
{
    size_t size = 0, result;

    vt_similar_find(encoder->similar, slot->content,
                    (uint32_t)(slot->content_size / VT_INDEX_BLOCK_SIZE), slot->segments);
    for (guint i = 0; i < slot->segments->len; i++) {
        const VtSimilarSegment *segment = &g_array_index(slot->segments, VtSimilarSegment, i);
        const VtPrefix place = {segment->block, segment->length, 1};

        if (!vt_chain_read(encoder->options.chain, &place, workspace->prefix + size, error))
            return false;
        size += (size_t)segment->length * VT_INDEX_BLOCK_SIZE;
    }
    /* What is decoded then depends on more than the frame: 4 bytes tell whether it is right, for
     * less than a digest costs */
    ZSTD_CCtx_setParameter(workspace->zstd, ZSTD_c_checksumFlag, size > 0);
    result = ZSTD_CCtx_refPrefix(workspace->zstd, workspace->prefix, size);
    return !ZSTD_isError(result) ||
           vt_throw(error, VT_ERROR_FAILED, "zstd: %s", ZSTD_getErrorName(result));
}

static void
compress_content(const VtFrameEncoder *encoder, Slot *slot, const Workspace *workspace)
{
    if (encoder->similar && !load_prefix(encoder, slot, workspace, &slot->failure))
        return;
    slot->frame_size = ZSTD_compress2(workspace->zstd, slot->frame, slot->frame_capacity,
                                      slot->content, slot->content_size);
    if (ZSTD_isError(slot->frame_size)) {
        vt_throw(&slot->failure, VT_ERROR_FAILED, "zstd: %s", ZSTD_getErrorName(slot->frame_size));
        return;
    }
    vt_sha256_data(slot->frame, slot->frame_size, &slot->digest);
    vt_sha256_data(slot->content, slot->content_size, &slot->content_digest);
}

static void
compress_slot(gpointer data, gpointer user)
{
    VtFrameEncoder *encoder = user;
    Slot *slot = data;
    Workspace *workspace;

    g_mutex_lock(&encoder->lock);
    workspace = g_ptr_array_steal_index(encoder->idle, encoder->idle->len - 1);
    g_mutex_unlock(&encoder->lock);
    compress_content(encoder, slot, workspace);
    g_mutex_lock(&encoder->lock);
    g_ptr_array_add(encoder->idle, workspace);
    slot->done = true;
    g_cond_signal(&encoder->ready);
    g_mutex_unlock(&encoder->lock);
}

static void
slot_init(VtFrameEncoder *encoder, Slot *slot)
{
    slot->content = g_malloc(encoder->options.frame_size);
    slot->frame_capacity = ZSTD_compressBound(encoder->options.frame_size);
    slot->frame = g_malloc(slot->frame_capacity);
    slot->segments = g_array_new(false, false, sizeof(VtSimilarSegment));
}

static void
slot_clear(Slot *slot)
{
    g_free(slot->content);
    g_free(slot->frame);
    g_array_unref(slot->segments);
    g_clear_error(&slot->failure);
}

static void
workspace_free(gpointer data)
{
    Workspace *workspace = data;

    ZSTD_freeCCtx(workspace->zstd);
    g_free(workspace->prefix);
    g_free(workspace);
}

static Workspace *
workspace_new(int level)
{
    Workspace *workspace = g_new0(Workspace, 1);

    workspace->zstd = ZSTD_createCCtx();
    g_assert(workspace->zstd);
    ZSTD_CCtx_setParameter(workspace->zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(workspace->zstd, ZSTD_c_contentSizeFlag, 1);
    ZSTD_CCtx_setParameter(workspace->zstd, ZSTD_c_checksumFlag, 0);
    return workspace;
}

VtFrameEncoder *
vt_frame_encoder_new(const VtEncodeOptions *options, VtBlobSink *sink, VtIndexBuilder *builder)
{
    VtFrameEncoder *encoder = g_new0(VtFrameEncoder, 1);

    encoder->options = *options;
    encoder->sink = sink;
    encoder->builder = builder;
    encoder->blob_fd = -1;
    encoder->digests = g_array_new(false, false, sizeof(VtDigest));
    encoder->sizes = g_array_new(false, false, sizeof(guint64));
    g_mutex_init(&encoder->lock);
    g_cond_init(&encoder->ready);
    encoder->slot_count = options->threads * SLOTS_PER_THREAD;
    encoder->slots = g_new0(Slot, encoder->slot_count);
    for (guint i = 0; i < encoder->slot_count; i++)
        slot_init(encoder, &encoder->slots[i]);
    encoder->idle = g_ptr_array_new_with_free_func(workspace_free);
    for (guint i = 0; i < options->threads; i++)
        g_ptr_array_add(encoder->idle, workspace_new(options->level));
    encoder->pool = g_thread_pool_new(compress_slot, encoder, (int)options->threads, false, NULL);
    return encoder;
}

void
vt_frame_encoder_free(VtFrameEncoder *encoder)
{
    if (!encoder)
        return;
    g_thread_pool_free(encoder->pool, true, true);
    for (guint i = 0; i < encoder->slot_count; i++)
        slot_clear(&encoder->slots[i]);
    g_free(encoder->slots);
    g_ptr_array_unref(encoder->idle);
    vt_close_fd(&encoder->blob_fd);
    vt_sha256_free(encoder->blob_hash);
    g_array_unref(encoder->digests);
    g_array_unref(encoder->sizes);
    g_mutex_clear(&encoder->lock);
    g_cond_clear(&encoder->ready);
    g_free(encoder);
}

void
vt_frame_encoder_set_similar(VtFrameEncoder *encoder, const VtSimilar *similar)
{
    G_STATIC_ASSERT(VT_SIMILAR_BLOCKS_MAX * VT_INDEX_BLOCK_SIZE <= VT_INDEX_PREFIX_MAX);
    encoder->similar = similar;
    for (guint i = 0; i < encoder->idle->len; i++)
        ((Workspace *)encoder->idle->pdata[i])->prefix =
            g_malloc((gsize)VT_SIMILAR_BLOCKS_MAX * VT_INDEX_BLOCK_SIZE);
}

static bool
commit_blob(VtFrameEncoder *encoder, GError **error)
{
    VtDigest digest;

    if (encoder->blob_fd < 0)
        return true;
    vt_sha256_finish(encoder->blob_hash, &digest);
    g_array_append_val(encoder->digests, digest);
    g_array_append_val(encoder->sizes, encoder->blob_size);
    encoder->stored += encoder->blob_size;
    encoder->blob_number++;
    return encoder->sink->commit(encoder->sink, vt_steal_fd(&encoder->blob_fd), &digest,
                                 encoder->blob_size, error);
}

/* Makes sure that there is a blob with room for @size bytes */
static bool
open_blob(VtFrameEncoder *encoder, size_t size, GError **error)
{
    if (encoder->blob_fd >= 0 && encoder->blob_size + size > encoder->options.blob_max &&
        !commit_blob(encoder, error))
        return false;
    if (encoder->blob_fd >= 0)
        return true;
    if (encoder->blob_number >= VT_INDEX_BLOBS_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the image needs more than %u blobs",
                        VT_INDEX_BLOBS_MAX);
    if (!encoder->blob_hash)
        encoder->blob_hash = vt_sha256_new();
    encoder->blob_size = 0;
    encoder->blob_flushed = 0;
    return encoder->sink->begin(encoder->sink, &encoder->blob_fd, error);
}

static void
write_behind(VtFrameEncoder *encoder)
{
    if (encoder->blob_size - encoder->blob_flushed < WRITE_BEHIND)
        return;
    /* a hint: not every file system knows it, and the commit syncs anyway */
    (void)sync_file_range(encoder->blob_fd, (off_t)encoder->blob_flushed,
                          (off_t)(encoder->blob_size - encoder->blob_flushed),
                          SYNC_FILE_RANGE_WRITE);
    encoder->blob_flushed = encoder->blob_size;
}

static bool
add_prefixes(VtFrameEncoder *encoder, const Slot *slot, VtFrame *frame, GError **error)
{
    for (guint i = 0; i < slot->segments->len; i++) {
        const VtSimilarSegment *segment = &g_array_index(slot->segments, VtSimilarSegment, i);
        const VtPrefix prefix = {segment->block, segment->length, 1};
        const uint32_t number = vt_index_builder_add_prefix(encoder->builder, &prefix);

        if (number >= VT_INDEX_PREFIXES_MAX)
            return vt_throw(error, VT_ERROR_TOO_LARGE,
                            "too much is new for a delta layer: make a full one");
        if (i == 0)
            frame->prefix_first = number;
    }
    frame->prefix_count = slot->segments->len;
    return true;
}

static bool
write_slot(VtFrameEncoder *encoder, Slot *slot, GError **error)
{
    VtFrame frame;

    if (slot->failure) {
        g_propagate_error(error, g_steal_pointer(&slot->failure));
        return false;
    }
    if (!open_blob(encoder, slot->frame_size, error) ||
        !vt_fs_write_all(encoder->blob_fd, slot->frame, slot->frame_size, "blob", error))
        return false;
    vt_sha256_update(encoder->blob_hash, slot->frame, slot->frame_size);
    frame = (VtFrame){.blob = encoder->blob_number,
                      .offset = (uint32_t)encoder->blob_size,
                      .size = (uint32_t)slot->frame_size,
                      .blocks = (uint32_t)(slot->content_size / VT_INDEX_BLOCK_SIZE),
                      .digest = slot->digest,
                      .content_digest = slot->content_digest};
    if (!add_prefixes(encoder, slot, &frame, error))
        return false;
    vt_index_builder_add_frame(encoder->builder, &frame);
    encoder->blob_size += slot->frame_size;
    write_behind(encoder);
    slot->content_size = 0;
    slot->done = false;
    encoder->oldest++;
    return true;
}

/* Writes what is ready; with @all, or a full ring, waits for it */
static bool
drain(VtFrameEncoder *encoder, bool all, GError **error)
{
    while (encoder->oldest < encoder->next) {
        Slot *slot = &encoder->slots[encoder->oldest % encoder->slot_count];
        bool wait = all || encoder->next - encoder->oldest == encoder->slot_count, done;

        g_mutex_lock(&encoder->lock);
        while (wait && !slot->done)
            g_cond_wait(&encoder->ready, &encoder->lock);
        done = slot->done;
        g_mutex_unlock(&encoder->lock);
        if (!done)
            return true;
        if (!write_slot(encoder, slot, error))
            return false;
    }
    return true;
}

static void
submit(VtFrameEncoder *encoder)
{
    Slot *slot = &encoder->slots[encoder->next % encoder->slot_count];

    encoder->next++;
    g_thread_pool_push(encoder->pool, slot, NULL);
}

bool
vt_frame_encoder_add(VtFrameEncoder *encoder, const uint8_t *block, GError **error)
{
    Slot *slot = &encoder->slots[encoder->next % encoder->slot_count];

    memcpy(slot->content + slot->content_size, block, VT_INDEX_BLOCK_SIZE);
    slot->content_size += VT_INDEX_BLOCK_SIZE;
    if (slot->content_size < encoder->options.frame_size)
        return true;
    submit(encoder);
    return drain(encoder, false, error);
}

bool
vt_frame_encoder_finish(VtFrameEncoder *encoder, VtEncodeResult *result, GError **error)
{
    /* a full ring was drained, so the slot being filled is always free */
    if (encoder->slots[encoder->next % encoder->slot_count].content_size > 0)
        submit(encoder);
    if (!drain(encoder, true, error) || !commit_blob(encoder, error))
        return false;
    result->blob_digests = g_array_ref(encoder->digests);
    result->blob_sizes = g_array_ref(encoder->sizes);
    result->stored_bytes = encoder->stored;
    return true;
}
