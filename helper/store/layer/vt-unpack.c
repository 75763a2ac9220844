/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack.c: an authenticated index and its frames become a QCOW2 file */
#include "vt-unpack.h"

#include "vt-frame-decoder.h"
#include "vt-fs.h"
#include "vt-layer-file.h"
#include "vt-layer-writer.h"
#include "vt-sha256.h"
#include "vt-unpack-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/*
 * The calling thread owns the ring: it asks for ranges of adjacent frames while slots are free, and
 * hands slots to a pool as soon as they begin to fill. A pool thread checks, decodes and writes the
 * frames of one range that are complete, until it has caught up with the ring; when the range is
 * done it gives the slot back through an eventfd. So hardly more than a frame of each slot is lost
 * when all of this is killed. Who fails first is remembered; nothing new is begun then.
 *
 * A registry spends some ms and some MiB of memory on each request, whatever its length. So from a
 * store that streams, long ranges are asked for, which go through their slots; they become
 * shorter towards the end, so that the connections end together.
 *
 * While ancestors are not complete, the slots fill and stay as they are. A transfer that nobody
 * takes bytes from keeps a connection that a layer below may need, so no long range is asked for.
 */

/* A slot holds no more; and of a store that streams, a shorter range is not worth its request */
#define RANGE_TARGET (4u << 20)
/* Before a slot is full there are frames in it that are complete, and their room is told of */
#define STREAM_FRAME_MAX (VT_RING_SLOT_SIZE / 4)
#define TAKEN_MIN        (VT_RING_SLOT_SIZE / 8)
/* Decoded frames are gathered to writes of this size; bytes */
#define WRITE_TARGET (1u << 20)
/* A thread has at most one slot */
#define THREADS_MAX VT_RING_SLOTS
/* Threads wait for the disk at times; more of them only evict each other's caches */
#define THREADS_PER_CPU 2
#define PROGRESS_MS     100

typedef struct Unpacker Unpacker;

/* What a thread needs for a range; kept, because fresh memory costs a fault for each page */
typedef struct {
    VtFrameDecoder *decoder;
    uint8_t *content;
} Workspace;

/**
 * Range: a request and what came back
 * @request: its last form; of the thread that is at it
 * @have: bytes that have come; guarded by lock
 * @running: a thread is at it; guarded by lock
 * @frames_done, @bytes_done: what is written; of that thread
 */
typedef struct {
    VtFrameRange frames;
    VtRingRequest request;
    uint64_t have;
    bool running;
    uint64_t frames_done;
    uint64_t bytes_done;
} Range;

struct Unpacker {
    const VtUnpackJob *job;
    const VtIndex *index;
    const VtLayerMap *map;
    const VtChain *chain;
    VtLayerWriter *writer;
    int wake_fd;
    GThreadPool *pool;
    GMutex lock;
    GQueue free_slots;    /* slot numbers; guarded by lock */
    GError *failure;      /* guarded by lock */
    GPtrArray *idle;      /* Workspace; guarded by lock */
    uint64_t blocks_done; /* guarded by lock */
    uint64_t bytes_done;  /* guarded by lock */
    Range asked[VT_RING_SLOTS];
    bool outstanding[VT_RING_SLOTS];
    bool begun; /* the ancestors are complete */
    GThread *mover;
    VtUnpackPlan plan;
};

static void
fail_with(Unpacker *unpacker, GError *error)
{
    g_mutex_lock(&unpacker->lock);
    if (!unpacker->failure)
        unpacker->failure = error;
    else
        g_error_free(error);
    g_mutex_unlock(&unpacker->lock);
}

static uint64_t
frame_bytes(const VtIndex *index)
{
    return (uint64_t)index->frame_blocks * VT_INDEX_BLOCK_SIZE;
}

static Workspace *
workspace_new(const VtIndex *index, const VtChain *chain)
{
    Workspace *workspace = g_new(Workspace, 1);

    workspace->decoder = vt_frame_decoder_new(index, chain);
    workspace->content = vt_aligned_new(MAX(WRITE_TARGET, frame_bytes(index)));
    return workspace;
}

static void
workspace_free(gpointer data)
{
    Workspace *workspace = data;

    vt_frame_decoder_free(workspace->decoder);
    free(workspace->content);
    g_free(workspace);
}

