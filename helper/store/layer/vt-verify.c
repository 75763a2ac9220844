/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-verify.c: the files of a chain are what their indexes say, to the last byte
 *
 * Theory of operation
 *
 * Only frames have digests. A thread takes the next ones, reads them from the places that the index
 * names first, hashes them, and while they are in memory compares all other places that have blocks
 * of them: in this layer, and in the layers above (vt-chain-map.h). So the layers of a chain are
 * checked at the same time, and each byte is read once.
 */
#include "vt-verify.h"

#include "vt-chain-map.h"
#include "vt-fs.h"
#include "vt-layer-file.h"
#include "vt-sha256.h"
#include "vt-sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define BLOCK VT_INDEX_BLOCK_SIZE
/* Read at once by a thread, and compared at once; bytes. Disks are as fast as they get with this */
#define BATCH (1u << 20)
/* One waits for the disk while another one hashes */
#define THREADS_PER_CPU 2
/* Enough for any disk; of all jobs at once they stay within what the service may use */
#define THREADS_MAX 16
/* The file ends before; no errno */
#define AT_END (-1)

/**
 * Part: bytes of a file that are wanted in memory
 * @expected: (nullable): what they must be; %NULL: zeros
 * @ancestor: how many layers below is what they were taken from; 0: none
 * @failure: errno, or AT_END
 */
typedef struct {
    uint32_t layer;
    uint64_t offset;
    size_t length;
    uint8_t *data;
    const uint8_t *expected;
    uint32_t ancestor;
    int failure;
} Part;

typedef struct {
    const VtVerifyJob *job;
    const VtChainMap *map;
    VtLayerState *states; /* guarded by lock */
    int *fds;
    uint64_t total;
    GMutex lock;
    uint32_t layer; /* of the next unit; guarded by lock */
    guint kind;     /* guarded by lock */
    uint64_t next;  /* guarded by lock */
    uint64_t done;  /* bytes; guarded by lock */
    bool stopped;   /* guarded by lock */
} Verifier;

/* What a thread has */
typedef struct {
    Verifier *verifier;
    uint8_t *content;
    uint8_t *buffer;
    GArray *parts; /* (element-type Part) */
    size_t used;   /* of the buffer, by parts */
    uint64_t done; /* bytes, of the present unit */
} Worker;

void
vt_layer_state_clear(VtLayerState *state)
{
    g_clear_pointer(&state->reason, g_free);
    *state = (VtLayerState){0};
}

static const VtChainLayer *
layer_at(const Worker *worker, uint32_t level)
{
    return &worker->verifier->map->layers[level];
}

static uint64_t
frame_bytes(const VtChainLayer *layer)
{
    return layer->map->frame_blocks * BLOCK;
}

static void G_GNUC_PRINTF(4, 5)
    found(const Worker *worker, uint32_t level, uint64_t offset, const char *format, ...)
{
    VtLayerState *state = &worker->verifier->states[level];
    va_list arguments;

    g_mutex_lock(&worker->verifier->lock);
    if (state->damaged++ == 0 || offset < state->offset) {
        g_free(state->reason);
        va_start(arguments, format);
        state->reason = g_strdup_vprintf(format, arguments);
        va_end(arguments);
        state->offset = offset;
    }
    g_mutex_unlock(&worker->verifier->lock);
}

static void
found_unreadable(const Worker *worker, const Part *part)
{
    found(worker, part->layer, part->offset,
          "%zu bytes at offset %" G_GUINT64_FORMAT " of the layer cannot be read: %s", part->length,
          part->offset, part->failure == AT_END ? "it ends before" : g_strerror(part->failure));
}

/* ---- reading ---- */

