/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack-verify.c: a local layer is what its index says, to the last byte */
#include "vt-unpack.h"

#include "vt-dedup.h"
#include "vt-fs.h"
#include "vt-layer-file.h"
#include "vt-sha256.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK       VT_INDEX_BLOCK_SIZE
#define THREADS_MAX 64

typedef struct {
    const VtIndex *index;
    const VtLayerMap *map;
    const VtChain *chain;
    int fd;
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    GMutex lock;
    uint64_t next_frame; /* guarded by lock */
    uint64_t done;       /* blocks; guarded by lock */
    GError *failure;     /* guarded by lock; of the lowest frame */
    uint64_t failed_frame;
    bool stopped; /* guarded by lock */
} Verifier;

static bool
check_metadata(const Verifier *verifier, GError **error)
{
    const VtQcow2Layout *layout = verifier->map->layout;
    const uint32_t cluster = layout->cluster;
    g_autofree uint8_t *expected = g_malloc(cluster), *found = g_malloc(cluster);
    struct stat st;

    if (fstat(verifier->fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    if ((uint64_t)st.st_size != layout->file_size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "the layer has %lld bytes instead of %" G_GUINT64_FORMAT,
                        (long long)st.st_size, layout->file_size);
    for (uint64_t i = 0; i < layout->metadata_clusters; i++) {
        vt_qcow2_layout_metadata(layout, i, expected);
        if (!vt_fs_pread_all(verifier->fd, found, cluster, (off_t)(i * cluster), "layer", error))
            return false;
        if (memcmp(expected, found, cluster) != 0)
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "QCOW2 metadata at offset %" G_GUINT64_FORMAT
                            " of the layer is damaged",
                            i * cluster);
    }
    return true;
}

/* The copies of a frame's blocks against its content */
static bool
check_copies(const Verifier *verifier, uint64_t number, const uint8_t *content, uint8_t *buffer,
             GError **error)
{
    const VtTargets *copies = &verifier->map->copies;

    for (guint i = copies->first[number]; i < copies->first[number + 1]; i++) {
        const VtTarget *target = &g_array_index(copies->all, VtTarget, i);
        size_t length = target->blocks * BLOCK;

        if (!vt_fs_pread_all(verifier->fd, buffer, length, (off_t)target->offset, "layer", error))
            return false;
        if (memcmp(buffer,
                   content + (target->source - number * verifier->map->frame_blocks) * BLOCK,
                   length) != 0)
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "data at offset %" G_GUINT64_FORMAT " of the layer is damaged",
                            target->offset);
    }
    return true;
}

static bool
check_frame(const Verifier *verifier, uint64_t number, uint8_t *content, uint8_t *buffer,
            GError **error)
{
    const VtTargets *primary = &verifier->map->primary;
    VtFrame frame;
    VtDigest digest;

    vt_index_frame(verifier->index, number, &frame);
    if (!vt_layer_file_read_frame(verifier->fd, verifier->map, number, content, error))
        return false;
    vt_sha256_data(content, (size_t)frame.blocks * BLOCK, &digest);
    if (!vt_digest_equal(&digest, &frame.content_digest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "data near offset %" G_GUINT64_FORMAT
                        " of the layer (frame %" G_GUINT64_FORMAT ") does not have its digest",
                        g_array_index(primary->all, VtTarget, primary->first[number]).offset,
                        number);
    return check_copies(verifier, number, content, buffer, error);
}

static bool
take_frame(Verifier *verifier, uint64_t *ret)
{
    bool any;

    g_mutex_lock(&verifier->lock);
    any = verifier->next_frame < verifier->index->frame_count && !verifier->failure &&
          !verifier->stopped;
    if (any)
        *ret = verifier->next_frame++;
    g_mutex_unlock(&verifier->lock);
    return any;
}

static gpointer
verify_thread(gpointer data)
{
    Verifier *verifier = data;
    size_t size = (size_t)verifier->index->frame_blocks * BLOCK;
    g_autofree uint8_t *content = g_malloc(size), *buffer = g_malloc(size);
    uint64_t number;

    while (take_frame(verifier, &number)) {
        GError *error = NULL;
        bool ok = check_frame(verifier, number, content, buffer, &error);
        VtFrame frame;

        vt_index_frame(verifier->index, number, &frame);
        g_mutex_lock(&verifier->lock);
        verifier->done += frame.blocks;
        if (!ok && (!verifier->failure || number < verifier->failed_frame)) {
            g_clear_error(&verifier->failure);
            verifier->failure = g_steal_pointer(&error);
            verifier->failed_frame = number;
        }
        if (verifier->progress)
            verifier->stopped |= !verifier->progress(verifier->user, verifier->done * BLOCK,
                                                     verifier->index->literal_blocks * BLOCK);
        g_mutex_unlock(&verifier->lock);
        g_clear_error(&error);
    }
    return NULL;
}

static bool
check_frames(Verifier *verifier, unsigned threads, GError **error)
{
    g_autoptr(GPtrArray) running = g_ptr_array_new();

    if (threads == 0)
        threads = g_get_num_processors();
    for (unsigned i = 0; i < MIN(threads, THREADS_MAX); i++)
        g_ptr_array_add(running, g_thread_new("verify", verify_thread, verifier));
    for (guint i = 0; i < running->len; i++)
        g_thread_join(running->pdata[i]);
    if (verifier->failure) {
        g_propagate_error(error, g_steal_pointer(&verifier->failure));
        return false;
    }
    return !verifier->stopped || vt_throw(error, VT_ERROR_FAILED, "the check was stopped");
}

/* Guest blocks [block, end) are in one allocated cluster */
static bool
check_zeros_at(const Verifier *verifier, uint64_t block, uint64_t end, GError **error)
{
    uint8_t buffer[VT_QCOW2_LAYOUT_CLUSTER_MAX];
    uint64_t offset = vt_qcow2_layout_offset(verifier->map->layout, block);

    if (!vt_fs_pread_all(verifier->fd, buffer, (end - block) * BLOCK, (off_t)offset, "layer",
                         error))
        return false;
    for (size_t at = 0; at < (end - block) * BLOCK; at += BLOCK) {
        if (!vt_block_is_zero(buffer + at))
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "offset %" G_GUINT64_FORMAT " of the layer should be zeros",
                            offset + at);
    }
    return true;
}

