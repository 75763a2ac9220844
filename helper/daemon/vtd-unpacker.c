/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-unpacker.c: the unpack workers of a chain, seen from the daemon */
#include "vtd-ancestors.h"
#include "vtd-fetcher.h"

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-ring.h"
#include "vtd-worker-protocol.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Theory of operation
 *
 * Each layer has a worker and a ring of its own, and some of them run at once. Only the lowest one
 * of these unpacks: what the others take from the layers below them is not there before those are
 * complete. They fill their rings meanwhile, with what connections the fetch worker has left, so
 * that the network is busy while a layer is being written, and the next layer begins at once.
 */

/* Each may keep a ring of memory, 33 MiB, filled */
#define LAYERS_AT_ONCE 4
/* Unpack reports ten times a second, also while it waits */
#define SILENCE_TIMEOUT_MS (300 * 1000)

/** Unpacker: a worker, from its start to its last report */
typedef struct {
    VtdProcess process;
    bool ended;
} Unpacker;

/**
 * Chain:
 * @unpackers: of @requests
 * @done: how many are complete, @started: and how many have a worker
 */
typedef struct {
    VtdFetcher *fetcher;
    const VtdUnpackRequest *requests;
    guint count;
    Unpacker *unpackers;
    guint done;
    guint started;
} Chain;

static void
chain_clear(Chain *chain)
{
    for (guint i = chain->done; i < chain->started; i++)
        vtd_process_end(&chain->unpackers[i].process);
    vtd_fetcher_leave(chain->fetcher);
    g_free(chain->unpackers);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Chain, chain_clear)

/* ---- the start of a worker ---- */

static GBytes *
blob_table(GPtrArray *blobs)
{
    VtRingBlob *entries = g_new0(VtRingBlob, MAX(blobs->len, 1));

    for (guint i = 0; i < blobs->len; i++) {
        const VtDescriptor *blob = blobs->pdata[i];

        entries[i].size = blob->size;
        vt_digest_format(&blob->digest, entries[i].digest);
    }
    return g_bytes_new_take(entries, blobs->len * sizeof(*entries));
}