static int
by_offset(gconstpointer a, gconstpointer b)
{
    const Part *x = a, *y = b;

    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void
read_alone(int fd, Part *part)
{
    size_t done = 0;

    while (done < part->length && part->failure == 0) {
        ssize_t n = pread(fd, part->data + done, part->length - done, (off_t)(part->offset + done));

        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            part->failure = AT_END;
        else if (errno != EINTR)
            part->failure = errno;
    }
}

/* Parts that follow each other in one file: with one call, unless something is wrong */
static void
read_run(int fd, Part *parts, guint count)
{
    struct iovec vector[IOV_MAX];
    size_t length = 0;

    for (guint i = 0; i < count; i++) {
        vector[i] = (struct iovec){parts[i].data, parts[i].length};
        length += parts[i].length;
    }
    if (preadv(fd, vector, (int)count, (off_t)parts[0].offset) == (ssize_t)length)
        return;
    for (guint i = 0; i < count; i++)
        read_alone(fd, &parts[i]);
}

static void
read_parts(Worker *worker)
{
    Part *parts = (Part *)(void *)worker->parts->data;
    const guint count = worker->parts->len;
    guint first = 0;

    g_array_sort(worker->parts, by_offset);
    for (guint i = 1; i <= count; i++) {
        const Part *last = &parts[i - 1];

        worker->done += last->length;
        if (i < count && i - first < IOV_MAX && parts[i].layer == last->layer &&
            parts[i].offset == last->offset + last->length)
            continue;
        read_run(worker->verifier->fds[last->layer], &parts[first], i - first);
        first = i;
    }
}

/* ---- comparing ---- */

static void
check_part(const Worker *worker, const Part *part)
{
    if (part->failure) {
        found_unreadable(worker, part);
        return;
    }
    if (part->expected ? memcmp(part->data, part->expected, part->length) == 0
                       : vt_sparse_is_zero(part->data, part->length))
        return;
    if (!part->expected)
        found(worker, part->layer, part->offset,
              "data at offset %" G_GUINT64_FORMAT " of the layer should be zeros", part->offset);
    else if (part->ancestor > 0)
        found(worker, part->layer, part->offset,
              "data at offset %" G_GUINT64_FORMAT " of the layer is not what its ancestor %u has",
              part->offset, part->ancestor);
    else
        found(worker, part->layer, part->offset,
              "data at offset %" G_GUINT64_FORMAT " of the layer is damaged", part->offset);
}

static void
flush(Worker *worker)
{
    read_parts(worker);
    for (guint i = 0; i < worker->parts->len; i++)
        check_part(worker, &g_array_index(worker->parts, Part, i));
    g_array_set_size(worker->parts, 0);
    worker->used = 0;
}

/* The bytes of @part will be read and compared */
static void
compare(Worker *worker, const Part *part)
{
    Part rest = *part;

    while (rest.length > 0) {
        Part piece = rest;

        if (worker->used == BATCH)
            flush(worker);
        piece.length = MIN(rest.length, BATCH - worker->used);
        piece.data = worker->buffer + worker->used;
        g_array_append_val(worker->parts, piece);
        worker->used += piece.length;
        rest.length -= piece.length;
        rest.offset += piece.length;
        if (rest.expected)
            rest.expected += piece.length;
    }
}

/* ---- the kinds of units ---- */

static void
check_metadata(Worker *worker, uint32_t level, uint64_t first, uint64_t count)
{
    const VtQcow2Layout *layout = layer_at(worker, level)->map->layout;

    for (uint64_t i = 0; i < count; i++) {
        const Part part = {.layer = level,
                           .offset = (first + i) * layout->cluster,
                           .length = layout->cluster,
                           .expected = worker->content + i * layout->cluster};

        vt_qcow2_layout_metadata(layout, first + i, worker->content + i * layout->cluster);
        compare(worker, &part);
    }
    flush(worker);
}

/* Reads frames to the worker's content, from their primary places. @bad: of each frame */
static void
read_frames(Worker *worker, uint32_t level, uint64_t first, uint64_t count, bool *bad)
{
    const VtLayerMap *map = layer_at(worker, level)->map;
    const VtTargets *primary = &map->primary;

    for (guint i = primary->first[first]; i < primary->first[first + count]; i++) {
        const VtTarget *target = &g_array_index(primary->all, VtTarget, i);
        const Part part = {.layer = level,
                           .offset = target->offset,
                           .length = target->blocks * BLOCK,
                           .data = worker->content +
                                   (target->source - first * map->frame_blocks) * BLOCK};

        g_array_append_val(worker->parts, part);
    }
    read_parts(worker);
    for (guint i = 0; i < worker->parts->len; i++) {
        const Part *part = &g_array_index(worker->parts, Part, i);

        if (!part->failure)
            continue;
        found_unreadable(worker, part);
        bad[(size_t)(part->data - worker->content) / frame_bytes(layer_at(worker, level))] = true;
    }
    g_array_set_size(worker->parts, 0);
}

static void
hash_frame(const Worker *worker, uint32_t level, uint64_t number, const uint8_t *content, bool *bad)
{
    const VtTargets *primary = &layer_at(worker, level)->map->primary;
    VtFrame frame;
    VtDigest digest;
    uint64_t offset;

    vt_index_frame(layer_at(worker, level)->index, number, &frame);
    vt_sha256_data(content, (size_t)frame.blocks * BLOCK, &digest);
    if (vt_digest_equal(&digest, &frame.content_digest))
        return;
    *bad = true;
    offset = g_array_index(primary->all, VtTarget, primary->first[number]).offset;
    found(worker, level, offset,
          "data near offset %" G_GUINT64_FORMAT " of the layer (frame %" G_GUINT64_FORMAT
          ") does not have its digest",
          offset, number);
}

static void
count_unknown(const Worker *worker, uint32_t level)
{
    g_mutex_lock(&worker->verifier->lock);
    worker->verifier->states[level].unknown++;
    g_mutex_unlock(&worker->verifier->lock);
}

static void
check_frames(Worker *worker, uint32_t level, uint64_t first, uint64_t count)
{
    const VtChainLayer *layer = layer_at(worker, level);
    const uint64_t size = frame_bytes(layer), start = first * layer->map->frame_blocks;
    g_autofree bool *bad = g_new0(bool, count);

    read_frames(worker, level, first, count, bad);
    for (uint64_t i = 0; i < count; i++) {
        if (!bad[i])
            hash_frame(worker, level, first + i, worker->content + i * size, &bad[i]);
    }
    for (guint i = layer->first[first]; i < layer->first[first + count]; i++) {
        const VtPlace *place = &g_array_index(layer->places, VtPlace, i);
        const Part part = {.layer = place->layer,
                           .offset = place->offset,
                           .length = (size_t)place->blocks * BLOCK,
                           .expected = worker->content + (place->source - start) * BLOCK,
                           .ancestor = place->layer - level};

        if (bad[(place->source - start) / layer->map->frame_blocks])
            count_unknown(worker, place->layer);
        else
            compare(worker, &part);
    }
    flush(worker);
}

static void
check_zeros(Worker *worker, uint32_t level, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        const VtPlace *place = &g_array_index(layer_at(worker, level)->zeros, VtPlace, i);
        const Part part = {
            .layer = level, .offset = place->offset, .length = (size_t)place->blocks * BLOCK};

        compare(worker, &part);
    }
    flush(worker);
}

