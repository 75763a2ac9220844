/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-sandbox.h: a worker gives up what it does not need, before it sees a foreign byte */
#pragma once

#include "vt-error.h"

#include <stdint.h>
#include <sys/types.h>

/**
 * VtdSandbox:
 * @uid: to become; 0 keeps the own one, which then must not be root's
 * @gid: to become
 * @no_network: leave the network; needs root
 * @file_size_max: bytes that a file may grow to
 * @files_max: open fds
 */
typedef struct {
    uid_t uid;
    gid_t gid;
    bool no_network;
    uint64_t file_size_max;
    uint64_t files_max;
} VtdSandbox;

/**
 * vtd_sandbox_greet: Before anything else
 * @argv: the program, and the version of the daemon that started it
 *
 * A terminal's Ctrl-C is the daemon's business; a closed socket is an error that is looked at.
 *
 * Returns: false, with a message on stderr, when the daemon is of another version: then they do not
 *   understand each other
 */
bool vtd_sandbox_greet(int argc, char **argv);

/**
 * vtd_sandbox_enter:
 *
 * Never to be undone: dies with its parent, which for the kernel is the thread that started it,
 * cannot be traced or dumped, no capability and no way to get one, no supplementary group, bounded
 * memory, files and processes. Everything or nothing: on failure the worker must end. Filters for
 * system calls and paths join here.
 *
 * @error: %VT_ERROR_DENIED
 */
bool vtd_sandbox_enter(const VtdSandbox *sandbox, GError **error);
