/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-session.h: virttemplated for one user: started when it is needed, and one at a time */
#pragma once

#include "vtd-config.h"

/**
 * vtd_session_lock:
 * @run_dir: made if it is not there; nobody but the user may use it
 * @ret_fd: (out): held until it is closed, or this process ends; -1: another one answers already
 * @error: %VT_ERROR_DENIED: the directory is somebody else's; %VT_ERROR_BUSY: another one has the
 *   lock and does not answer
 */
bool vtd_session_lock(const char *run_dir, int *ret_fd, GError **error);

/**
 * vtd_background_begin:
 * @ret_fd: (out): for vtd_background_ready()
 *
 * Goes on in a child of its own session; the parent waits for it and ends with its status, which is
 * 0 as soon as the child is ready. Before any thread.
 */
bool vtd_background_begin(int *ret_fd, GError **error);

/** vtd_background_ready: Lets the parent end; from now on messages go to @log, and *@fd is -1 */
bool vtd_background_ready(int *fd, const char *log, GError **error);
