/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry-range.c: many ranges of blobs at once, straight into the caller's memory */
#include "vt-registry.h"

#include "vt-fs.h"
#include "vt-http-header.h"
#include "vt-spool.h"

#include <errno.h>
#include <string.h>

/*
 * Theory of operation. Each range is a job: one GET with `Range: bytes=A-B`. Up to
 * vt_store_connections() jobs run, the others wait. A job that is cut asks for the rest of its
 * range after a pause, longer each time unless it got something; if the registry said how long, all
 * wait.
 *
 * A server that does not know Range, or a proxy that is just filling its cache, answers 200 with
 * the whole blob. The first job to which this happens writes that answer into a spool; the other
 * jobs of the blob wait for it and are then read from that. It is in memory, as a worker may write
 * no file. Some spools are kept, since the next ranges are mostly of the same blobs.
 */

/* Each may be as large as a blob. Of more blobs at once, some are waited for */
#define SPOOLS_MAX 2
/* 401 in a row: the token had ended, and so had the one that another job brought meanwhile */
#define REFUSALS_MAX 2
/* What a sink is asked about at once */
#define SPOOL_PIECE (16u << 10)

/** Spool: @pouring: jobs that have begun to read it, and wait for room of their sinks */
typedef struct {
    char digest[VT_DIGEST_STRING_MAX];
    int fd;
    uint64_t have;
    bool complete;
    guint pouring;
} Spool;

/**
 * Job:
 * @have: bytes of the range that are in its buffer, or were given to its sink; @best: the most
 *   that it had when a request was sent: what comes again is no progress
 * @begun: the head of the present answer was checked
 * @spool: (nullable): what the job is filling; @poured: (nullable): or what it has begun to read
 * @wants_spool: the answer was the whole blob, which another job is filling, or for which there is
 *   no room now
 * @refusals: how often the registry said 401 since there was progress
 * @used: (nullable): the authorization it was sent with
 * @error: (nullable): what the sink found wrong
 */
typedef struct {
    VtRegistry *registry;
    VtRange *range;
    uint32_t have;
    uint32_t best;
    bool begun;
    Spool *spool;
    Spool *poured;
    bool wants_spool;
    unsigned refusals;
    char *used;
    VtAttempts attempts;
    gint64 not_before;
    GError *error;
} Job;

/**
 * VtRangeQueue:
 * @jobs: (element-type Job): all
 * @waiting: (element-type Job): those that do not run
 * @spools: (element-type Spool): the oldest first
 * @not_before: the registry wants no request before this time
 */
struct VtRangeQueue {
    GHashTable *jobs;
    GQueue waiting;
    unsigned running;
    GPtrArray *spools;
    gint64 not_before;
};

/* ---- spool files ---- */

static void
spool_free(void *user)
{
    Spool *spool = user;

    vt_close_fd(&spool->fd);
    g_free(spool);
}

static Spool *
find_spool(VtRangeQueue *queue, const char *digest)
{
    for (guint i = 0; i < queue->spools->len; i++) {
        Spool *spool = g_ptr_array_index(queue->spools, i);

        if (g_str_equal(spool->digest, digest))
            return spool;
    }
    return NULL;
}

static bool
is_needed(const Spool *spool)
{
    return !spool->complete || spool->pouring > 0;
}

/* Whether another blob may be spooled; those that nobody needs make room */
static bool
has_room(const VtRangeQueue *queue)
{
    guint needed = 0;

    for (guint i = 0; i < queue->spools->len; i++)
        needed += is_needed(g_ptr_array_index(queue->spools, i));
    return needed < SPOOLS_MAX;
}

static Spool *
spool_new(VtRangeQueue *queue, const char *digest, GError **error)
{
    vt_autofd fd = -1;
    Spool *spool;

    if (!vt_spool_in_memory(&fd, error))
        return NULL;
    for (guint i = 0; i < queue->spools->len && queue->spools->len >= SPOOLS_MAX;) {
        spool = g_ptr_array_index(queue->spools, i);
        if (is_needed(spool))
            i++;
        else
            g_ptr_array_remove_index(queue->spools, i);
    }
    spool = g_new0(Spool, 1);
    g_strlcpy(spool->digest, digest, sizeof(spool->digest));
    spool->fd = vt_steal_fd(&fd);
    g_ptr_array_add(queue->spools, spool);
    return spool;
}