/*
 * A zero extent shares its first cluster with the data before it, and its last one with the data
 * behind it; clusters between are not in the file.
 */
static bool
check_zeros(const Verifier *verifier, GError **error)
{
    const uint64_t cluster = verifier->map->layout->cluster / BLOCK;
    VtExtent extent, before = {.kind = VT_EXTENT_ZERO};
    VtExtentIter iter;

    /* In a delta layer the tables say that they are zeros, whatever is in the file */
    if (verifier->index->is_delta)
        return true;
    vt_extent_iter_init(&iter, verifier->index);
    for (; vt_extent_iter_next(&iter, &extent); before = extent) {
        uint64_t end = extent.guest + extent.length, head = extent.guest, tail;
        VtExtentIter peek = iter;
        VtExtent after = {.kind = VT_EXTENT_ZERO};

        if (extent.kind != VT_EXTENT_ZERO)
            continue;
        if (before.kind != VT_EXTENT_ZERO && head % cluster) {
            head = MIN(end, (head / cluster + 1) * cluster);
            if (!check_zeros_at(verifier, extent.guest, head, error))
                return false;
        }
        tail = MAX(head, end / cluster * cluster);
        if (tail < end && vt_extent_iter_next(&peek, &after) && after.kind != VT_EXTENT_ZERO &&
            !check_zeros_at(verifier, tail, end, error))
            return false;
    }
    return true;
}

/* ---- what ancestors have ---- */

/* Compared at once; bytes */
#define COMPARE_SIZE (1u << 20)

static bool
check_move(const Verifier *verifier, const VtMove *move, uint8_t *here, uint8_t *there,
           GError **error)
{
    VtPrefix source = {.source = move->source, .ancestor = move->ancestor};

    for (uint32_t done = 0; done < move->blocks; done += source.length) {
        const uint64_t offset = move->offset + (uint64_t)done * BLOCK;

        source.source = move->source + done;
        source.length = MIN(move->blocks - done, COMPARE_SIZE / BLOCK);
        if (!vt_chain_read(verifier->chain, &source, there, error) ||
            !vt_fs_pread_all(verifier->fd, here, (size_t)source.length * BLOCK, (off_t)offset,
                             "layer", error))
            return false;
        if (memcmp(here, there, (size_t)source.length * BLOCK) != 0)
            return vt_throw(error, VT_ERROR_CORRUPT,
                            "data near offset %" G_GUINT64_FORMAT
                            " of the layer is not what its ancestor %u has",
                            offset, move->ancestor);
    }
    return true;
}

static bool
check_moves(const Verifier *verifier, GError **error)
{
    const GArray *moves = verifier->map->moves;
    g_autofree uint8_t *here = g_malloc(COMPARE_SIZE), *there = g_malloc(COMPARE_SIZE);

    for (guint i = 0; i < moves->len; i++) {
        if (!check_move(verifier, &g_array_index(moves, VtMove, i), here, there, error))
            return false;
    }
    return true;
}

bool
vt_unpack_verify(const VtVerifyJob *job, GError **error)
{
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtLayerMap) map = NULL;
    Verifier verifier = {.fd = job->layer_fd, .progress = job->progress, .user = job->user};
    bool ok;

    if (!vt_index_parse(job->index, &index, error) ||
        !vt_chain_new(index->is_delta ? &index->parent : NULL, job->ancestors, job->ancestor_count,
                      &chain, error) ||
        !vt_chain_check(chain, index, error) || !vt_layer_map_new(index, job->backing, &map, error))
        return false;
    verifier.index = index;
    verifier.map = map;
    verifier.chain = chain;
    g_mutex_init(&verifier.lock);
    ok = check_metadata(&verifier, error) && check_frames(&verifier, job->threads, error) &&
         check_zeros(&verifier, error) && check_moves(&verifier, error);
    g_mutex_clear(&verifier.lock);
    return ok;
}
