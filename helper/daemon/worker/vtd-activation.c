/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-activation.c: a worker that the service manager starts, by a unit of its own
 *
 * Theory of operation
 *
 * The connection to the socket unit is not the control channel, but the leash. The daemon sends an
 * end of a fresh socket pair along it, which becomes what a child has from the start. The worker
 * sends a pidfd of itself back before it sees anything else: with that the daemon, which is not its
 * parent, can end it and know that it is gone, which it must before it seals a file. If the daemon
 * has let go of the leash meanwhile, the worker cannot present itself, and ends. So a worker that
 * has no file need not be waited for.
 */
#include "vtd-activation.h"

#include "vt-fs.h"
#include "vtd-channel.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* For the manager to start it, and for the kernel to end it; a loaded host needs seconds */
#define PATIENCE_MS (60 * 1000)

/* fds: the worker's end of the control channel */
typedef struct {
    char version[32];
} Invitation;

/* fds: a pidfd */
typedef struct {
    uint8_t here;
} Presence;

/* A manager that hangs accepts nobody: when its queue is full, nobody waits for it here */
static bool
connect_to(const char *path, int *ret_fd, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    vt_autofd fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a socket");
    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
        return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' is too long for a socket", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        fcntl(fd, F_SETFL, 0) < 0)
        return vt_throw_errno(error, errno, "cannot start a worker by '%s'", path);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

bool
vtd_activation_start(const char *path, int *ret_socket_fd, int *ret_leash_fd, GError **error)
{
    const Invitation invitation = {VT_VERSION};
    vt_autofd leash = -1, ours = -1, theirs = -1;
    int pair[2];

    if (!connect_to(path, &leash, error) || !vtd_channel_pair(pair, error))
        return false;
    ours = pair[0];
    theirs = pair[1];
    if (!vtd_channel_send(leash, &invitation, sizeof(invitation), &(const VtdFds){{theirs}, 1},
                          error))
        return false;
    *ret_socket_fd = vt_steal_fd(&ours);
    *ret_leash_fd = vt_steal_fd(&leash);
    return true;
}

static bool
wait_for(int fd, GError **error)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int result;

    do
        result = poll(&wanted, 1, PATIENCE_MS);
    while (result < 0 && errno == EINTR);
    return result > 0 || vt_throw_errno(error, result < 0 ? errno : ETIMEDOUT, "cannot wait");
}

/* @ret_fds: its pidfd; nothing: it ended before it came, or was never started */
static bool
kill_present(int leash_fd, VtdFds *ret_fds, GError **error)
{
    g_autoptr(GError) gone = NULL;
    Presence presence;

    if (!vtd_channel_receive(leash_fd, &presence, sizeof(presence), ret_fds, &gone))
        return true;
    return syscall(SYS_pidfd_send_signal, ret_fds->fd[0], SIGKILL, NULL, 0) == 0 ||
           errno == ESRCH || vt_throw_errno(error, errno, "cannot send the signal");
}

static bool
end(int leash_fd, GError **error)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;

    return wait_for(leash_fd, error) && kill_present(leash_fd, &fds, error) &&
           (fds.count == 0 || wait_for(fds.fd[0], error));
}

void
vtd_activation_end(int leash_fd)
{
    g_autoptr(GError) error = NULL;

    if (!end(leash_fd, &error))
        g_critical("cannot end a worker: %s", error->message);
    vt_close_fd(&leash_fd);
}

void
vtd_activation_let_go(int leash_fd)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;

    /* Its pidfd is here by now, or it cannot send it any more */
    shutdown(leash_fd, SHUT_RD);
    if (!kill_present(leash_fd, &fds, &error))
        g_critical("cannot end a worker: %s", error->message);
    vt_close_fd(&leash_fd);
}

bool
vtd_activation_is(void)
{
    const char *pid = g_getenv("LISTEN_PID");
    const char *count = g_getenv("LISTEN_FDS");

    return pid && count && g_ascii_strtoull(pid, NULL, 10) == (guint64)getpid() &&
           g_str_equal(count, "1");
}

static bool
present_itself(int leash_fd, GError **error)
{
    const Presence presence = {1};
    vt_autofd pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (pidfd < 0)
        return vt_throw_errno(error, errno, "cannot open its own process");
    return vtd_channel_send(leash_fd, &presence, sizeof(presence), &(const VtdFds){{pidfd}, 1},
                            error);
}

bool
vtd_activation_accept(GError **error)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    Invitation invitation;

    if (!vtd_channel_receive(VTD_WORKER_FD, &invitation, sizeof(invitation), &fds, error))
        return false;
    invitation.version[sizeof(invitation.version) - 1] = '\0';
    if (fds.count != 1 || !g_str_equal(invitation.version, VT_VERSION))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "this is version " VT_VERSION ", virttemplated has version %s; restart "
                        "virttemplated.service",
                        invitation.version);
    if (!present_itself(VTD_WORKER_FD, error))
        return false;
    /* the leash goes: the daemon has the pidfd */
    if (dup2(fds.fd[0], VTD_WORKER_FD) < 0)
        return vt_throw_errno(error, errno, "cannot take the channel");
    return true;
}
