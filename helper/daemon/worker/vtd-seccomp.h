/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seccomp.h: the system calls that are left to a process */
#pragma once

#include "vt-error.h"

/**
 * VtdCalls: what a worker does, a set of bits; VTD_CALLS_BASE is in each of them
 * @VTD_CALLS_BASE: memory without code, threads, clocks, bytes through fds that it has
 * @VTD_CALLS_DISK: reserve, share and sync ranges of files that it has
 * @VTD_CALLS_READ: open a path for reading
 * @VTD_CALLS_BENEATH: openat2(), which cannot be looked into
 * @VTD_CALLS_CODE: map a file's code, as dlopen() does
 * @VTD_CALLS_INTERNET: TCP and UDP as a client
 * @VTD_CALLS_PROGRAMS: start another program, which inherits all this
 */
typedef enum {
    VTD_CALLS_BASE = 1 << 0,
    VTD_CALLS_DISK = 1 << 1,
    VTD_CALLS_READ = 1 << 2,
    VTD_CALLS_BENEATH = 1 << 3,
    VTD_CALLS_CODE = 1 << 4,
    VTD_CALLS_INTERNET = 1 << 5,
    VTD_CALLS_PROGRAMS = 1 << 6,
} VtdCalls;

/**
 * vtd_seccomp_allow: All calls but those of @calls kill the process from now on
 *
 * What libraries ask for and can do without fails instead, see the table. Needs no_new_privs.
 *
 * @error: %VT_ERROR_DENIED
 */
bool vtd_seccomp_allow(unsigned calls, GError **error);

/**
 * vtd_seccomp_deny: Calls that no part of the daemon needs fail with EPERM from now on, its
 * workers' too
 *
 * @error: %VT_ERROR_DENIED
 */
bool vtd_seccomp_deny(GError **error);