static Workspace *
take_workspace(Unpacker *unpacker)
{
    Workspace *workspace = NULL;

    g_mutex_lock(&unpacker->lock);
    if (unpacker->idle->len > 0)
        workspace = g_ptr_array_steal_index_fast(unpacker->idle, unpacker->idle->len - 1);
    g_mutex_unlock(&unpacker->lock);
    return workspace ? workspace : workspace_new(unpacker->index, unpacker->chain);
}

/* How many frames of @range are complete and not written, up to what WRITE_TARGET holds */
static uint64_t
complete_frames(const Unpacker *unpacker, const Range *range, uint64_t have, uint64_t *ret_bytes)
{
    const uint64_t most = MAX(WRITE_TARGET / frame_bytes(unpacker->index), 1);
    uint64_t count = 0, bytes = 0;

    while (count < MIN(most, range->frames.count - range->frames_done)) {
        VtFrame frame;

        vt_index_frame(unpacker->index, range->frames.first + range->frames_done + count, &frame);
        if (range->bytes_done + bytes + frame.size > have)
            break;
        bytes += frame.size;
        count++;
    }
    *ret_bytes = bytes;
    return count;
}

/* Decodes and writes the next @count frames of @range */
static bool
process_frames(Unpacker *unpacker, const Range *range, uint64_t count, const Workspace *workspace,
               GError **error)
{
    const uint64_t size = frame_bytes(unpacker->index);
    const uint64_t number = range->frames.first + range->frames_done;
    const VtFrameWindow window = {unpacker->job->ring_fd,
                                  (uint64_t)range->request.slot * VT_RING_SLOT_SIZE,
                                  VT_RING_SLOT_SIZE};
    uint64_t at = range->bytes_done;

    for (uint64_t i = 0; i < count; i++) {
        VtFrame frame;

        if (!vt_frame_decode(workspace->decoder, number + i, &window, at,
                             workspace->content + i * size, error))
            return false;
        vt_index_frame(unpacker->index, number + i, &frame);
        at += frame.size;
    }
    return vt_layer_writer_add(unpacker->writer, workspace->content, number, count, error);
}

static uint64_t
blocks_of(const VtIndex *index, uint64_t first, uint64_t count)
{
    uint64_t start = first * index->frame_blocks;

    return MIN(start + count * index->frame_blocks, index->literal_blocks) - start;
}

/* Bytes of @range that are there; if nothing came since @known, the thread leaves it */
static uint64_t
look_again(Unpacker *unpacker, Range *range, uint64_t known)
{
    uint64_t have;

    g_mutex_lock(&unpacker->lock);
    have = range->have;
    range->running = have != known;
    g_mutex_unlock(&unpacker->lock);
    return have;
}

static void
count_frames(Unpacker *unpacker, Range *range, uint64_t count, uint64_t bytes)
{
    g_mutex_lock(&unpacker->lock);
    unpacker->blocks_done +=
        blocks_of(unpacker->index, range->frames.first + range->frames_done, count);
    unpacker->bytes_done += bytes;
    g_mutex_unlock(&unpacker->lock);
    range->frames_done += count;
    range->bytes_done += bytes;
}

/* Tells fetch of room that it needs, in a few messages: a socket holds those of all slots */
static void
make_room(const Unpacker *unpacker, Range *range)
{
    VtRingRequest *request = &range->request;

    if (request->length - request->taken <= VT_RING_SLOT_SIZE ||
        range->bytes_done - request->taken < TAKEN_MIN)
        return;
    request->taken = (uint32_t)range->bytes_done;
    /* When it is gone, take_answer() finds out */
    (void)send(unpacker->job->socket_fd, request, sizeof(*request), MSG_NOSIGNAL);
}

/* Writes the frames that are complete. Returns: whether the range is done, or something failed */
static bool
follow_range(Unpacker *unpacker, Range *range, const Workspace *workspace)
{
    uint64_t have = 0, before = 0;

    while (range->frames_done < range->frames.count) {
        GError *error = NULL;
        uint64_t bytes, count = complete_frames(unpacker, range, have, &bytes);

        if (count == 0) {
            before = have;
            have = look_again(unpacker, range, before);
            if (have == before)
                return false;
            continue;
        }
        if (!process_frames(unpacker, range, count, workspace, &error)) {
            fail_with(unpacker, error);
            return true;
        }
        count_frames(unpacker, range, count, bytes);
        make_room(unpacker, range);
    }
    return true;
}

