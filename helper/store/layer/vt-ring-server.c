/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ring-server.c: the fetching end of one ring, or of several */
#include "vt-ring-server.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

/*
 * Theory of operation
 *
 * Requests are taken from all rings as they come, and handed to the store while it has a connection
 * for them, those of the first ring first: a layer that is being unpacked is not kept waiting by
 * what is fetched ahead for the layers above it.
 *
 * The other end learns of the bytes of a range while they come, so that it has a frame as soon as
 * that is complete. A link that is quick fills a slot within TELL_US, which keeps the number of
 * these messages small.
 *
 * A ring whose other end has gone stays until its ranges have ended, for the store writes into its
 * memory; the others are served meanwhile. Of a range that is longer than its slot the rest is
 * refused.
 */

#define DISPATCH_MS 1000
#define MEMORY_SIZE ((size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE)
/* Microseconds between two messages about a slot that is not full; and bytes */
#define TELL_US    25000
#define TELL_BYTES (64u << 10)
/* Of a range that is longer than its slot, however quick the link is: there must be room again
 * before the slot is full */
#define TELL_STREAM (VT_RING_SLOT_SIZE / 8)

typedef struct Ring Ring;

/**
 * Slot:
 * @busy: its request is in the hands of the store
 * @waiting: it will be
 * @have: bytes that came, of a range that is longer than the slot
 * @told: bytes that the other end knows of, and when it was told
 */
typedef struct {
    Ring *ring;
    uint32_t number;
    bool busy;
    bool waiting;
    VtRingRequest request;
    uint32_t have;
    uint32_t told;
    gint64 told_at;
} Slot;

/** Ring: @waiting: (element-type Slot) */
struct Ring {
    VtRingServer *server;
    char *repository;
    VtRingBlob *blobs;
    uint32_t count;
    int socket_fd;
    uint8_t *memory;
    GQueue waiting;
    guint busy;
    bool closed;
    Slot slots[VT_RING_SLOTS];
};

/** VtRingServer: @rings: (element-type Ring): the oldest first; @busy: slots of all */
struct VtRingServer {
    VtStore *store;
    GPtrArray *rings;
    guint busy;
};

/* While ranges run into the memory, it must stay: then the store is about to end */
static void
ring_free(gpointer data)
{
    Ring *ring = data;

    ring->closed = true;
    vt_close_fd(&ring->socket_fd);
    if (ring->busy > 0)
        return;
    if (ring->memory)
        munmap(ring->memory, MEMORY_SIZE);
    g_queue_clear(&ring->waiting);
    g_free(ring->repository);
    g_free(ring->blobs);
    g_free(ring);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ring, ring_free)

/* ---- answers ---- */

