/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-spawn.h: starts a worker: a program of its own, with one fd */
#pragma once

#include "vtd-channel.h"
#include "vtd-monitor.h"

#include <gio/gio.h>
#include <sys/types.h>

/**
 * VtdProcess:
 * @pid: of the worker, 0 if there is none, -1 if the service manager started it
 * @socket_fd: the daemon's end of its control channel
 * @monitor: (nullable): counts those that crash
 * @leash_fd: if @pid is -1, see vtd-activation.h
 */
typedef struct {
    pid_t pid;
    int socket_fd;
    VtdMonitor *monitor;
    int leash_fd;
} VtdProcess;

/** vtd_process_start: @program: path of `fetch-worker`, for one: a program, or the socket of a unit
 *  that runs it */
bool vtd_process_start(const char *program, VtdProcess *ret_process, GError **error);

/** vtd_process_start_counted: vtd_process_start(); @monitor: (nullable) */
bool vtd_process_start_counted(const char *program, VtdMonitor *monitor, VtdProcess *ret_process,
                               GError **error);

/** vtd_wait: poll() until @timeout_ms are over (-1: for ever) or @cancellable (nullable) ends it;
 *  see vtd_process_wait() */
struct pollfd;
bool vtd_wait(struct pollfd *fds, guint count, int timeout_ms, GCancellable *cancellable,
              GError **error);

/**
 * vtd_process_wait: Waits until the worker says something, or ends
 * @timeout_ms: -1 = for ever
 * @error: %G_IO_ERROR_TIMED_OUT, %G_IO_ERROR_CANCELLED
 */
bool vtd_process_wait(const VtdProcess *process, int timeout_ms, GCancellable *cancellable,
                      GError **error);

/** vtd_process_end: Kills it if it still runs, and waits for it */
void vtd_process_end(VtdProcess *process);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtdProcess, vtd_process_end)

/** vtd_process_let_go: vtd_process_end() of one that has no file which must be closed before
 *  something else is done: it does not wait for the service manager, which may not have started the
 *  worker yet */
void vtd_process_let_go(VtdProcess *process);
