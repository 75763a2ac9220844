/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-landlock.h: the part of the file system that is left to a process */
#pragma once

#include "vt-error.h"

/**
 * VtdPaths:
 * @reads: (array zero-terminated=1) (nullable): may be read, with all below; need not exist
 * @runs: (array zero-terminated=1) (nullable): may be read and executed
 * @read_fd: a directory that may be read, or -1
 * @connects: may make TCP connections; nobody may listen
 */
typedef struct {
    const char *const *reads;
    const char *const *runs;
    int read_fd;
    bool connects;
} VtdPaths;

/**
 * vtd_landlock_restrict: landlock(7), as far as the kernel has it; without it this does nothing
 *
 * No path but those of @paths can be opened, nothing be made, changed or executed, no abstract
 * socket be reached and no process outside be signalled. Files that are open stay as they are.
 * Needs no_new_privs.
 *
 * @error: %VT_ERROR_DENIED: the kernel has it, and refused
 */
bool vtd_landlock_restrict(const VtdPaths *paths, GError **error);
