/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack-pool.c: threads that check, decode and write the frames that lie in a ring
 *
 * Theory of operation
 *
 * A range lies in a slot. Threads take its frames in order, some at a time, and end in any order.
 * Its bytes are needed up to the first frame that a thread still has: fetch may write over what is
 * before that. When all frames were taken and no thread has any, the slot is free.
 *
 * Who finds no complete frame leaves, under the lock under which more of them come; each answer,
 * and each thread that leaves something for another one, starts one more.
 */
#include "vt-unpack-pool.h"

#include "vt-direct.h"
#include "vt-frame-decoder.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Frames are told to have left their slot in messages of at least so many bytes: a socket holds
 * those of all slots */
#define TAKEN_MIN (VT_RING_SLOT_SIZE / 8)
/* Decoded frames are gathered to writes of this size; bytes */
#define WRITE_TARGET (1u << 20)
/* Each has some MiB of memory */
#define THREADS_MAX 8
/* Of a delta they wait for the disk most of the time, each with one write of some ten KiB */
#define THREADS_PER_CPU 4

/**
 * Range: what was asked for, and how far it is; guarded by the pool's lock
 * @request: its last form
 * @have: bytes that have come
 * @frames_taken, @bytes_taken: that threads have, or had
 * @working: threads that have frames of it
 */
typedef struct {
    VtFrameRange frames;
    VtRingRequest request;
    uint64_t have;
    uint64_t frames_taken;
    uint64_t bytes_taken;
    unsigned working;
} Range;

/**
 * Workspace: what a thread needs; kept, because fresh memory costs a fault for each page
 * @range: whose frames it has, or had last
 * @first, @count: these frames, in the range; @at, @bytes: where they lie in it
 */
typedef struct {
    VtFrameDecoder *decoder;
    uint8_t *content;
    uint8_t *room;
    Range *range;
    uint64_t first;
    uint64_t count;
    uint64_t at;
    uint64_t bytes;
} Workspace;

struct VtUnpackPool {
    VtUnpackPoolSetup setup;
    GThreadPool *threads;
    int threads_max;
    GMutex lock; /* of all below */
    bool begun;
    bool ending;       /* who runs goes on, nobody else comes */
    int running;       /* threads that look for frames */
    GPtrArray *idle;   /* Workspace */
    GPtrArray *busy;   /* (transfer none): Workspace that has frames */
    GQueue free_slots; /* numbers */
    GError *failure;
    uint64_t blocks;
    uint64_t bytes;
    guint next_slot; /* looked at first, so that each gets its turn */
    Range ranges[VT_RING_SLOTS];
};

static Workspace *
workspace_new(const VtUnpackPool *pool)
{
    const VtIndex *index = pool->setup.index;
    Workspace *workspace = g_new0(Workspace, 1);

    workspace->decoder = vt_frame_decoder_new(index, pool->setup.chain);
    workspace->content = vt_aligned_new(MAX(WRITE_TARGET, vt_index_frame_bytes(index)));
    workspace->room = vt_aligned_new(VT_LAYER_WRITER_ROOM);
    return workspace;
}

static void
workspace_free(gpointer data)
{
    Workspace *workspace = data;

    vt_frame_decoder_free(workspace->decoder);
    free(workspace->content);
    free(workspace->room);
    g_free(workspace);
}

static void
wake(const VtUnpackPool *pool)
{
    const uint64_t one = 1;

    /* cannot block: the counter is far from its end */
    if (write(pool->setup.wake_fd, &one, sizeof(one)) < 0)
        g_assert(errno == EAGAIN);
}

/* ---- under the lock ---- */

/* Lets one more thread look */
static void
start_one(VtUnpackPool *pool)
{
    if (!pool->begun || pool->ending || pool->failure || pool->running == pool->threads_max)
        return;
    pool->running++;
    g_thread_pool_push(pool->threads, pool, NULL);
}

/* Gives @workspace frames of @range that are complete, up to what WRITE_TARGET holds */
static bool
take_frames(const VtUnpackPool *pool, Range *range, Workspace *workspace)
{
    const VtIndex *index = pool->setup.index;
    const uint64_t most = MIN(MAX(WRITE_TARGET / vt_index_frame_bytes(index), 1),
                              range->frames.count - range->frames_taken);
    uint64_t count = 0, bytes = 0;

    for (; count < most; count++) {
        VtFrame frame;

        vt_index_frame(index, range->frames.first + range->frames_taken + count, &frame);
        if (range->bytes_taken + bytes + frame.size > range->have)
            break;
        bytes += frame.size;
    }
    if (count == 0)
        return false;
    workspace->range = range;
    workspace->first = range->frames_taken;
    workspace->count = count;
    workspace->at = range->bytes_taken;
    workspace->bytes = bytes;
    range->frames_taken += count;
    range->bytes_taken += bytes;
    range->working++;
    return true;
}