static uint64_t
count_metadata(const VtChainLayer *layer)
{
    return layer->map->layout->metadata_clusters;
}

static uint64_t
step_metadata(const VtChainLayer *layer)
{
    return BATCH / layer->map->layout->cluster;
}

static uint64_t
count_frames(const VtChainLayer *layer)
{
    return layer->index->frame_count;
}

static uint64_t
step_frames(const VtChainLayer *layer)
{
    return MAX(BATCH / frame_bytes(layer), 1);
}

static uint64_t
count_zeros(const VtChainLayer *layer)
{
    return layer->zeros->len;
}

static uint64_t
step_zeros(const VtChainLayer *layer)
{
    return BATCH / BLOCK;
}

/* A unit is what a thread takes at once */
static const struct {
    uint64_t (*count)(const VtChainLayer *layer);
    uint64_t (*step)(const VtChainLayer *layer);
    void (*check)(Worker *worker, uint32_t level, uint64_t first, uint64_t count);
} kinds[] = {
    {count_metadata, step_metadata, check_metadata},
    {count_frames, step_frames, check_frames},
    {count_zeros, step_zeros, check_zeros},
};

/* ---- threads ---- */

typedef struct {
    uint32_t layer;
    guint kind;
    uint64_t first;
    uint64_t count;
} Unit;

/* Adds what the worker has done; returns false when there is nothing left for it */
static bool
take_unit(Worker *worker, Unit *ret)
{
    Verifier *verifier = worker->verifier;
    bool any = false;

    g_mutex_lock(&verifier->lock);
    verifier->done += worker->done;
    if (worker->done > 0 && verifier->job->progress)
        verifier->stopped |=
            !verifier->job->progress(verifier->job->user, verifier->done, verifier->total);
    worker->done = 0;
    while (!verifier->stopped && !any && verifier->layer < verifier->map->count) {
        const VtChainLayer *layer = layer_at(worker, verifier->layer);
        const uint64_t left = kinds[verifier->kind].count(layer) - verifier->next;

        *ret = (Unit){verifier->layer, verifier->kind, verifier->next,
                      MIN(left, kinds[verifier->kind].step(layer))};
        any = left > 0;
        verifier->next += ret->count;
        if (any)
            continue;
        verifier->next = 0;
        verifier->kind = (verifier->kind + 1) % G_N_ELEMENTS(kinds);
        verifier->layer += verifier->kind == 0;
    }
    g_mutex_unlock(&verifier->lock);
    return any;
}

static gpointer
verify_thread(gpointer data)
{
    Verifier *verifier = data;
    uint64_t size = BATCH;
    Worker worker = {.verifier = verifier};
    Unit unit;

    for (uint32_t i = 0; i < verifier->map->count; i++)
        size = MAX(size, frame_bytes(&verifier->map->layers[i]));
    worker.content = vt_aligned_new(size);
    worker.buffer = vt_aligned_new(BATCH);
    worker.parts = g_array_new(false, false, sizeof(Part));
    while (take_unit(&worker, &unit))
        kinds[unit.kind].check(&worker, unit.layer, unit.first, unit.count);
    g_array_unref(worker.parts);
    free(worker.content);
    free(worker.buffer);
    return NULL;
}

