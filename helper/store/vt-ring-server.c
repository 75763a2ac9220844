/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ring-server.c: the fetching end of the ring */
#include "vt-ring-server.h"

#include "vt-fs.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define DISPATCH_MS 1000
#define MEMORY_SIZE ((size_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE)

typedef struct {
    VtRingServer *ring;
    uint32_t number;
    bool busy;
} Slot;

struct VtRingServer {
    VtRingSource source;
    uint8_t *memory;
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
    if (send(slot->ring->source.socket_fd, &message, sizeof(message), MSG_NOSIGNAL) < 0)
        slot->ring->closed = true;
}

static bool
request_is_sane(const VtRingServer *ring, const VtRingRequest *request)
{
    return request->slot < VT_RING_SLOTS && !ring->slots[request->slot].busy &&
           request->blob < ring->source.count && request->length > 0 &&
           request->length <= VT_RING_SLOT_SIZE &&
           request->offset <= ring->source.blobs[request->blob].size &&
           request->length <= ring->source.blobs[request->blob].size - request->offset;
}

static void
start_range(VtRingServer *ring, const VtRingRequest *request)
{
    Slot *slot = &ring->slots[request->slot];
    const VtStoreRange range = {.repository = ring->source.repository,
                                .digest = ring->source.blobs[request->blob].digest,
                                .blob_size = ring->source.blobs[request->blob].size,
                                .offset = request->offset,
                                .length = request->length,
                                .buffer = ring->memory + (size_t)request->slot * VT_RING_SLOT_SIZE,
                                .done = answer,
                                .user = slot};

    slot->busy = true;
    ring->busy++;
    vt_store_start_range(ring->source.store, &range);
}

static void
take_requests(VtRingServer *ring)
{
    VtRingRequest request;

    while (!ring->closed) {
        ssize_t n = recv(ring->source.socket_fd, &request, sizeof(request), MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n != (ssize_t)sizeof(request) || !request_is_sane(ring, &request))
            ring->closed = true;
        else
            start_range(ring, &request);
    }
}

/* Readable when a request came, or when somebody else wants something */
static int
watch_both(const VtRingServer *ring)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, ring->source.socket_fd, &event) < 0 ||
        (ring->source.other_fd >= 0 &&
         epoll_ctl(fd, EPOLL_CTL_ADD, ring->source.other_fd, &event) < 0))
        vt_close_fd(&fd);
    return fd;
}

static bool
other_speaks(const VtRingServer *ring)
{
    struct pollfd fd = {.fd = ring->source.other_fd, .events = POLLIN};

    return fd.fd >= 0 && poll(&fd, 1, 0) != 0;
}

bool
vt_ring_server_new(const VtRingSource *source, VtRingServer **ret_server, GError **error)
{
    g_autoptr(VtRingServer) ring = g_new0(VtRingServer, 1);

    ring->source = *source;
    for (uint32_t i = 0; i < VT_RING_SLOTS; i++)
        ring->slots[i] = (Slot){.ring = ring, .number = i};
    ring->memory =
        mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, source->memory_fd, 0);
    if (ring->memory == MAP_FAILED) {
        ring->memory = NULL;
        return vt_throw_errno(error, errno, "cannot map the ring");
    }
    *ret_server = g_steal_pointer(&ring);
    return true;
}

bool
vt_ring_server_run(VtRingServer *ring)
{
    vt_autofd both = watch_both(ring);

    if (both < 0)
        return false;
    while (!ring->closed && !other_speaks(ring)) {
        if (ring->busy > 0) {
            vt_store_dispatch(ring->source.store, both, DISPATCH_MS);
        } else {
            struct pollfd fd = {.fd = both, .events = POLLIN};

            if (poll(&fd, 1, DISPATCH_MS) < 0 && errno != EINTR)
                return false;
        }
        take_requests(ring);
    }
    return ring->busy == 0;
}

/* While ranges run into the memory, it must stay: then the process is about to end */
void
vt_ring_server_free(VtRingServer *ring)
{
    if (!ring)
        return;
    if (ring->memory && ring->busy == 0)
        munmap(ring->memory, MEMORY_SIZE);
    if (ring->busy == 0)
        g_free(ring);
}
