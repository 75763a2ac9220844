/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-sandbox.h: a worker gives up what it does not need, before it sees a foreign byte */
#pragma once

#include "vt-error.h"

#include <sys/types.h>

/**
 * VtdWorkerKind: what may be done differs, see the table in vtd-sandbox.c
 * @VTD_WORKER_FETCH: from a registry
 * @VTD_WORKER_LAYOUT: the same program, from a directory: no network
 */
typedef enum {
    VTD_WORKER_COPY,
    VTD_WORKER_FETCH,
    VTD_WORKER_LAYOUT,
    VTD_WORKER_SEED,
    VTD_WORKER_UNPACK,
    VTD_WORKER_UPLOAD,
    VTD_WORKER_LAST, /*< skip >*/
} VtdWorkerKind;

/**
 * VtdSandbox:
 * @kind: of the worker
 * @uid: to become; ignored unless it is root, which it then must not be
 * @gid: to become
 * @layout_fd: the directory of %VTD_WORKER_LAYOUT
 */
typedef struct {
    VtdWorkerKind kind;
    uid_t uid;
    gid_t gid;
    int layout_fd;
} VtdSandbox;

/**
 * vtd_sandbox_greet: Before anything else
 * @argv: the program, and the version of the daemon that started it; only the program if the
 *   service manager did
 *
 * Keeps no descriptor but the standard ones and %VTD_WORKER_FD, and nothing of the environment. A
 * terminal's Ctrl-C is the daemon's business; a closed socket is an error that is looked at.
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
 * memory, files and processes, no network unless it is its work, no paths but those it needs
 * (where the kernel has Landlock), no system call but those it needs: others kill it. Everything
 * or nothing: on failure the worker must end.
 *
 * @error: %VT_ERROR_DENIED
 */
bool vtd_sandbox_enter(const VtdSandbox *sandbox, GError **error);