static void
run_range(gpointer data, gpointer user)
{
    Unpacker *unpacker = user;
    Range *range = data;
    Workspace *workspace = take_workspace(unpacker);
    bool done = follow_range(unpacker, range, workspace);
    uint64_t one = 1;

    g_mutex_lock(&unpacker->lock);
    g_ptr_array_add(unpacker->idle, workspace);
    if (done)
        g_queue_push_tail(&unpacker->free_slots, GUINT_TO_POINTER(range->request.slot));
    g_mutex_unlock(&unpacker->lock);
    /* cannot block: the counter is far from its end */
    if (done && write(unpacker->wake_fd, &one, sizeof(one)) < 0)
        g_assert(errno == EAGAIN);
}

static uint64_t
range_target(const Unpacker *unpacker)
{
    if (!unpacker->job->streams || !unpacker->begun ||
        VT_INDEX_FRAME_OVERHEAD(frame_bytes(unpacker->index)) + frame_bytes(unpacker->index) >
            STREAM_FRAME_MAX)
        return RANGE_TARGET;
    return CLAMP(unpacker->plan.left / VT_RING_SLOTS, RANGE_TARGET, VT_RING_RANGE_MAX);
}

static bool
pop_free_slot(Unpacker *unpacker, uint32_t *ret)
{
    bool any;

    g_mutex_lock(&unpacker->lock);
    any = !g_queue_is_empty(&unpacker->free_slots) && !unpacker->failure;
    if (any)
        *ret = GPOINTER_TO_UINT(g_queue_pop_head(&unpacker->free_slots));
    g_mutex_unlock(&unpacker->lock);
    return any;
}

static bool
send_requests(Unpacker *unpacker, GError **error)
{
    Range range = {0};
    uint32_t slot;

    while (pop_free_slot(unpacker, &slot)) {
        if (!vt_unpack_plan_next(&unpacker->plan, range_target(unpacker), &range.frames)) {
            g_mutex_lock(&unpacker->lock);
            g_queue_push_tail(&unpacker->free_slots, GUINT_TO_POINTER(slot));
            g_mutex_unlock(&unpacker->lock);
            return true;
        }
        range.request = (VtRingRequest){.slot = slot,
                                        .blob = range.frames.blob,
                                        .offset = range.frames.offset,
                                        .length = (uint32_t)range.frames.bytes};
        unpacker->asked[slot] = range;
        unpacker->outstanding[slot] = true;
        /* When it is gone, what it said last may still be in the socket: take_answer() finds out */
        if (send(unpacker->job->socket_fd, &range.request, sizeof(range.request), MSG_NOSIGNAL) <
                0 &&
            errno != EPIPE && errno != ECONNRESET)
            return vt_throw_errno(error, errno, "cannot ask the fetch worker");
    }
    return true;
}

/* Lets a thread have what is in the slot, unless one is at it or it has to wait */
static void
push_range(Unpacker *unpacker, Range *range, uint64_t have)
{
    bool push;

    g_mutex_lock(&unpacker->lock);
    range->have = have;
    push = unpacker->begun && !range->running && !unpacker->failure;
    range->running |= push;
    g_mutex_unlock(&unpacker->lock);
    if (push)
        g_thread_pool_push(unpacker->pool, range, NULL);
}

static bool
answer_is_sane(const Unpacker *unpacker, const VtRingAnswer *answer)
{
    const Range *range = &unpacker->asked[answer->slot % VT_RING_SLOTS];

    return answer->slot < VT_RING_SLOTS && unpacker->outstanding[answer->slot] &&
           (answer->code >= 0 ||
            (answer->length > range->have && answer->length <= range->frames.bytes));
}

