/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-server.h: connections: who may speak, and which methods he may call */
#pragma once

#include "vtd-daemon.h"

#define VTD_OBJECT_PATH "/virttemplate/Helper1"
#define VTD_SOCKET_NAME "virttemplated-sock"
#define VTD_SOCKET_RO   "virttemplated-sock-ro"

/**
 * VtdServer: one listening socket and its connections
 */
typedef struct VtdServer VtdServer;

/**
 * vtd_server_new:
 * @listen_fd: a listening UNIX socket, consumed
 * @read_only: only methods that change nothing are answered
 */
bool vtd_server_new(VtdDaemon *daemon, int listen_fd, bool read_only, VtdServer **ret_server,
                    GError **error);
/** vtd_server_free: Stops listening and closes the connections */
void vtd_server_free(VtdServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdServer, vtd_server_free)

/** vtd_server_listen: @ret_fd: (out): a new socket at @path; an orphaned one is replaced */
bool vtd_server_listen(const char *path, mode_t mode, int *ret_fd, GError **error);

/** vtd_server_answers: Returns: whether somebody listens at @path */
bool vtd_server_answers(const char *path);
