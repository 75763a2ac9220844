/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-activation.h: a worker that the service manager starts, by a unit of its own */
#pragma once

#include "vt-error.h"

/**
 * vtd_activation_start: In the daemon: connects to a worker's socket unit (Accept=yes)
 * @path: of the socket
 * @ret_socket_fd: (out): the daemon's end of the control channel, as of a child
 * @ret_leash_fd: (out): for vtd_activation_end()
 *
 * Does not wait for the worker. One that cannot be started shows as one that ended.
 */
bool vtd_activation_start(const char *path, int *ret_socket_fd, int *ret_leash_fd, GError **error);

/**
 * vtd_activation_end: Kills the worker and waits until it is gone, and no file is open in it
 * @leash_fd: (transfer full)
 *
 * Needs CAP_KILL, as the worker is another user's.
 */
void vtd_activation_end(int leash_fd);

/**
 * vtd_activation_let_go: Kills the worker if it is there, and waits for nothing: one that has not
 * come yet finds its leash cut, and ends
 * @leash_fd: (transfer full)
 */
void vtd_activation_let_go(int leash_fd);

/**
 * vtd_activation_is: Returns: whether this process was started for a connection, sd_listen_fds(3)
 */
bool vtd_activation_is(void);

/**
 * vtd_activation_accept: In the worker: puts its end of the control channel to %VTD_WORKER_FD,
 * where the connection is now, and gives itself into the daemon's hand
 *
 * @error: the daemon is gone, or of another version
 */
bool vtd_activation_accept(GError **error);
