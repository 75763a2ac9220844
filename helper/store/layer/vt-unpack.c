/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack.c: an authenticated index and its frames become a QCOW2 file */
#include "vt-unpack.h"

#include "vt-fs.h"
#include "vt-layer-file.h"
#include "vt-layer-writer.h"
#include "vt-sha256.h"
#include "vt-unpack-plan.h"
#include "vt-unpack-pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The calling thread owns the ring: it asks for ranges of adjacent frames while slots are free, and
 * hands what comes to a pool of threads, which give the slots back through an eventfd. Frames are
 * written as soon as they are complete, so hardly more than a frame of each slot is lost when all
 * of this is killed.
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
#define PROGRESS_MS      100

typedef struct {
    const VtUnpackJob *job;
    const VtIndex *index;
    const VtLayerMap *map;
    const VtLayerGather *gather;
    const VtChain *chain;
    VtLayerWriter *writer;
    VtUnpackPool *pool;
    int wake_fd;
    uint64_t present;              /* blocks of an earlier attempt */
    uint64_t asked[VT_RING_SLOTS]; /* bytes */
    bool outstanding[VT_RING_SLOTS];
    bool begun; /* the ancestors are complete */
    GThread *mover;
    VtUnpackPlan plan;
} Unpacker;

static uint64_t
range_target(const Unpacker *unpacker)
{
    if (!unpacker->job->streams || !unpacker->begun ||
        VT_INDEX_FRAME_OVERHEAD(vt_index_frame_bytes(unpacker->index)) +
                vt_index_frame_bytes(unpacker->index) >
            STREAM_FRAME_MAX)
        return RANGE_TARGET;
    return CLAMP(vt_unpack_plan_share(&unpacker->plan, VT_RING_SLOTS), RANGE_TARGET,
                 VT_RING_RANGE_MAX);
}

static bool
send_requests(Unpacker *unpacker, GError **error)
{
    const VtRingRequest *request;
    VtFrameRange frames;
    uint32_t slot;

    while (vt_unpack_pool_take(unpacker->pool, &slot)) {
        if (!vt_unpack_plan_next(&unpacker->plan, range_target(unpacker), &frames)) {
            vt_unpack_pool_give(unpacker->pool, slot);
            return true;
        }
        request = vt_unpack_pool_ask(unpacker->pool, slot, &frames);
        unpacker->outstanding[slot] = true;
        unpacker->asked[slot] = frames.bytes;
        /* When it is gone, what it said last may still be in the socket: take_answer() finds out */
        if (send(unpacker->job->socket_fd, request, sizeof(*request), MSG_NOSIGNAL) < 0 &&
            errno != EPIPE && errno != ECONNRESET)
            return vt_throw_errno(error, errno, "cannot ask the fetch worker");
    }
    return true;
}

/* Returns: whether @answer is one to what was asked; the pool has what came then */
static bool
accept_answer(Unpacker *unpacker, const VtRingAnswer *answer)
{
    if (answer->slot >= VT_RING_SLOTS || !unpacker->outstanding[answer->slot])
        return false;
    if (answer->code >= 0)
        return true;
    unpacker->outstanding[answer->slot] = answer->length < unpacker->asked[answer->slot];
    return vt_unpack_pool_have(unpacker->pool, answer->slot, answer->length);
}