static bool
make_ring(int *ret_fd, GError **error)
{
    vt_autofd fd = -1;

    if (!vtd_memfd("ring", NULL, &fd, error))
        return false;
    if (ftruncate(fd, (off_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE) < 0)
        return vt_throw_errno(error, errno, "cannot make the ring");
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

static bool
fill_setup(const Chain *chain, guint number, VtdUnpackSetup *setup, GError **error)
{
    const VtdUnpackRequest *request = &chain->requests[number];
    const VtdWorkerConfig *config = vtd_fetcher_config(chain->fetcher);

    *setup = (VtdUnpackSetup){.uid = config->unpack_uid,
                              .gid = config->unpack_gid,
                              .count = request->blobs->len,
                              .resume = request->resume,
                              .ancestors = request->ancestor_count,
                              .wait = number > chain->done,
                              .streams = vtd_fetcher_streams(chain->fetcher),
                              .index_size = g_bytes_get_size(request->index)};
    if (request->backing && strlen(request->backing) >= sizeof(setup->backing))
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "the path '%s' is too long for a backing file of QCOW2", request->backing);
    g_strlcpy(setup->backing, request->backing ? request->backing : "", sizeof(setup->backing));
    return true;
}

/* The two ends of the ring go to the two workers; the daemon keeps nothing of it */
static bool
connect_workers(const Chain *chain, guint number, int socket_fd, GError **error)
{
    const VtdUnpackRequest *request = &chain->requests[number];
    g_autoptr(GBytes) table = blob_table(request->blobs);
    vt_autofd index = -1, ring = -1, blobs = -1, ours = -1, theirs = -1;
    VtdUnpackSetup setup;
    int pair[2];

    if (!fill_setup(chain, number, &setup, error) ||
        !vtd_memfd("index", request->index, &index, error) ||
        !vtd_memfd("blobs", table, &blobs, error) || !make_ring(&ring, error) ||
        !vtd_channel_pair(pair, error))
        return false;
    ours = pair[0];
    theirs = pair[1];
    return vtd_fetcher_add_ring(chain->fetcher, request->repository, request->blobs->len,
                                &(const VtdFds){{ring, ours, blobs}, 3}, error) &&
           vtd_channel_send(socket_fd, &setup, sizeof(setup),
                            &(const VtdFds){{index, request->output_fd, ring, theirs, blobs}, 5},
                            error) &&
           vtd_ancestors_send(socket_fd, request->ancestors, request->ancestor_count, error);
}

static bool
start_some(Chain *chain, GError **error)
{
    while (chain->started < MIN(chain->done + LAYERS_AT_ONCE, chain->count)) {
        VtdProcess *process = &chain->unpackers[chain->started].process;

        if (!vtd_fetcher_take_unpack(chain->fetcher, process, error))
            return false;
        chain->started++;
        if (!connect_workers(chain, chain->started - 1, process->socket_fd, error))
            return false;
    }
    return true;
}

/* ---- what they say ---- */

static bool
take_report(Unpacker *unpacker, const VtdUnpackRequest *request, GError **error)
{
    VtdUnpackReport report;

    if (!vtd_channel_receive(unpacker->process.socket_fd, &report, sizeof(report), NULL, error)) {
        g_prefix_error(error, "unpack worker: ");
        return false;
    }
    if (request->progress)
        request->progress(request->user, report.done, report.total, report.received);
    unpacker->ended = report.ended;
    return !report.ended ||
           vtd_channel_check(report.code, report.message, sizeof(report.message), error);
}

/* The lowest first: when one fails, those above it may fail because of that */
static bool
take_reports(Chain *chain, guint *ret_failed, GError **error)
{
    struct pollfd fds[LAYERS_AT_ONCE];
    guint count = chain->started - chain->done;

    for (guint i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = chain->unpackers[chain->done + i].process.socket_fd,
                                 .events = POLLIN};
    *ret_failed = chain->done;
    if (!vtd_wait(fds, count, SILENCE_TIMEOUT_MS, vtd_fetcher_cancellable(chain->fetcher), error)) {
        g_prefix_error(error, "unpack worker: ");
        return false;
    }
    for (guint i = 0; i < count; i++) {
        *ret_failed = chain->done + i;
        if (fds[i].revents && !take_report(&chain->unpackers[chain->done + i],
                                           &chain->requests[chain->done + i], error))
            return false;
    }
    return true;
}

/* The lowest layer is complete: it is the turn of the one above it */
static bool
go_on(Chain *chain, GError **error)
{
    const uint8_t ready = VTD_UNPACK_READY;

    vtd_process_end(&chain->unpackers[chain->done].process);
    chain->done++;
    if (chain->done == chain->started)
        return true;
    return vtd_channel_send(chain->unpackers[chain->done].process.socket_fd, &ready, sizeof(ready),
                            NULL, error);
}

bool
vtd_fetcher_unpack_chain(VtdFetcher *fetcher, const VtdUnpackRequest *requests, guint count,
                         guint *ret_failed, GError **error)
{
    g_auto(Chain) chain = {.fetcher = fetcher, .requests = requests, .count = count};

    chain.unpackers = g_new0(Unpacker, count);
    for (guint i = 0; i < count; i++)
        chain.unpackers[i].process.socket_fd = -1;
    *ret_failed = 0;
    if (count > 0 && !vtd_fetcher_join(fetcher, error))
        return false;
    while (chain.done < count) {
        *ret_failed = chain.done;
        if (!start_some(&chain, error) || !take_reports(&chain, ret_failed, error) ||
            (chain.unpackers[chain.done].ended && !go_on(&chain, error)))
            return false;
    }
    return true;
}

bool
vtd_fetcher_unpack(VtdFetcher *fetcher, const VtdUnpackRequest *request, GError **error)
{
    guint failed;

    return vtd_fetcher_unpack_chain(fetcher, request, 1, &failed, error);
}
