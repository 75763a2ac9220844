/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-channel.c: messages of a fixed size, with fds, between the daemon and its workers */
#include "vtd-channel.h"
#include "vt-fs.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

void
vtd_fds_clear(VtdFds *fds)
{
    for (int i = 0; i < VTD_CHANNEL_FDS_MAX; i++)
        vt_close_fd(&fds->fd[i]);
    *fds = (VtdFds)VTD_FDS_NONE;
}

int
vtd_fds_take(VtdFds *fds, int number)
{
    return vt_steal_fd(&fds->fd[number]);
}

bool
vtd_channel_pair(int ret_fds[2], GError **error)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0)
        return vt_throw_errno(error, errno, "cannot make a socket pair");
    return true;
}

bool
vtd_channel_send(int socket_fd, const void *message, size_t size, const VtdFds *fds, GError **error)
{
    char control[CMSG_SPACE(sizeof(int) * VTD_CHANNEL_FDS_MAX)] = {0};
    struct iovec vector = {(void *)(uintptr_t)message, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    ssize_t n;

    if (fds && fds->count > 0) {
        struct cmsghdr *part;

        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fds->count);
        part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fds->count);
        memcpy(CMSG_DATA(part), fds->fd, sizeof(int) * (size_t)fds->count);
    }
    do
        n = sendmsg(socket_fd, &header, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    /* the socket is full, and has SO_SNDTIMEO */
    if (n < 0 && errno == EAGAIN)
        return vt_throw(error, VT_ERROR_FAILED, "the other process does not read");
    if (n != (ssize_t)size)
        return vt_throw_errno(error, n < 0 ? errno : EMSGSIZE, "cannot send to the other process");
    return true;
}

static void
take_fds(struct msghdr *header, VtdFds *fds)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        size_t length;

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        length = part->cmsg_len - CMSG_LEN(0);
        fds->count = (int)(length / sizeof(int));
        memcpy(fds->fd, CMSG_DATA(part), length);
    }
}

bool
vtd_channel_receive(int socket_fd, void *message, size_t size, VtdFds *ret_fds, GError **error)
{
    char control[CMSG_SPACE(sizeof(int) * VTD_CHANNEL_FDS_MAX)];
    struct iovec vector = {message, size};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control)};
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    bool reset = false;
    ssize_t n;

    do {
        /* A process that ended with messages unread leaves this error in front of its last ones */
        const bool again = reset;

        n = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
        reset = n < 0 && errno == ECONNRESET && !again;
    } while (reset || (n < 0 && errno == EINTR));
    if (n < 0)
        return vt_throw_errno(error, errno, "cannot receive from the other process");
    take_fds(&header, &fds);
    if (n == 0)
        return vt_throw(error, VT_ERROR_FAILED, "the other process ended");
    if (n != (ssize_t)size || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return vt_throw(error, VT_ERROR_FAILED, "the other process sent a malformed message");
    if (ret_fds) {
        *ret_fds = fds;
        fds = (VtdFds)VTD_FDS_NONE;
    }
    return true;
}

bool
vtd_channel_check(int32_t code, const char *message, size_t size, GError **error)
{
    if (code == -1)
        return true;
    return vt_throw(error, code >= 0 && code < VT_ERROR_LAST ? (VtError)code : VT_ERROR_FAILED,
                    "%.*s", (int)size, message);
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
