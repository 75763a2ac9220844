/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-spawn.c: starts a worker: a program of its own, with one fd */
#include "vtd-spawn.h"
#include "vtd-activation.h"
#include "vtd-worker-protocol.h"
#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A worker that answers and does not read fills the socket with what it is asked: whoever asks must
 * not wait for it without end. One that is starved of a processor has read by then. */
#define SEND_TIMEOUT_S 30

/* The child's: nothing of the daemon's but its stderr, and @fd in the place where the worker looks
 */
static int
plan_files(posix_spawn_file_actions_t *actions, int fd)
{
    const int results[] = {
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0),
        posix_spawn_file_actions_adddup2(actions, fd, VTD_WORKER_FD),
        posix_spawn_file_actions_addclosefrom_np(actions, VTD_WORKER_FD + 1),
        posix_spawn_file_actions_addchdir_np(actions, "/"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS(results); i++) {
        if (results[i] != 0)
            return results[i];
    }
    return 0;
}

/* Unlike a fork, which g_spawn does, this leaves the daemon's memory alone: after a fork each page
 * that one of its threads writes to is copied first */
static int
spawn(const char *program, int fd, pid_t *ret_pid)
{
    const char *const argv[] = {program, VT_VERSION, NULL};
    /* nothing of the daemon's environment but where to say what went wrong */
    const char *const environment[] = {"PATH=/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t signals;
    int result;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    result = plan_files(&actions, fd);
    if (result == 0)
        result = posix_spawn(ret_pid, program, &actions, &attributes, (char *const *)argv,
                             (char *const *)environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

static bool
is_socket(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

static bool
start_child(const char *program, VtdProcess *ret_process, GError **error)
{
    vt_autofd ours = -1, theirs = -1;
    int pair[2];
    pid_t pid = 0;
    int result;

    if (!vtd_channel_pair(pair, error))
        return false;
    ours = pair[0];
    theirs = pair[1];
    result = spawn(program, theirs, &pid);
    if (result != 0)
        return vt_throw_errno(
            error, result, "cannot start the worker '%s', a program or its unit's socket", program);
    *ret_process = (VtdProcess){.pid = pid, .socket_fd = vt_steal_fd(&ours), .leash_fd = -1};
    return true;
}

bool
vtd_process_start(const char *program, VtdProcess *ret_process, GError **error)
{
    const struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
    g_auto(VtdProcess) process = {.socket_fd = -1, .leash_fd = -1};

    if (is_socket(program)) {
        if (!vtd_activation_start(program, &process.socket_fd, &process.leash_fd, error))
            return false;
        process.pid = -1;
    } else if (!start_child(program, &process, error)) {
        return false;
    }
    if (setsockopt(process.socket_fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
        return vt_throw_errno(error, errno, "cannot limit the time that a worker has");
    *ret_process = process;
    process = (VtdProcess){.socket_fd = -1};
    return true;
}

static void
end_child(const VtdProcess *process)
{
    int status = 0;
    const bool ended = waitpid(process->pid, &status, WNOHANG) == process->pid;

    if (!ended) {
        kill(process->pid, SIGKILL);
        while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        g_warning("worker %d made a system call that its sandbox forbids, and was killed; the "
                  "audit log of the kernel has its number",
                  (int)process->pid);
    /* One that is ending already keeps the signal that ends it */
    if (WIFSIGNALED(status) && (ended || WTERMSIG(status) != SIGKILL))
        vtd_monitor_add(process->monitor, VTD_COUNT_WORKER_FAILURES, 0, 1);
}

static void
end_process(VtdProcess *process, void (*end_activated)(int leash_fd))
{
    vt_close_fd(&process->socket_fd);
    if (process->pid > 0)
        end_child(process);
    else if (process->pid < 0)
        end_activated(process->leash_fd);
    process->pid = 0;
}

void
vtd_process_end(VtdProcess *process)
{
    end_process(process, vtd_activation_end);
}

void
vtd_process_let_go(VtdProcess *process)
{
    end_process(process, vtd_activation_let_go);
}

/* Fills in the revents of @fds. Returns: what poll() does */
static int
poll_until(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    gint64 end = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int result;

    do {
        gint64 left = MAX((end - g_get_monotonic_time()) / 1000, 0);

        result = poll(fds, count, timeout_ms < 0 ? -1 : (int)left);
    } while (result < 0 && errno == EINTR);
    return result;
}

bool
vtd_wait(struct pollfd *fds, guint count, int timeout_ms, GCancellable *cancellable, GError **error)
{
    g_autofree struct pollfd *all = g_new(struct pollfd, count + 1);
    GPollFD cancel = {.fd = -1};
    bool cancels = cancellable && g_cancellable_make_pollfd(cancellable, &cancel);
    int result;

    memcpy(all, fds, count * sizeof(*fds));
    all[count] = (struct pollfd){.fd = cancel.fd, .events = POLLIN};
    result = poll_until(all, count + 1, timeout_ms);
    memcpy(fds, all, count * sizeof(*fds));
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
vtd_process_wait(const VtdProcess *process, int timeout_ms, GCancellable *cancellable,
                 GError **error)
{
    struct pollfd fd = {.fd = process->socket_fd, .events = POLLIN};

    return vtd_wait(&fd, 1, timeout_ms, cancellable, error);
}
