/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seed.c: the seed worker, as a call sees it */
#include "vtd-seed.h"

#include "vt-fs.h"
#include "vtd-spawn.h"
#include "vtd-worker-protocol.h"

#include <glib-unix.h>
#include <poll.h>
#include <sys/random.h>

/* Below the 5 s within which every method answers */
#define SEED_TIMEOUT_MS 4000
/* A seed is at most 16 MiB of files, and the structure around them */
#define IMAGE_MAX (UINT64_C(32) << 20)

/* A new worker is loaded while nobody waits for the processors: when the answer is on its way */
#define REFILL_DELAY_MS 5

struct VtdSeeder {
    char *program;
    VtdMonitor *monitor;
    VtdSeedSetup setup;
    VtdProcess waiting; /* no pid: there is none */
    GArray *ended;      /* (element-type VtdProcess): to be let go */
    guint refill;
};

/* ---- workers ---- */

static bool
start_worker(const VtdSeeder *seeder, VtdProcess *ret, GError **error)
{
    VtdProcess worker = {.socket_fd = -1};

    if (!vtd_process_start_counted(seeder->program, seeder->monitor, &worker, error))
        return false;
    if (!vtd_channel_send(worker.socket_fd, &seeder->setup, sizeof(seeder->setup), NULL, error)) {
        vtd_process_let_go(&worker);
        return false;
    }
    *ret = worker;
    return true;
}

/* The worker that waits, if there is one that has not ended meanwhile */
static bool
take_worker(VtdSeeder *seeder, VtdProcess *ret, GError **error)
{
    VtdProcess worker = seeder->waiting;
    struct pollfd fd = {.fd = worker.socket_fd, .events = POLLIN};

    seeder->waiting = (VtdProcess){.socket_fd = -1};
    /* It says nothing by itself: what can be read is its end */
    if (worker.pid != 0 && poll(&fd, 1, 0) == 0) {
        *ret = worker;
        return true;
    }
    vtd_process_let_go(&worker);
    return start_worker(seeder, ret, error);
}

static gboolean
refill(gpointer data)
{
    VtdSeeder *seeder = data;
    g_autoptr(GError) error = NULL;

    seeder->refill = 0;
    g_array_set_size(seeder->ended, 0);
    if (seeder->waiting.pid == 0 && !start_worker(seeder, &seeder->waiting, &error))
        g_debug("%s", error->message);
    return G_SOURCE_REMOVE;
}

/* To wait until a process is gone, with its network namespace, takes longer than a seed */
static void
end_later(VtdSeeder *seeder, VtdProcess *process)
{
    if (process->pid != 0)
        g_array_append_val(seeder->ended, *process);
    *process = (VtdProcess){.socket_fd = -1};
    if (seeder->refill == 0)
        seeder->refill = g_timeout_add(REFILL_DELAY_MS, refill, seeder);
}

static void
clear_process(gpointer data)
{
    vtd_process_let_go(data);
}

VtdSeeder *
vtd_seeder_new(const VtdWorkerConfig *config)
{
    VtdSeeder *seeder = g_new0(VtdSeeder, 1);

    seeder->program = g_build_filename(config->program_dir, "seed-worker", NULL);
    seeder->monitor = config->monitor;
    seeder->setup = (VtdSeedSetup){.uid = config->unpack_uid, .gid = config->unpack_gid};
    seeder->waiting.socket_fd = -1;
    seeder->ended = g_array_new(false, false, sizeof(VtdProcess));
    g_array_set_clear_func(seeder->ended, clear_process);
    return seeder;
}

void
vtd_seeder_free(VtdSeeder *seeder)
{
    g_clear_handle_id(&seeder->refill, g_source_remove);
    vtd_process_let_go(&seeder->waiting);
    g_array_unref(seeder->ended);
    g_free(seeder->program);
    g_free(seeder);
}

/* ---- a seed ---- */

static void
stop_listening(VtdSeed *seed)
{
    if (seed->source)
        g_source_destroy(seed->source);
    g_clear_pointer(&seed->source, g_source_unref);
}

void
vtd_seed_clear(VtdSeed *seed)
{
    stop_listening(seed);
    if (seed->seeder)
        end_later(seed->seeder, &seed->worker);
    g_clear_pointer(&seed->path, g_free);
    g_clear_pointer(&seed->owner, g_free);
    g_clear_pointer(&seed->reference, g_free);
    g_clear_pointer(&seed->image, g_bytes_unref);
    vt_close_fd(&seed->image_fd);
}

static bool
send_request(const VtdProcess *process, GBytes *xml, const VtdFds *fds, GError **error)
{
    VtdSeedRequest request = {.xml_size = g_bytes_get_size(xml)};

    if (getrandom(request.random, sizeof(request.random), 0) != (ssize_t)sizeof(request.random))
        return vt_throw(error, VT_ERROR_FAILED, "there is no randomness for the seed");
    return vtd_channel_send(process->socket_fd, &request, sizeof(request), fds, error);
}

