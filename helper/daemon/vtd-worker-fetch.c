/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-fetch.c: the process that talks to the store: it moves bytes and decides nothing */
#include "vt-fs.h"
#include "vt-ring.h"
#include "vt-store.h"
#include "vtd-channel.h"
#include "vtd-sandbox.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* 8 connections, and what curl and the resolver need */
#define FILES_MAX 128
/* An index of 1 GiB is the largest document; a blob that is spooled has 256 MiB */
#define FILE_SIZE_MAX (UINT64_C(1) << 30)
#define DISPATCH_MS   1000

typedef struct {
    VtStore *store;
    uint64_t limit;
} Fetch;

static void
reply_with(Fetch *fetch, uint64_t length, const GError *failure)
{
    VtdFetchReply reply = {.code = -1, .length = length};
    g_autoptr(GError) gone = NULL;

    if (fetch->store)
        reply.requests = vt_store_requests(fetch->store);
    if (failure) {
        reply.code = failure->domain == VT_ERROR ? failure->code : VT_ERROR_FAILED;
        g_strlcpy(reply.message, failure->message, sizeof(reply.message));
    }
    /* a daemon that is gone shows at the next receive */
    if (!vtd_channel_send(VTD_WORKER_FD, &reply, sizeof(reply), NULL, &gone))
        g_debug("%s", gone->message);
}

static bool
set_up(Fetch *fetch, const VtdFetchRequest *request, VtdFds *fds, GError **error)
{
    const VtdSandbox sandbox = {.uid = request->uid,
                                .gid = request->gid,
                                .file_size_max = FILE_SIZE_MAX,
                                .files_max = FILES_MAX};
    g_autoptr(VtStoreUrl) url = NULL;
    g_autofree char *auth = NULL, *ca = NULL;
    VtStoreOptions options = {.insecure = request->flags & VTD_FETCH_INSECURE, .layout_fd = -1};
    int next = 0;

    if (!vtd_sandbox_enter(&sandbox, error) || !vt_store_url_parse(request->text, &url, error))
        return false;
    if (request->flags & VTD_FETCH_HAS_LAYOUT)
        options.layout_fd = fds->fd[next++];
    if (request->flags & VTD_FETCH_HAS_AUTH)
        options.auth_file = auth = g_strdup_printf("/proc/self/fd/%d", vtd_fds_take(fds, next++));
    if (request->flags & VTD_FETCH_HAS_CA)
        options.ca_file = ca = g_strdup_printf("/proc/self/fd/%d", vtd_fds_take(fds, next++));
    return vt_store_open(url, &options, &fetch->store, error);
}

static bool
write_document(Fetch *fetch, const VtdFetchRequest *request, int fd, GError **error)
{
    VtSource *source = vt_store_source(fetch->store);
    g_autoptr(GBytes) bytes = NULL;
    bool ok;

    if (request->op == VTD_FETCH_MANIFEST)
        ok = source->get_manifest(source, request->text, request->reference, &bytes, error);
    else if (request->op == VTD_FETCH_BLOB)
        ok = source->get_blob(source, request->text, request->reference, request->limit, &bytes,
                              error);
    else
        ok = source->get_referrers(source, request->text, request->reference, &bytes, error);
    if (!ok)
        return false;
    fetch->limit = g_bytes_get_size(bytes);
    return vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "document",
                           error);
}

/* ---- the ring ---- */

typedef struct Ring Ring;

typedef struct {
    Ring *ring;
    uint32_t number;
    bool busy;
} Slot;

struct Ring {
    Fetch *fetch;
    const char *repository;
    VtdBlobEntry *blobs;
    uint32_t count;
    uint8_t *memory;
    int socket_fd;
    guint busy;
    bool closed;
    Slot slots[VT_RING_SLOTS];
};

static void
answer(void *user, const GError *failure)
{
    Slot *slot = user;
    VtRingAnswer message = {.slot = slot->number, .code = -1};

    slot->busy = false;
    slot->ring->busy--;
    if (failure) {
        message.code = failure->domain == VT_ERROR ? failure->code : VT_ERROR_FAILED;
        g_strlcpy(message.message, failure->message, sizeof(message.message));
    }
    if (send(slot->ring->socket_fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        slot->ring->closed = true;
}

static bool
request_is_sane(const Ring *ring, const VtRingRequest *request)
{
    return request->slot < VT_RING_SLOTS && !ring->slots[request->slot].busy &&
           request->blob < ring->count && request->length > 0 &&
           request->length <= VT_RING_SLOT_SIZE &&
           request->offset <= ring->blobs[request->blob].size &&
           request->length <= ring->blobs[request->blob].size - request->offset;
}

static void
start_range(Ring *ring, const VtRingRequest *request)
{
    Slot *slot = &ring->slots[request->slot];
    const VtStoreRange range = {.repository = ring->repository,
                                .digest = ring->blobs[request->blob].digest,
                                .blob_size = ring->blobs[request->blob].size,
                                .offset = request->offset,
                                .length = request->length,
                                .buffer = ring->memory + (size_t)request->slot * VT_RING_SLOT_SIZE,
                                .done = answer,
                                .user = slot};

    slot->busy = true;
    ring->busy++;
    vt_store_start_range(ring->fetch->store, &range);
}

static void
take_requests(Ring *ring)
{
    VtRingRequest request;

    while (!ring->closed) {
        ssize_t n = recv(ring->socket_fd, &request, sizeof(request), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n != (ssize_t)sizeof(request) || !request_is_sane(ring, &request))
            ring->closed = true;
        else
            start_range(ring, &request);
    }
}

/* Readable when a request came, or when the daemon wants something or is gone */
static int
watch_both(const Ring *ring)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, ring->socket_fd, &event) < 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, VTD_WORKER_FD, &event) < 0)
        vt_close_fd(&fd);
    return fd;
}

