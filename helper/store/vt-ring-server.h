/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ring-server.h: the fetching end of the ring */
#pragma once

#include "vt-ring.h"
#include "vt-store.h"

/**
 * VtRingSource:
 * @repository: where the blobs are
 * @blobs: in the order of the layer's index; must live as long
 * @memory_fd: memfd of the ring
 * @socket_fd: the fetch end of the ring's socket
 * @other_fd: when it can be read, serving ends; or -1
 */
typedef struct {
    VtStore *store;
    const char *repository;
    const VtRingBlob *blobs;
    uint32_t count;
    int memory_fd;
    int socket_fd;
    int other_fd;
} VtRingSource;

typedef struct VtRingServer VtRingServer;
bool vt_ring_server_new(const VtRingSource *source, VtRingServer **ret_server, GError **error);
void vt_ring_server_free(VtRingServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRingServer, vt_ring_server_free)

/**
 * vt_ring_server_run:
 *
 * Serves until the other end is closed. Returns: false if ranges still run into the memory: the
 * store must not be used any more.
 */
bool vt_ring_server_run(VtRingServer *server);