static bool
take_answer(Unpacker *unpacker, GError **error)
{
    VtRingAnswer answer;
    ssize_t n = recv(unpacker->job->socket_fd, &answer, sizeof(answer), MSG_DONTWAIT);

    /* A worker that ended with requests unread leaves this error in front of its last answers */
    if (n < 0 && errno == ECONNRESET)
        n = recv(unpacker->job->socket_fd, &answer, sizeof(answer), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return vt_throw(error, VT_ERROR_NETWORK, "the fetch worker ended");
    answer.message[sizeof(answer.message) - 1] = '\0';
    if (n != (ssize_t)sizeof(answer) || !accept_answer(unpacker, &answer))
        return vt_throw(error, VT_ERROR_FAILED, "the fetch worker answered what was not asked");
    if (answer.code >= 0)
        return vt_throw(error, answer.code < VT_ERROR_LAST ? answer.code : VT_ERROR_FAILED, "%s",
                        answer.message);
    return true;
}

static void
report(const Unpacker *unpacker, const VtUnpackState *state, gint64 *last_time, bool always)
{
    gint64 now = g_get_monotonic_time();

    if (!unpacker->job->progress || (!always && now - *last_time < PROGRESS_MS * 1000))
        return;
    *last_time = now;
    unpacker->job->progress(unpacker->job->user,
                            (unpacker->present + state->blocks) * VT_INDEX_BLOCK_SIZE,
                            unpacker->index->literal_blocks * VT_INDEX_BLOCK_SIZE, state->bytes);
}

static gpointer copy_moves(gpointer data);

/* The ancestors are complete */
static void
begin(Unpacker *unpacker)
{
    unpacker->begun = true;
    unpacker->mover = g_thread_new("moves", copy_moves, unpacker);
    vt_unpack_pool_begin(unpacker->pool);
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

/* Slots may have become free since the last ones were asked for */
static bool
is_complete(const Unpacker *unpacker, const VtUnpackState *state)
{
    return state->idle && unpacker->begun && unpacker->plan.left == 0;
}

static bool
transfer(Unpacker *unpacker, GError **error)
{
    gint64 reported = 0;
    VtUnpackState state;

    for (;;) {
        struct pollfd fds[3] = {
            {.fd = unpacker->job->socket_fd, .events = POLLIN},
            {.fd = unpacker->wake_fd, .events = POLLIN},
            {.fd = unpacker->begun ? -1 : unpacker->job->ready_fd, .events = POLLIN}};
        uint64_t count;

        if (!send_requests(unpacker, error))
            return false;
        state = vt_unpack_pool_state(unpacker->pool);
        report(unpacker, &state, &reported, false);
        if (is_complete(unpacker, &state) || state.failed)
            break;
        if (poll(fds, G_N_ELEMENTS(fds), PROGRESS_MS) < 0 && errno != EINTR)
            return vt_throw_errno(error, errno, "cannot wait for the fetch worker");
        if (fds[1].revents && read(unpacker->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
            return vt_throw_errno(error, errno, "cannot read the wake-up counter");
        if ((fds[0].revents && !take_answer(unpacker, error)) ||
            !take_ready(unpacker, fds[2].revents, error))
            return false;
    }
    report(unpacker, &state, &reported, true);
    return true;
}

/* Frames of an earlier attempt; a frame that is here has its copies written again, which costs
 * little */
static bool
find_present(Unpacker *unpacker, GError **error)
{
    const VtIndex *index = unpacker->index;
    const int fd = unpacker->job->output_fd, flags = fcntl(fd, F_GETFL);
    uint8_t *content = vt_aligned_new(vt_index_frame_bytes(index));
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
        unpacker->present += frame.blocks;
    }
    free(content);
    (void)fcntl(fd, F_SETFL, flags);
    return ok;
}

/* What the layer takes from its ancestors, and no frame takes along, while frames come */
static gpointer
copy_moves(gpointer data)
{
    Unpacker *unpacker = data;
    GError *error = NULL;

    if (!vt_layer_file_copy_moves(unpacker->job->output_fd, unpacker->gather->alone,
                                  unpacker->chain, &error))
        vt_unpack_pool_fail(unpacker->pool, error);
    return NULL;
}

static bool
unpacker_start(Unpacker *unpacker, GError **error)
{
    VtUnpackPoolSetup setup = {.index = unpacker->index,
                               .chain = unpacker->chain,
                               .writer = unpacker->writer,
                               .ring_fd = unpacker->job->ring_fd,
                               .socket_fd = unpacker->job->socket_fd,
                               .threads = unpacker->job->threads};

    unpacker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (unpacker->wake_fd < 0)
        return vt_throw_errno(error, errno, "cannot make an eventfd");
    setup.wake_fd = unpacker->wake_fd;
    unpacker->pool = vt_unpack_pool_new(&setup);
    return true;
}

static void
unpacker_clear(Unpacker *unpacker)
{
    vt_unpack_pool_free(unpacker->pool);
    vt_close_fd(&unpacker->wake_fd);
    vt_unpack_plan_clear(&unpacker->plan);
    vt_layer_writer_free(unpacker->writer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Unpacker, unpacker_clear)

static bool
unpack(Unpacker *unpacker, GError **error)
{
    g_autoptr(GError) failure = NULL;
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
    /* What failed in there is why the transfer did */
    if (!vt_unpack_pool_finish(unpacker->pool, &failure)) {
        g_clear_error(error);
        g_propagate_error(error, g_steal_pointer(&failure));
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
    g_autoptr(VtLayerGather) gather = NULL;
    g_auto(Unpacker) unpacker = {.job = job, .wake_fd = -1};

    if (!vt_index_parse(job->index, &index, error) ||
        !vt_index_check_blobs(index, job->blob_sizes, job->blob_count, error) ||
        !vt_chain_new(index->is_delta ? &index->parent : NULL, job->ancestors, job->ancestor_count,
                      &chain, error) ||
        !vt_chain_check(chain, index, error) || !vt_layer_map_new(index, job->backing, &map, error))
        return false;
    /* Frames that are here may come before the ancestors are complete, and are not written */
    gather = vt_layer_gather_new(map, index, !job->resume);
    unpacker.index = index;
    unpacker.chain = chain;
    unpacker.map = map;
    unpacker.gather = gather;
    unpacker.writer = vt_layer_writer_new(job->output_fd, map, gather, chain);
    vt_unpack_plan_init(&unpacker.plan, index);
    return unpack(&unpacker, error);
}