static bool
take_answer(Unpacker *unpacker, GError **error)
{
    VtRingAnswer answer;
    Range *range;
    ssize_t n = recv(unpacker->job->socket_fd, &answer, sizeof(answer), MSG_DONTWAIT);

    /* A worker that ended with requests unread leaves this error in front of its last answers */
    if (n < 0 && errno == ECONNRESET)
        n = recv(unpacker->job->socket_fd, &answer, sizeof(answer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return vt_throw(error, VT_ERROR_NETWORK, "the fetch worker ended");
    if (n != (ssize_t)sizeof(answer) || !answer_is_sane(unpacker, &answer))
        return vt_throw(error, VT_ERROR_FAILED, "the fetch worker answered what was not asked");
    answer.message[sizeof(answer.message) - 1] = '\0';
    if (answer.code >= 0)
        return vt_throw(error, answer.code < VT_ERROR_LAST ? answer.code : VT_ERROR_FAILED, "%s",
                        answer.message);
    range = &unpacker->asked[answer.slot];
    unpacker->outstanding[answer.slot] = answer.length < range->frames.bytes;
    push_range(unpacker, range, answer.length);
    return true;
}

/* Whether all slots are back; @ret_failed: whether something failed */
static bool
all_idle(Unpacker *unpacker, bool *ret_failed)
{
    bool idle;

    g_mutex_lock(&unpacker->lock);
    idle = g_queue_get_length(&unpacker->free_slots) == VT_RING_SLOTS;
    *ret_failed = unpacker->failure != NULL;
    g_mutex_unlock(&unpacker->lock);
    return idle;
}

static void
report(Unpacker *unpacker, gint64 *last_time, bool always)
{
    gint64 now = g_get_monotonic_time();
    uint64_t blocks, bytes;

    if (!unpacker->job->progress || (!always && now - *last_time < PROGRESS_MS * 1000))
        return;
    *last_time = now;
    g_mutex_lock(&unpacker->lock);
    blocks = unpacker->blocks_done;
    bytes = unpacker->bytes_done;
    g_mutex_unlock(&unpacker->lock);
    unpacker->job->progress(unpacker->job->user, blocks * VT_INDEX_BLOCK_SIZE,
                            unpacker->index->literal_blocks * VT_INDEX_BLOCK_SIZE, bytes);
}

static gpointer copy_moves(gpointer data);

/* The ancestors are complete */
static void
begin(Unpacker *unpacker)
{
    unpacker->begun = true;
    unpacker->mover = g_thread_new("moves", copy_moves, unpacker);
    for (guint slot = 0; slot < VT_RING_SLOTS; slot++) {
        if (unpacker->asked[slot].have > 0)
            push_range(unpacker, &unpacker->asked[slot], unpacker->asked[slot].have);
    }
}

/* @events: of the job's ready_fd */
static bool
take_ready(Unpacker *unpacker, short events, GError **error)
{
    uint8_t byte;

    if (events == 0 || unpacker->begun)
        return true;
    /* Taken, for what is left unread in a socket is an error at its other end */
    if (TEMP_FAILURE_RETRY(read(unpacker->job->ready_fd, &byte, 1)) != 1)
        return vt_throw(error, VT_ERROR_FAILED, "the layer below was not completed");
    begin(unpacker);
    return true;
}

static bool
transfer(Unpacker *unpacker, GError **error)
{
    gint64 reported = 0;
    bool failed = false;

    for (;;) {
        struct pollfd fds[3] = {
            {.fd = unpacker->job->socket_fd, .events = POLLIN},
            {.fd = unpacker->wake_fd, .events = POLLIN},
            {.fd = unpacker->begun ? -1 : unpacker->job->ready_fd, .events = POLLIN}};
        uint64_t count;

        if (!send_requests(unpacker, error))
            return false;
        report(unpacker, &reported, false);
        if ((all_idle(unpacker, &failed) && unpacker->begun) || failed)
            break;
        if (poll(fds, G_N_ELEMENTS(fds), PROGRESS_MS) < 0 && errno != EINTR)
            return vt_throw_errno(error, errno, "cannot wait for the fetch worker");
        if (fds[1].revents && read(unpacker->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return vt_throw_errno(error, errno, "cannot read the wake-up counter");
        if ((fds[0].revents && !take_answer(unpacker, error)) ||
            !take_ready(unpacker, fds[2].revents, error))
            return false;
    }
    report(unpacker, &reported, true);
    return true;
}

/* Frames of an earlier attempt; a frame that is here has its copies written again, which costs
 * little */
static bool
find_present(Unpacker *unpacker, GError **error)
{
    const VtIndex *index = unpacker->index;
    const int fd = unpacker->job->output_fd, flags = fcntl(fd, F_GETFL);
    uint8_t *content = vt_aligned_new(frame_bytes(index));
    bool ok = true;

    /* One frame after the other: what was written a moment ago is in the page cache, and what was
     * not is read ahead */
    vt_layer_file_buffer(fd);
    for (uint64_t number = 0; ok && number < index->frame_count; number++) {
        g_autoptr(GError) unreadable = NULL;
        VtFrame frame;
        VtDigest digest;

        vt_index_frame(index, number, &frame);
        if (!vt_layer_file_read_frame(fd, unpacker->map, number, content, &unreadable))
            continue;
        vt_sha256_data(content, (size_t)frame.blocks * VT_INDEX_BLOCK_SIZE, &digest);
        if (!vt_digest_equal(&digest, &frame.content_digest))
            continue;
        ok = vt_layer_writer_keep(unpacker->writer, content, number, error);
        vt_unpack_plan_have(&unpacker->plan, number);
        unpacker->blocks_done += frame.blocks;
    }
    free(content);
    (void)fcntl(fd, F_SETFL, flags);
    return ok;
}

/* What the layer takes from its ancestors, beside the transfer */
static gpointer
copy_moves(gpointer data)
{
    Unpacker *unpacker = data;
    GError *error = NULL;

    if (!vt_layer_file_copy_moves(unpacker->job->output_fd, unpacker->map, unpacker->chain, &error))
        fail_with(unpacker, error);
    return NULL;
}

static bool
unpacker_start(Unpacker *unpacker, GError **error)
{
    unsigned threads = unpacker->job->threads;

    if (threads == 0)
        threads = g_get_num_processors() * THREADS_PER_CPU;
    unpacker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (unpacker->wake_fd < 0)
        return vt_throw_errno(error, errno, "cannot make an eventfd");
    for (guint slot = 0; slot < VT_RING_SLOTS; slot++)
        g_queue_push_tail(&unpacker->free_slots, GUINT_TO_POINTER(slot));
    unpacker->pool =
        g_thread_pool_new(run_range, unpacker, (int)MIN(threads, THREADS_MAX), false, NULL);
    return true;
}

static void
unpacker_clear(Unpacker *unpacker)
{
    if (unpacker->pool)
        g_thread_pool_free(unpacker->pool, false, true);
    vt_close_fd(&unpacker->wake_fd);
    g_queue_clear(&unpacker->free_slots);
    g_clear_error(&unpacker->failure);
    g_ptr_array_unref(unpacker->idle);
    vt_unpack_plan_clear(&unpacker->plan);
    vt_layer_writer_free(unpacker->writer);
    g_mutex_clear(&unpacker->lock);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Unpacker, unpacker_clear)

static bool
unpack(Unpacker *unpacker, GError **error)
{
    bool ok;

    if (!vt_layer_file_begin(unpacker->job->output_fd, unpacker->index, unpacker->map->layout,
                             error) ||
        !unpacker_start(unpacker, error) ||
        (unpacker->job->resume && !find_present(unpacker, error)))
        return false;
    if (unpacker->job->scratch)
        vt_layer_file_buffer(unpacker->job->output_fd);
    if (unpacker->job->ready_fd < 0)
        begin(unpacker);
    ok = transfer(unpacker, error);
    if (unpacker->mover)
        g_thread_join(g_steal_pointer(&unpacker->mover));
    g_thread_pool_free(g_steal_pointer(&unpacker->pool), false, true);
    if (unpacker->failure) {
        g_clear_error(error);
        g_propagate_error(error, g_steal_pointer(&unpacker->failure));
        return false;
    }
    return ok && vt_layer_writer_finish(unpacker->writer, error) &&
           (unpacker->job->scratch || vt_layer_file_finish(unpacker->job->output_fd, error));
}

bool
vt_unpack_run(const VtUnpackJob *job, GError **error)
{
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtLayerMap) map = NULL;
    g_auto(Unpacker) unpacker = {.job = job, .wake_fd = -1};

    g_mutex_init(&unpacker.lock);
    unpacker.idle = g_ptr_array_new_with_free_func(workspace_free);
    if (!vt_index_parse(job->index, &index, error) ||
        !vt_index_check_blobs(index, job->blob_sizes, job->blob_count, error) ||
        !vt_chain_new(index->is_delta ? &index->parent : NULL, job->ancestors, job->ancestor_count,
                      &chain, error) ||
        !vt_chain_check(chain, index, error) || !vt_layer_map_new(index, job->backing, &map, error))
        return false;
    unpacker.index = index;
    unpacker.chain = chain;
    unpacker.map = map;
    unpacker.writer = vt_layer_writer_new(job->output_fd, map);
    vt_unpack_plan_init(&unpacker.plan, index);
    return unpack(&unpacker, error);
}
