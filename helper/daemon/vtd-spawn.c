/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-spawn.c: starts a worker: a program of its own, with one fd */
#include "vtd-spawn.h"
#include "vtd-worker-protocol.h"
#include "vt-fs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

bool
vtd_process_start(const char *program, VtdProcess *ret_process, GError **error)
{
    const char *const argv[] = {program, VT_VERSION, NULL};
    /* nothing of the daemon's environment but where to say what went wrong */
    const char *const environment[] = {"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", NULL};
    const int target = VTD_WORKER_FD;
    int pair[2];
    GPid pid = 0;
    bool ok;

    if (!vtd_channel_pair(pair, error))
        return false;
    ok = g_spawn_async_with_pipes_and_fds("/", argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                          NULL, -1, -1, -1, &pair[1], &target, 1, &pid, NULL, NULL,
                                          NULL, error);
    vt_close_fd(&pair[1]);
    if (!ok) {
        vt_close_fd(&pair[0]);
        return false;
    }
    *ret_process = (VtdProcess){pid, pair[0]};
    return true;
}

void
vtd_process_end(VtdProcess *process)
{
    vt_close_fd(&process->socket_fd);
    if (process->pid <= 0)
        return;
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    process->pid = 0;
}

bool
vtd_process_wait(const VtdProcess *process, int timeout_ms, GCancellable *cancellable,
                 GError **error)
{
    GPollFD cancel = {.fd = -1};
    bool cancels = cancellable && g_cancellable_make_pollfd(cancellable, &cancel);
    struct pollfd fds[2] = {{.fd = process->socket_fd, .events = POLLIN},
                            {.fd = cancel.fd, .events = POLLIN}};
    gint64 end = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int result;

    do {
        gint64 left = MAX((end - g_get_monotonic_time()) / 1000, 0);

        result = poll(fds, cancels ? 2 : 1, timeout_ms < 0 ? -1 : (int)left);
    } while (result < 0 && errno == EINTR);
    if (cancels)
        g_cancellable_release_fd(cancellable);
    if (g_cancellable_set_error_if_cancelled(cancellable, error))
        return false;
    if (result < 0)
        return vt_throw_errno(error, errno, "cannot wait for the other process");
    if (result == 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer within %d s",
                    timeout_ms / 1000);
        return false;
    }
    return true;
}

bool
vtd_memfd(const char *name, GBytes *bytes, int *ret_fd, GError **error)
{
    vt_autofd fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a memory file");
    if (bytes &&
        !vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), name, error))
        return false;
    *ret_fd = vt_steal_fd(&fd);
    return true;
}