/* Of the range that it had first: what follows each other in the file is written by one */
static bool
take_any(VtUnpackPool *pool, Workspace *workspace)
{
    bool any = false;

    if (pool->failure)
        return false;
    if (workspace->range)
        any = take_frames(pool, workspace->range, workspace);
    for (guint i = 0; !any && i < VT_RING_SLOTS; i++) {
        const guint slot = (pool->next_slot + i) % VT_RING_SLOTS;

        any = take_frames(pool, &pool->ranges[slot], workspace);
        if (any)
            pool->next_slot = slot + 1;
    }
    if (any)
        g_ptr_array_add(pool->busy, workspace);
    return any;
}

/* Bytes of @range of which no thread needs the slot any more */
static uint64_t
left_behind(const VtUnpackPool *pool, const Range *range)
{
    uint64_t bytes = range->bytes_taken;

    for (guint i = 0; i < pool->busy->len; i++) {
        const Workspace *workspace = pool->busy->pdata[i];

        if (workspace->range == range)
            bytes = MIN(bytes, workspace->at);
    }
    return bytes;
}

/* Tells fetch of room that it needs */
static void
make_room(const VtUnpackPool *pool, Range *range)
{
    VtRingRequest *request = &range->request;
    const uint64_t taken = left_behind(pool, range);

    if (request->length - request->taken <= VT_RING_SLOT_SIZE || taken - request->taken < TAKEN_MIN)
        return;
    request->taken = (uint32_t)taken;
    /* When it is gone, the owner of the ring finds out */
    (void)send(pool->setup.socket_fd, request, sizeof(*request), MSG_NOSIGNAL);
}

static uint64_t
blocks_of(const VtIndex *index, uint64_t first, uint64_t count)
{
    const uint64_t start = first * index->frame_blocks;

    return MIN(start + count * index->frame_blocks, index->literal_blocks) - start;
}

static void
remember_failure(VtUnpackPool *pool, GError *error)
{
    if (!pool->failure)
        pool->failure = error;
    else
        g_error_free(error);
}

/* @workspace has done what it could. Returns: whether its range is done, or failed: then nothing
 * follows, and its slot is not needed */
static bool
settle(VtUnpackPool *pool, Workspace *workspace, GError *failure)
{
    Range *range = workspace->range;
    bool done;

    g_ptr_array_remove_fast(pool->busy, workspace);
    range->working--;
    if (failure) {
        remember_failure(pool, failure);
        return true;
    }
    pool->blocks +=
        blocks_of(pool->setup.index, range->frames.first + workspace->first, workspace->count);
    pool->bytes += workspace->bytes;
    done = range->working == 0 && range->frames_taken == range->frames.count;
    if (done)
        g_queue_push_tail(&pool->free_slots, GUINT_TO_POINTER(range->request.slot));
    else
        make_room(pool, range);
    return done;
}

/* ---- a thread ---- */

/* Decodes and writes the frames that @workspace has */
static bool
process(const VtUnpackPool *pool, const Workspace *workspace, GError **error)
{
    const VtIndex *index = pool->setup.index;
    const uint64_t size = vt_index_frame_bytes(index);
    const uint64_t number = workspace->range->frames.first + workspace->first;
    const VtFrameWindow window = {pool->setup.ring_fd,
                                  (uint64_t)workspace->range->request.slot * VT_RING_SLOT_SIZE,
                                  VT_RING_SLOT_SIZE};
    const VtLayerBatch batch = {.content = workspace->content,
                                .room = workspace->room,
                                .first_frame = number,
                                .frame_count = workspace->count};
    uint64_t at = workspace->at;

    for (uint64_t i = 0; i < workspace->count; i++) {
        VtFrame frame;

        if (!vt_frame_decode(workspace->decoder, number + i, &window, at,
                             workspace->content + i * size, error))
            return false;
        vt_index_frame(index, number + i, &frame);
        at += frame.size;
    }
    return vt_layer_writer_add(pool->setup.writer, &batch, error);
}

static Workspace *
take_workspace(VtUnpackPool *pool)
{
    Workspace *workspace = NULL;

    g_mutex_lock(&pool->lock);
    if (pool->idle->len > 0)
        workspace = g_ptr_array_steal_index_fast(pool->idle, pool->idle->len - 1);
    g_mutex_unlock(&pool->lock);
    return workspace ? workspace : workspace_new(pool);
}

/* Who finds nothing leaves under the same lock, so what comes later starts another one */
static bool
next_frames(VtUnpackPool *pool, Workspace *workspace)
{
    bool any;

    g_mutex_lock(&pool->lock);
    any = take_any(pool, workspace);
    if (!any) {
        pool->running--;
        g_ptr_array_add(pool->idle, workspace);
    } else if (workspace->range->have > workspace->range->bytes_taken) {
        start_one(pool);
    }
    g_mutex_unlock(&pool->lock);
    return any;
}