static void
answer(void *user, const GError *failure)
{
    Slot *slot = user;
    Ring *ring = slot->ring;
    VtRingAnswer message = {.slot = slot->number, .code = -1, .length = slot->request.length};

    slot->busy = false;
    ring->busy--;
    ring->server->busy--;
    if (ring->closed)
        return;
    if (failure) {
        message.code = failure->domain == VT_ERROR ? failure->code : VT_ERROR_FAILED;
        g_strlcpy(message.message, failure->message, sizeof(message.message));
    }
    if (send(ring->socket_fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        ring->closed = true;
}

/* One that finds no room is not missed: the next one says more */
static void
send_part(Slot *slot, uint32_t have)
{
    const VtRingAnswer message = {.slot = slot->number, .code = -1, .length = have};

    if (send(slot->ring->socket_fd, &message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        slot->told = have;
}

static void
tell(void *user, uint32_t have)
{
    Slot *slot = user;
    gint64 now;

    if (slot->ring->closed)
        return;
    /* The last byte is told by answer(); and what was told may come again from the start */
    if (have >= slot->request.length || have < slot->told + TELL_BYTES)
        return;
    now = g_get_monotonic_time();
    if (now - slot->told_at < TELL_US)
        return;
    slot->told_at = now;
    send_part(slot, have);
}

/* ---- ranges that are longer than their slot ---- */

static bool
has_room(void *user, uint32_t length)
{
    Slot *slot = user;

    /* take_bytes() refuses it, and the connection is free */
    if (slot->ring->closed)
        return true;
    if ((uint64_t)slot->have + length <= (uint64_t)slot->request.taken + VT_RING_SLOT_SIZE)
        return true;
    /* Nobody makes room who does not know of all */
    if (slot->told < slot->have && slot->have < slot->request.length)
        send_part(slot, slot->have);
    return false;
}

static bool
take_bytes(void *user, const void *data, uint32_t length)
{
    Slot *slot = user;
    uint8_t *memory = slot->ring->memory + (size_t)slot->number * VT_RING_SLOT_SIZE;
    const uint32_t at = slot->have % VT_RING_SLOT_SIZE;
    const uint32_t first = MIN(length, VT_RING_SLOT_SIZE - at);

    if (slot->ring->closed)
        return false;
    memcpy(memory + at, data, first);
    memcpy(memory, (const uint8_t *)data + first, length - first);
    slot->have += length;
    if (slot->have < slot->request.length && slot->have - slot->told >= TELL_STREAM)
        send_part(slot, slot->have);
    else
        tell(slot, slot->have);
    return true;
}

/* ---- requests ---- */

static bool
request_is_sane(const Ring *ring, const VtRingRequest *request)
{
    const Slot *slot = &ring->slots[request->slot % VT_RING_SLOTS];
    const uint32_t most =
        vt_store_streams(ring->server->store) ? VT_RING_RANGE_MAX : VT_RING_SLOT_SIZE;

    return request->slot < VT_RING_SLOTS && !slot->busy && !slot->waiting && request->taken == 0 &&
           request->blob < ring->count && request->length > 0 && request->length <= most &&
           request->offset <= ring->blobs[request->blob].size &&
           request->length <= ring->blobs[request->blob].size - request->offset;
}

/* Of a range that is on its way */
static bool
makes_room(const Ring *ring, const VtRingRequest *request)
{
    const Slot *slot = &ring->slots[request->slot % VT_RING_SLOTS];

    return request->slot < VT_RING_SLOTS && slot->busy && request->blob == slot->request.blob &&
           request->offset == slot->request.offset && request->length == slot->request.length &&
           request->taken > slot->request.taken && request->taken <= slot->have;
}

static void
take_requests(Ring *ring)
{
    VtRingRequest request;

    while (!ring->closed) {
        ssize_t n = recv(ring->socket_fd, &request, sizeof(request), MSG_DONTWAIT);
        Slot *slot;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n == (ssize_t)sizeof(request) && makes_room(ring, &request)) {
            ring->slots[request.slot].request = request;
            continue;
        }
        if (n != (ssize_t)sizeof(request) || !request_is_sane(ring, &request)) {
            ring->closed = true;
            return;
        }
        slot = &ring->slots[request.slot];
        slot->request = request;
        slot->waiting = true;
        g_queue_push_tail(&ring->waiting, slot);
    }
}

static void
start_range(Slot *slot)
{
    Ring *ring = slot->ring;
    const VtRingBlob *blob = &ring->blobs[slot->request.blob];
    const bool streams = slot->request.length > VT_RING_SLOT_SIZE;
    uint8_t *memory = ring->memory + (size_t)slot->number * VT_RING_SLOT_SIZE;
    const VtStoreRange range = {.repository = ring->repository,
                                .digest = blob->digest,
                                .blob_size = blob->size,
                                .offset = slot->request.offset,
                                .length = slot->request.length,
                                .buffer = streams ? NULL : memory,
                                .done = answer,
                                .progress = tell,
                                .room = streams ? has_room : NULL,
                                .sink = streams ? take_bytes : NULL,
                                .user = slot};

    slot->waiting = false;
    slot->busy = true;
    slot->have = 0;
    slot->told = 0;
    slot->told_at = g_get_monotonic_time();
    ring->busy++;
    ring->server->busy++;
    vt_store_start_range(ring->server->store, &range);
}

static void
start_waiting(VtRingServer *server)
{
    for (guint i = 0; i < server->rings->len; i++) {
        Ring *ring = server->rings->pdata[i];

        while (server->busy < vt_store_connections(server->store) &&
               !g_queue_is_empty(&ring->waiting))
            start_range(g_queue_pop_head(&ring->waiting));
    }
}

/* Returns: whether nothing of it is needed any more */
static bool
retire(Ring *ring)
{
    vt_close_fd(&ring->socket_fd);
    g_queue_clear(&ring->waiting);
    return ring->busy == 0;
}

/* Takes what came. Returns: whether a ring is left that may ask for more */
static bool
serve(VtRingServer *server)
{
    bool any = false;

    for (guint i = 0; i < server->rings->len;) {
        Ring *ring = server->rings->pdata[i];

        take_requests(ring);
        any = any || !ring->closed;
        if (ring->closed && retire(ring))
            g_ptr_array_remove_index(server->rings, i);
        else
            i++;
    }
    start_waiting(server);
    return any;
}

/* ---- waiting ---- */

static bool
watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};

    return fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Readable when a request came, or when somebody else wants something */
static int
watch_all(const VtRingServer *server, int other_fd)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    bool ok = fd >= 0 && watch(fd, other_fd);

    for (guint i = 0; ok && i < server->rings->len; i++)
        ok = watch(fd, ((const Ring *)server->rings->pdata[i])->socket_fd);
    if (!ok)
        vt_close_fd(&fd);
    return fd;
}

static bool
other_speaks(int other_fd)
{
    struct pollfd fd = {.fd = other_fd, .events = POLLIN};

    return other_fd >= 0 && poll(&fd, 1, 0) != 0;
}

bool
vt_ring_server_run(VtRingServer *server, int other_fd)
{
    vt_autofd all = watch_all(server, other_fd);

    if (all < 0)
        return false;
    /* A ring that is closed leaves the set by itself */
    while (serve(server)) {
        struct pollfd fd = {.fd = all, .events = POLLIN};

        if (other_speaks(other_fd))
            return true;
        if (server->busy > 0)
            vt_store_dispatch(server->store, all, DISPATCH_MS);
        else if (poll(&fd, 1, DISPATCH_MS) < 0 && errno != EINTR)
            return false;
    }
    return true;
}

/* ---- the server ---- */

bool
vt_ring_server_add(VtRingServer *server, const VtRingSource *source, GError **error)
{
    g_autoptr(Ring) ring = g_new0(Ring, 1);

    ring->server = server;
    ring->repository = g_strdup(source->repository);
    ring->blobs = g_memdup2(source->blobs, source->count * sizeof(*source->blobs));
    ring->count = source->count;
    for (uint32_t i = 0; i < VT_RING_SLOTS; i++)
        ring->slots[i] = (Slot){.ring = ring, .number = i};
    ring->socket_fd = fcntl(source->socket_fd, F_DUPFD_CLOEXEC, 0);
    if (ring->socket_fd < 0)
        return vt_throw_errno(error, errno, "cannot take the ring's socket");
    ring->memory =
        mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, source->memory_fd, 0);
    if (ring->memory == MAP_FAILED) {
        ring->memory = NULL;
        return vt_throw_errno(error, errno, "cannot map the ring");
    }
    g_ptr_array_add(server->rings, g_steal_pointer(&ring));
    return true;
}

VtRingServer *
vt_ring_server_new(VtStore *store)
{
    VtRingServer *server = g_new0(VtRingServer, 1);

    server->store = store;
    server->rings = g_ptr_array_new_with_free_func(ring_free);
    return server;
}

void
vt_ring_server_free(VtRingServer *server)
{
    if (!server)
        return;
    g_ptr_array_unref(server->rings);
    /* Ranges that run tell the server, too, when they end */
    if (server->busy == 0)
        g_free(server);
}
