/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ring-server.h: the fetching end of one ring, or of several */
#pragma once

#include "vt-ring.h"
#include "vt-store.h"

/**
 * VtRingSource:
 * @repository: where the blobs are
 * @blobs: in the order of the layer's index
 * @memory_fd: memfd of the ring
 * @socket_fd: the fetch end of the ring's socket
 */
typedef struct {
    const char *repository;
    const VtRingBlob *blobs;
    uint32_t count;
    int memory_fd;
    int socket_fd;
} VtRingSource;

/** VtRingServer: rings that share the connections of one store, which must outlive it */
typedef struct VtRingServer VtRingServer;
VtRingServer *vt_ring_server_new(VtStore *store);
void vt_ring_server_free(VtRingServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRingServer, vt_ring_server_free)

/**
 * vt_ring_server_add:
 * @source: copied, fds too
 *
 * Serves one more ring. What an earlier one asks for goes first, as long as that wants more than
 * there are connections.
 */
bool vt_ring_server_add(VtRingServer *server, const VtRingSource *source, GError **error);

/**
 * vt_ring_server_run:
 * @other_fd: when it can be read, this returns too; or -1
 *
 * Serves until the other ends of all rings are closed; ranges of theirs may still run then, and go
 * on when this runs again. Returns: false if the rings cannot be watched.
 */
bool vt_ring_server_run(VtRingServer *server, int other_fd);
