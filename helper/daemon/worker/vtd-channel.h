/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-channel.h: messages of a fixed size, with fds, between the daemon and its workers */
#pragma once

#include "vt-error.h"

#include <stdint.h>

#define VTD_CHANNEL_FDS_MAX 6

/**
 * VtdFds: fds that travel with a message
 * @fd: -1 where there is none
 */
typedef struct {
    int fd[VTD_CHANNEL_FDS_MAX];
    int count;
} VtdFds;

/** VTD_FDS_NONE: an initialiser */
#define VTD_FDS_NONE                                                                               \
    {                                                                                              \
        {-1, -1, -1, -1, -1, -1}, 0                                                                \
    }

/** vtd_fds_clear: Closes what is left in @fds */
void vtd_fds_clear(VtdFds *fds);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtdFds, vtd_fds_clear)

/** vtd_fds_take: Returns: fd @number, which the caller owns now; -1 if it did not come */
int vtd_fds_take(VtdFds *fds, int number);

/** vtd_channel_pair: Two connected SOCK_SEQPACKET sockets */
bool vtd_channel_pair(int ret_fds[2], GError **error);

/** vtd_channel_send: Sends one message; @fds: (nullable): stay owned by the caller */
bool vtd_channel_send(int socket_fd, const void *message, size_t size, const VtdFds *fds,
                      GError **error);

/**
 * vtd_channel_receive:
 * @size: bytes that the message must have
 * @ret_fds: (nullable) (out): what came with it; unwanted fds are closed
 * @error: %VT_ERROR_FAILED when the other end is gone or sends something else
 */
bool vtd_channel_receive(int socket_fd, void *message, size_t size, VtdFds *ret_fds,
                         GError **error);

/**
 * vtd_channel_check: What the end of a worker's work says
 * @code: -1 for success, else a #VtError; whatever else it is, it is an error, too
 * @message: of @size bytes, with or without a NUL
 */
bool vtd_channel_check(int32_t code, const char *message, size_t size, GError **error);

/** vtd_memfd: @ret_fd: (out): a memory file that holds @bytes, or is empty for %NULL */
bool vtd_memfd(const char *name, GBytes *bytes, int *ret_fd, GError **error);