/* A service has a limit of tasks, which other jobs use, too: with fewer threads it takes longer */
static void
run_threads(Verifier *verifier)
{
    const uint64_t useful = verifier->total / BATCH + 1;
    unsigned threads = verifier->job->threads;
    g_autoptr(GPtrArray) running = g_ptr_array_new();

    if (threads == 0)
        threads = g_get_num_processors() * THREADS_PER_CPU;
    threads = (unsigned)MIN(MIN(threads, THREADS_MAX), useful);
    for (unsigned i = 0; i < threads; i++) {
        GThread *thread = g_thread_try_new("verify", verify_thread, verifier, NULL);

        if (!thread)
            break;
        g_ptr_array_add(running, thread);
    }
    if (running->len == 0)
        verify_thread(verifier);
    for (guint i = 0; i < running->len; i++)
        g_thread_join(running->pdata[i]);
}

/* ---- the chain ---- */

/* Disks with larger sectors than blocks refuse what is read here */
static bool
can_read(int fd)
{
    uint8_t *block = vt_aligned_new(BLOCK);
    const bool ok = pread(fd, block, BLOCK, 0) >= 0 || errno != EINVAL;

    free(block);
    return ok;
}

/* An own descriptor for O_DIRECT where that works: what is checked is the disk, and the pages that
 * guests use stay in memory. Delta layers are read in small pieces, which the page cache merges. */
static int
reopen(int fd, bool direct)
{
    vt_autofd own = -1;
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    own = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    if (own < 0 || (direct && !can_read(own)))
        return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return vt_steal_fd(&own);
}

static bool
open_files(Verifier *verifier, GError **error)
{
    const VtVerifyJob *job = verifier->job;

    for (uint32_t i = 0; i < job->count; i++) {
        const uint64_t size = verifier->map->layers[i].map->layout->file_size;
        const Worker nobody = {.verifier = verifier};
        struct stat st;

        verifier->fds[i] = reopen(job->layers[i].fd, !verifier->map->layers[i].index->is_delta);
        if (verifier->fds[i] < 0 || fstat(verifier->fds[i], &st) < 0)
            return vt_throw_errno(error, errno, "cannot open layer %u of the chain", i + 1);
        if ((uint64_t)st.st_size != size)
            found(&nobody, i, 0, "the layer has %lld bytes instead of %" G_GUINT64_FORMAT,
                  (long long)st.st_size, size);
        verifier->total += verifier->map->layers[i].bytes;
    }
    return true;
}

static void
verifier_clear(Verifier *verifier)
{
    for (uint32_t i = 0; i < verifier->job->count; i++) {
        if (verifier->fds[i] >= 0)
            close(verifier->fds[i]);
    }
    g_free(verifier->fds);
    g_mutex_clear(&verifier->lock);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Verifier, verifier_clear)

static bool
run(const VtVerifyJob *job, const VtChainMap *map, VtLayerState *states, GError **error)
{
    g_auto(Verifier) verifier = {.job = job, .map = map, .states = states};

    g_mutex_init(&verifier.lock);
    verifier.fds = g_new(int, job->count);
    for (uint32_t i = 0; i < job->count; i++)
        verifier.fds[i] = -1;
    if (!open_files(&verifier, error))
        return false;
    run_threads(&verifier);
    return !verifier.stopped || vt_throw(error, VT_ERROR_FAILED, "the check was stopped");
}

static bool
check_link(const VtVerifyJob *job, uint32_t number, const VtIndex *index, GError **error)
{
    VtDigest below;

    if (number > 0)
        vt_sha256_bytes(job->layers[number - 1].index, below.bytes);
    return (index->is_delta == (number > 0) &&
            (number == 0 || vt_digest_equal(&index->parent, &below))) ||
           vt_throw(error, VT_ERROR_INVALID, "layer %u of the chain is not made over the one below",
                    number + 1);
}

bool
vt_verify_chain(const VtVerifyJob *job, VtLayerState *ret_states, GError **error)
{
    g_autoptr(GPtrArray) indexes = g_ptr_array_new_with_free_func((GDestroyNotify)vt_index_free);
    g_autofree VtChainPart *parts = g_new0(VtChainPart, job->count);
    g_autoptr(VtChainMap) map = NULL;

    for (uint32_t i = 0; i < job->count; i++) {
        VtIndex *index = NULL;

        if (!vt_index_parse(job->layers[i].index, &index, error))
            return false;
        g_ptr_array_add(indexes, index);
        if (!check_link(job, i, index, error))
            return false;
        parts[i] = (VtChainPart){index, job->layers[i].backing};
    }
    return vt_chain_map_new(parts, job->count, &map, error) && run(job, map, ret_states, error);
}