static bool
fill_spool(Job *job, const void *data, gsize length)
{
    if (length > job->range->blob_size - job->spool->have)
        return vt_throw(&job->error, VT_ERROR_CORRUPT,
                        "blob %s of '%s' has more than the %" G_GUINT64_FORMAT
                        " bytes that its manifest says",
                        job->range->digest, job->range->repository, job->range->blob_size);
    if (!vt_fs_write_all(job->spool->fd, data, length, "spool file", &job->error))
        return false;
    job->spool->have += length;
    return true;
}

/* ---- jobs ---- */

static void
job_free(void *user)
{
    Job *job = user;

    g_clear_pointer(&job->range, vt_range_free);
    g_free(job->used);
    g_clear_error(&job->error);
    g_free(job);
}

/* Gives up what is not complete, for good or because ranges work after all */
static void
drop_spool(Job *job)
{
    if (job->spool && !job->spool->complete)
        g_ptr_array_remove(job->registry->ranges->spools, job->spool);
    job->spool = NULL;
}

/* @error: (nullable) (transfer full) */
static void
end_job(Job *job, GError *error)
{
    VtRegistry *registry = job->registry;

    drop_spool(job);
    if (job->poured)
        job->poured->pouring--;
    vt_store_range_ended(&registry->store, g_steal_pointer(&job->range), error);
    g_hash_table_remove(registry->ranges->jobs, job);
}

static bool
give(const VtRange *range, const void *data, uint32_t length, GError **error)
{
    return range->sink(range->user, data, length) ||
           vt_throw(error, VT_ERROR_FAILED, "nobody wants the rest of the range");
}

/* As much as the sink has room for */
static bool
pour_from_spool(Job *job, const Spool *spool, GError **error)
{
    const VtRange *range = job->range;
    uint8_t piece[SPOOL_PIECE];

    while (job->have < range->length) {
        const uint32_t length = MIN(range->length - job->have, (uint32_t)sizeof(piece));

        if (!range->room(range->user, length))
            return true;
        if (!vt_fs_pread_all(spool->fd, piece, length, (off_t)(range->offset + job->have),
                             "spool file", error))
            return false;
        job->have += length;
        if (!give(range, piece, length, error))
            return false;
    }
    return true;
}

/* Returns: whether the job has ended; if not, its sink has no room */
static bool
serve_from_spool(Job *job, Spool *spool)
{
    const VtRange *range = job->range;
    GError *error = NULL;

    if (range->sink)
        pour_from_spool(job, spool, &error);
    else if (vt_fs_pread_all(spool->fd, range->buffer, range->length, (off_t)range->offset,
                             "spool file", &error))
        job->have = range->length;
    if (!error && job->have < range->length) {
        spool->pouring += job->poured != spool;
        job->poured = spool;
        return false;
    }
    end_job(job, error);
    return true;
}

/* ---- an answer ---- */

/* Content-Range must be exactly what was asked, of a blob of exactly the expected size */
static bool
check_partial(Job *job, const VtHttpReply *reply)
{
    const VtRange *range = job->range;
    const char *text = vt_http_reply_header(reply, "content-range");
    uint64_t first = 0, last = 0, total = 0;

    if (text && vt_content_range_parse(text, &first, &last, &total) &&
        first == range->offset + job->have && last == range->offset + range->length - 1 &&
        total == range->blob_size)
        return true;
    return vt_throw(&job->error, VT_ERROR_NETWORK,
                    "GET %s: HTTP 206 with Content-Range '%.80s' for bytes %" G_GUINT64_FORMAT
                    "-%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT,
                    reply->url, text ? text : "", range->offset + job->have,
                    range->offset + range->length - 1, range->blob_size);
}

/* The whole blob comes. Returns: false if another job takes care of that */
static bool
begin_whole(Job *job)
{
    VtRangeQueue *queue = job->registry->ranges;

    /* A sink cannot take the beginning twice */
    if (job->range->length == job->range->blob_size && (!job->range->sink || job->have == 0)) {
        job->have = 0;
        return true;
    }
    if (!job->spool && (find_spool(queue, job->range->digest) || !has_room(queue))) {
        job->wants_spool = true;
        return false;
    }
    if (!job->spool)
        job->spool = spool_new(queue, job->range->digest, &job->error);
    return job->spool != NULL;
}