static bool
take_reply(const VtdProcess *process, VtdSeedReply *ret, GError **error)
{
    if (!vtd_channel_receive(process->socket_fd, ret, sizeof(*ret), NULL, error)) {
        g_prefix_error(error, "seed worker: ");
        return false;
    }
    ret->path[sizeof(ret->path) - 1] = ret->owner[sizeof(ret->owner) - 1] =
        ret->reference[sizeof(ret->reference) - 1] = '\0';
    if (!vtd_channel_check(ret->code, ret->message, sizeof(ret->message), error))
        return false;
    return ret->size <= IMAGE_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE, "the seed worker exceeded its limit");
}

static bool
read_image(int fd, uint64_t size, GBytes **ret_image, GError **error)
{
    g_autofree char *data = g_malloc(size + 1);

    if (!vt_fs_pread_all(fd, data, size, 0, "the seed", error))
        return false;
    *ret_image = g_bytes_new_take(g_steal_pointer(&data), size);
    return true;
}

/* It may read secrets of the domain that it has named: they must not go to another one's seed */
static bool
check_same(const VtdSeed *seed, const VtdSeedReply *reply, GError **error)
{
    if (!seed->answered)
        return true;
    if (g_strcmp0(seed->path, reply->path) != 0 || !g_str_equal(seed->owner, reply->owner))
        return vt_throw(error, VT_ERROR_FAILED, "the seed worker speaks of a second domain");
    return !reply->asks || vt_throw(error, VT_ERROR_FAILED, "the seed worker asks a second time");
}

/* What the worker says next */
static bool
take_news(VtdSeed *seed, GError **error)
{
    VtdSeedReply reply;

    if (!take_reply(&seed->worker, &reply, error) || !check_same(seed, &reply, error))
        return false;
    g_clear_pointer(&seed->reference, g_free);
    seed->asks = reply.asks != 0;
    if (seed->asks)
        seed->reference = *reply.reference ? g_strdup(reply.reference) : NULL;
    else if (*reply.path && seed->image_fd >= 0 &&
             !read_image(seed->image_fd, reply.size, &seed->image, error))
        return false;
    g_free(seed->path);
    g_free(seed->owner);
    seed->path = *reply.path ? g_strdup(reply.path) : NULL;
    seed->owner = g_strdup(reply.owner);
    return true;
}

static gboolean
on_news(int fd, GIOCondition condition, gpointer data)
{
    VtdSeed *seed = data;
    GError *error = NULL;

    stop_listening(seed);
    if (condition == 0)
        vt_throw(&error, VT_ERROR_FAILED, "the seed worker does not answer within %d s",
                 SEED_TIMEOUT_MS / 1000);
    else
        take_news(seed, &error);
    seed->said(seed->user, error);
    return G_SOURCE_REMOVE;
}

/* A source that is called for its time alone is told of no condition */
static void
listen_to(VtdSeed *seed)
{
    seed->source = g_unix_fd_source_new(seed->worker.socket_fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_set_ready_time(seed->source, g_get_monotonic_time() + (gint64)SEED_TIMEOUT_MS * 1000);
    g_source_set_callback(seed->source, G_SOURCE_FUNC(on_news), seed, NULL);
    g_source_attach(seed->source, NULL);
}

bool
vtd_seeder_begin(VtdSeeder *seeder, GBytes *xml, bool with_image, VtdSeed *seed, GError **error)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;

    seed->seeder = seeder;
    seed->worker.socket_fd = seed->image_fd = -1;
    if (!take_worker(seeder, &seed->worker, error) ||
        !vtd_memfd("domain", xml, &fds.fd[0], error) ||
        (with_image && !vtd_memfd("seed", NULL, &fds.fd[1], error)))
        return false;
    fds.count = with_image ? 2 : 1;
    if (!send_request(&seed->worker, xml, &fds, error))
        return false;
    seed->image_fd = with_image ? vtd_fds_take(&fds, 1) : -1;
    listen_to(seed);
    return true;
}

bool
vtd_seeder_answer(GBytes *const *documents, VtdSeed *seed, GError **error)
{
    VtdSeedDocuments message = {0};
    g_auto(VtdFds) fds = VTD_FDS_NONE;

    for (gsize i = 0; i < VTD_SEED_DOCUMENTS; i++) {
        message.sizes[i] = documents[i] ? g_bytes_get_size(documents[i]) : 0;
        if (message.sizes[i] > 0 &&
            !vtd_memfd("document", documents[i], &fds.fd[fds.count++], error))
            return false;
    }
    if (!vtd_channel_send(seed->worker.socket_fd, &message, sizeof(message), &fds, error))
        return false;
    seed->answered = true;
    listen_to(seed);
    return true;
}