static void
work(gpointer data, gpointer user)
{
    VtUnpackPool *pool = data;
    Workspace *workspace = take_workspace(pool);

    while (next_frames(pool, workspace)) {
        GError *error = NULL;
        bool news;

        (void)process(pool, workspace, &error);
        g_mutex_lock(&pool->lock);
        news = settle(pool, workspace, error);
        g_mutex_unlock(&pool->lock);
        if (news)
            wake(pool);
    }
}

/* ---- the owner of the ring ---- */

VtUnpackPool *
vt_unpack_pool_new(const VtUnpackPoolSetup *setup)
{
    VtUnpackPool *pool = g_new0(VtUnpackPool, 1);
    unsigned threads = setup->threads ? setup->threads : g_get_num_processors() * THREADS_PER_CPU;

    pool->setup = *setup;
    pool->threads_max = (int)MIN(threads, THREADS_MAX);
    pool->idle = g_ptr_array_new_with_free_func(workspace_free);
    pool->busy = g_ptr_array_new();
    for (guint slot = 0; slot < VT_RING_SLOTS; slot++)
        g_queue_push_tail(&pool->free_slots, GUINT_TO_POINTER(slot));
    g_mutex_init(&pool->lock);
    pool->threads = g_thread_pool_new(work, NULL, pool->threads_max, false, NULL);
    return pool;
}

static void
wait_for_threads(VtUnpackPool *pool)
{
    g_mutex_lock(&pool->lock);
    pool->ending = true;
    g_mutex_unlock(&pool->lock);
    if (pool->threads)
        g_thread_pool_free(g_steal_pointer(&pool->threads), false, true);
}

void
vt_unpack_pool_free(VtUnpackPool *pool)
{
    if (!pool)
        return;
    wait_for_threads(pool);
    g_ptr_array_unref(pool->idle);
    g_ptr_array_unref(pool->busy);
    g_queue_clear(&pool->free_slots);
    g_clear_error(&pool->failure);
    g_mutex_clear(&pool->lock);
    g_free(pool);
}

void
vt_unpack_pool_begin(VtUnpackPool *pool)
{
    g_mutex_lock(&pool->lock);
    pool->begun = true;
    for (guint slot = 0; slot < VT_RING_SLOTS; slot++) {
        if (pool->ranges[slot].have > 0)
            start_one(pool);
    }
    g_mutex_unlock(&pool->lock);
}

bool
vt_unpack_pool_take(VtUnpackPool *pool, uint32_t *ret_slot)
{
    bool any;

    g_mutex_lock(&pool->lock);
    any = !g_queue_is_empty(&pool->free_slots) && !pool->failure;
    if (any)
        *ret_slot = GPOINTER_TO_UINT(g_queue_pop_head(&pool->free_slots));
    g_mutex_unlock(&pool->lock);
    return any;
}

void
vt_unpack_pool_give(VtUnpackPool *pool, uint32_t slot)
{
    g_mutex_lock(&pool->lock);
    g_queue_push_tail(&pool->free_slots, GUINT_TO_POINTER(slot));
    g_mutex_unlock(&pool->lock);
}

const VtRingRequest *
vt_unpack_pool_ask(VtUnpackPool *pool, uint32_t slot, const VtFrameRange *frames)
{
    Range *range = &pool->ranges[slot];

    g_mutex_lock(&pool->lock);
    *range = (Range){.frames = *frames,
                     .request = {.slot = slot,
                                 .blob = frames->blob,
                                 .offset = frames->offset,
                                 .length = (uint32_t)frames->bytes}};
    g_mutex_unlock(&pool->lock);
    return &range->request;
}

bool
vt_unpack_pool_have(VtUnpackPool *pool, uint32_t slot, uint64_t length)
{
    Range *range = &pool->ranges[slot];
    bool sane;

    g_mutex_lock(&pool->lock);
    sane = length > range->have && length <= range->frames.bytes;
    if (sane) {
        range->have = length;
        start_one(pool);
    }
    g_mutex_unlock(&pool->lock);
    return sane;
}

void
vt_unpack_pool_fail(VtUnpackPool *pool, GError *error)
{
    g_mutex_lock(&pool->lock);
    remember_failure(pool, error);
    g_mutex_unlock(&pool->lock);
    wake(pool);
}

VtUnpackState
vt_unpack_pool_state(VtUnpackPool *pool)
{
    VtUnpackState state;

    g_mutex_lock(&pool->lock);
    state = (VtUnpackState){.idle = g_queue_get_length(&pool->free_slots) == VT_RING_SLOTS,
                            .failed = pool->failure != NULL,
                            .blocks = pool->blocks,
                            .bytes = pool->bytes};
    g_mutex_unlock(&pool->lock);
    return state;
}

bool
vt_unpack_pool_finish(VtUnpackPool *pool, GError **error)
{
    wait_for_threads(pool);
    if (!pool->failure)
        return true;
    g_propagate_error(error, g_steal_pointer(&pool->failure));
    return false;
}