static bool
begin_answer(Job *job, const VtHttpReply *reply)
{
    job->begun = true;
    if (reply->status == 206) {
        drop_spool(job);
        return check_partial(job, reply);
    }
    if (reply->status == 200)
        return begin_whole(job);
    return vt_throw(&job->error, VT_ERROR_NETWORK, "GET %s: HTTP %ld in answer to a range",
                    reply->url, reply->status);
}

static bool
take_bytes(Job *job, const void *data, uint32_t length)
{
    const VtRange *range = job->range;

    if (!range->sink)
        memcpy(range->buffer + job->have, data, length);
    job->have += length;
    if (range->sink)
        return give(range, data, length, &job->error);
    if (range->progress)
        range->progress(range->user, job->have);
    return true;
}

/* Before an answer has begun nobody knows whether it goes to a spool; then it waits, too. For what
 * the range does not have no room is made, and on_data() finds out. */
static bool
has_room_for(void *user, gsize length)
{
    const Job *job = user;
    const uint32_t left = job->range->length - job->have;

    return job->spool || left == 0 ||
           job->range->room(job->range->user, (uint32_t)MIN(length, left));
}

static bool
on_data(void *user, const VtHttpReply *reply, const void *data, gsize length)
{
    Job *job = user;

    if (!job->begun && !begin_answer(job, reply))
        return false;
    if (job->spool)
        return fill_spool(job, data, length);
    if (length > job->range->length - job->have)
        return vt_throw(&job->error, VT_ERROR_NETWORK,
                        "GET %s: the registry sends more bytes than the range has", reply->url);
    return take_bytes(job, data, (uint32_t)length);
}

/* ---- what becomes of a job ---- */

static void
wait_again(Job *job, int pause_ms)
{
    job->not_before = g_get_monotonic_time() + (gint64)pause_ms * 1000;
    g_queue_push_head(&job->registry->ranges->waiting, job);
}

/* 401: tokens end. Another job may have brought a new one meanwhile. */
static void
renew_authorization(Job *job, const VtHttpReply *reply)
{
    const char *now = vt_registry_authorization(job->registry, job->range->repository);
    GError *error = NULL;

    if (++job->refusals > REFUSALS_MAX)
        vt_registry_throw(reply, &error);
    else if (!now || g_strcmp0(now, job->used) == 0)
        vt_registry_authenticate(job->registry, job->range->repository, reply, &error);
    if (error)
        end_job(job, error);
    else
        wait_again(job, 0);
}

static void
try_again(Job *job, const VtHttpReply *reply)
{
    VtRangeQueue *queue = job->registry->ranges;
    GError *error = NULL;
    int pause_ms = 0;

    if (job->spool) {
        job->spool->have = 0;
        if (ftruncate(job->spool->fd, 0) < 0 || lseek(job->spool->fd, 0, SEEK_SET) < 0)
            vt_throw_errno(&error, errno, "cannot empty a spool file");
    }
    if (job->have >= job->best + VT_REGISTRY_PROGRESS) {
        job->attempts = (VtAttempts){0};
        job->refusals = 0;
    }
    if (!error)
        vt_registry_pause(job->registry, reply, &job->attempts, &pause_ms, &error);
    if (error) {
        end_job(job, error);
        return;
    }
    wait_again(job, pause_ms);
    if (vt_http_reply_header(reply, "retry-after"))
        queue->not_before = MAX(queue->not_before, job->not_before);
}

static bool
is_whole(const Job *job)
{
    if (job->spool)
        return job->spool->have == job->range->blob_size;
    return job->have == job->range->length;
}

static void
finish_answer(Job *job, VtHttpReply *reply)
{
    GError *error = NULL;
    Spool *spool;

    if (job->error) {
        end_job(job, g_steal_pointer(&job->error));
    } else if (job->wants_spool) {
        wait_again(job, 0);
    } else if (job->begun && is_whole(job)) {
        if (!job->spool) {
            end_job(job, NULL);
            return;
        }
        spool = g_steal_pointer(&job->spool);
        spool->complete = true;
        if (!serve_from_spool(job, spool))
            wait_again(job, 0);
    } else if (reply->status == 416) {
        vt_throw(&error, VT_ERROR_CORRUPT,
                 "GET %s: HTTP 416: the blob is shorter than its manifest says", reply->url);
        end_job(job, error);
    } else {
        /* An answer that is complete for HTTP, but too short */
        if (vt_registry_is_success(reply)) {
            reply->outcome = VT_HTTP_CUT;
            reply->problem = g_strdup("the answer ends too early");
        }
        try_again(job, reply);
    }
}