static bool
daemon_speaks(void)
{
    struct pollfd fd = {.fd = VTD_WORKER_FD, .events = POLLIN};

    return poll(&fd, 1, 0) != 0;
}

/* Until unpack closes its end. Returns false when the process must end: ranges still run into
 * memory */
static bool
serve_ring(Ring *ring)
{
    vt_autofd both = watch_both(ring);

    if (both < 0)
        return false;
    while (!ring->closed && !daemon_speaks()) {
        if (ring->busy > 0) {
            vt_store_dispatch(ring->fetch->store, both, DISPATCH_MS);
        } else {
            struct pollfd fd = {.fd = both, .events = POLLIN};

            if (poll(&fd, 1, DISPATCH_MS) < 0 && errno != EINTR)
                return false;
        }
        take_requests(ring);
    }
    return ring->busy == 0;
}

static bool
read_blob_table(Ring *ring, int fd, GError **error)
{
    ring->blobs = g_new0(VtdBlobEntry, MAX(ring->count, 1));
    if (!vt_fs_pread_all(fd, ring->blobs, ring->count * sizeof(*ring->blobs), 0, "blob table",
                         error))
        return false;
    for (uint32_t i = 0; i < ring->count; i++)
        ring->blobs[i].digest[sizeof(ring->blobs[i].digest) - 1] = '\0';
    return true;
}

/* Returns: whether the process goes on */
static bool
run_ring(Fetch *fetch, const VtdFetchRequest *request, VtdFds *fds)
{
    Ring ring = {.fetch = fetch, .repository = request->text, .count = request->count};
    g_autoptr(GError) error = NULL;
    bool go_on;

    for (uint32_t i = 0; i < VT_RING_SLOTS; i++)
        ring.slots[i] = (Slot){.ring = &ring, .number = i};
    ring.socket_fd = fds->fd[1];
    ring.memory = mmap(NULL, (size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE, PROT_READ | PROT_WRITE,
                       MAP_SHARED, fds->fd[0], 0);
    if (ring.memory == MAP_FAILED)
        vt_throw_errno(&error, errno, "cannot map the ring");
    else
        read_blob_table(&ring, fds->fd[2], &error);
    reply_with(fetch, 0, error);
    go_on = error == NULL && serve_ring(&ring);
    if (go_on)
        munmap(ring.memory, (size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE);
    g_free(ring.blobs);
    return go_on;
}

/* ---- requests of the daemon ---- */

static bool
handle(Fetch *fetch, const VtdFetchRequest *request, VtdFds *fds)
{
    g_autoptr(GError) error = NULL;

    fetch->limit = 0;
    switch ((VtdFetchOp)request->op) {
    case VTD_FETCH_SETUP:
        if (fetch->store)
            return false;
        if (!set_up(fetch, request, fds, &error)) {
            reply_with(fetch, 0, error);
            return false;
        }
        break;
    case VTD_FETCH_MANIFEST:
    case VTD_FETCH_BLOB:
    case VTD_FETCH_REFERRERS:
        if (!fetch->store)
            return false;
        write_document(fetch, request, fds->fd[0], &error);
        break;
    case VTD_FETCH_RING:
        return fetch->store && run_ring(fetch, request, fds);
    case VTD_FETCH_STATUS:
        break;
    default:
        return false;
    }
    reply_with(fetch, error ? 0 : fetch->limit, error);
    return true;
}

int
main(int argc, char **argv)
{
    Fetch fetch = {0};
    bool go_on = true;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    while (go_on) {
        g_auto(VtdFds) fds = VTD_FDS_NONE;
        g_autoptr(GError) error = NULL;
        VtdFetchRequest request;

        if (!vtd_channel_receive(VTD_WORKER_FD, &request, sizeof(request), &fds, &error))
            break;
        request.text[sizeof(request.text) - 1] = '\0';
        request.reference[sizeof(request.reference) - 1] = '\0';
        go_on = handle(&fetch, &request, &fds);
    }
    vt_store_free(fetch.store);
    return 0;
}