static void
on_done(void *user, VtHttpReply *answer)
{
    Job *job = user;
    g_autoptr(VtHttpReply) reply = answer;

    job->registry->ranges->running--;
    if (reply->outcome == VT_HTTP_ANSWERED && reply->status == 401 && !job->error)
        renew_authorization(job, reply);
    else
        finish_answer(job, reply);
}

/* ---- the queue ---- */

static void
start_job(Job *job)
{
    const VtRange *range = job->range;
    g_autofree char *path = g_strconcat("/v2/", range->repository, "/blobs/", range->digest, NULL);
    g_autofree char *field =
        g_strdup_printf("Range: bytes=%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT,
                        range->offset + job->have, range->offset + range->length - 1);
    const char *const headers[] = {field, NULL};
    const char *authorization = vt_registry_authorization(job->registry, range->repository);
    const VtHttpRequest request = {.method = "GET",
                                   .url = path,
                                   .headers = headers,
                                   .authorization = authorization,
                                   .follow = true,
                                   .body_fd = -1,
                                   .sink = on_data,
                                   .room = range->sink ? has_room_for : NULL,
                                   .sink_user = job};

    job->begun = false;
    job->wants_spool = false;
    job->best = MAX(job->best, job->have);
    g_free(job->used);
    job->used = g_strdup(authorization);
    job->registry->ranges->running++;
    vt_http_start(job->registry->http, &request, on_done, job);
}

/* Whether @job has to wait for a spool file, or for room for it, or was served from it */
static bool
is_spooled(Job *job, bool *ret_served)
{
    VtRangeQueue *queue = job->registry->ranges;
    Spool *spool = find_spool(queue, job->range->digest);

    if (!spool && job->wants_spool) {
        if (!has_room(queue))
            return true;
        /* before the others that wait ask, too */
        spool = job->spool = spool_new(queue, job->range->digest, &job->error);
    }
    *ret_served = spool && spool != job->spool && spool->complete && serve_from_spool(job, spool);
    return spool && (*ret_served || spool != job->spool);
}

/* Starts what may start. Returns: milliseconds until the next one may, at most @timeout_ms */
static int
start_due(VtRegistry *registry, int timeout_ms)
{
    VtRangeQueue *queue = registry->ranges;
    gint64 now = g_get_monotonic_time();

    for (GList *at = queue->waiting.head, *next; at; at = next) {
        Job *job = at->data;
        bool served = false;

        next = at->next;
        const gint64 due = MAX(job->not_before, queue->not_before);

        if (due > now) {
            timeout_ms = (int)MIN(timeout_ms, (due - now) / 1000 + 1);
            continue;
        }
        if (is_spooled(job, &served) && !served)
            continue;
        if (!served && queue->running >= registry->store.connections)
            continue;
        g_queue_delete_link(&queue->waiting, at);
        if (!served)
            start_job(job);
    }
    return timeout_ms;
}

void
vt_registry_read_range(VtStore *store, VtRange *range)
{
    VtRegistry *registry = (VtRegistry *)store;
    Job *job = g_new0(Job, 1);

    job->registry = registry;
    job->range = range;
    g_hash_table_add(registry->ranges->jobs, job);
    g_queue_push_tail(&registry->ranges->waiting, job);
    start_due(registry, 0);
}

void
vt_registry_dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    VtRegistry *registry = (VtRegistry *)store;
    int wait_ms = start_due(registry, timeout_ms);

    if (g_queue_is_empty(&store->ended))
        vt_http_dispatch(registry->http, extra_fd, wait_ms);
    start_due(registry, 0);
    store->requests = vt_http_requests(registry->http);
}

void
vt_registry_limit(VtStore *store, unsigned connections, uint64_t rate)
{
    store->connections = CLAMP(connections, 1, VT_HTTP_CONNECTIONS_MAX);
    vt_http_limit(((VtRegistry *)store)->http, rate);
}

VtRangeQueue *
vt_range_queue_new(void)
{
    VtRangeQueue *queue = g_new0(VtRangeQueue, 1);

    queue->jobs = g_hash_table_new_full(NULL, NULL, job_free, NULL);
    queue->spools = g_ptr_array_new_with_free_func(spool_free);
    return queue;
}

void
vt_range_queue_free(VtRangeQueue *queue)
{
    g_queue_clear(&queue->waiting);
    g_hash_table_unref(queue->jobs);
    g_ptr_array_unref(queue->spools);
    g_free(queue);
}
