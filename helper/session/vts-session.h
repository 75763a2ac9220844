/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vts-session.h: the helper of a user who is not root: its places, and how it is started */
#pragma once

#include <gio/gio.h>
#include <stdbool.h>

/** vts_is_session: Returns: whether this process has a helper of its own: it is not root's */
bool vts_is_session(void);

/**
 * vts_run_dir: Returns: (transfer full): where socket and lock are
 *
 * `virt-template` in $XDG_RUNTIME_DIR, else in `/run/user/UID`, which libvirt's hooks have instead
 * of the variable, else in the user's cache.
 */
char *vts_run_dir(void);
/** vts_socket: Returns: (transfer full): in vts_run_dir() */
char *vts_socket(void);
/** vts_state_dir: Returns: (transfer full): `virt-template` in $XDG_STATE_HOME or ~/.local/state */
char *vts_state_dir(void);
/** vts_config_file: Returns: (transfer full): @name in `virt-template` in $XDG_CONFIG_HOME or
 *  ~/.config */
char *vts_config_file(const char *name);

/** vts_policy_file: Returns: (transfer full): the user's policy.json if there is one, else
 *  @of_host */
char *vts_policy_file(const char *of_host);

/** vts_is_own: Whether the other end of @connection is a program of the same user; %G_IO_ERROR */
bool vts_is_own(GDBusConnection *connection, GError **error);

/** vts_program: Returns: (transfer none): where virttemplated is installed */
const char *vts_program(void);

/**
 * vts_start:
 * @program: virttemplated
 * @deadline: monotonic time
 * @error: %G_IO_ERROR; what the program said, %G_IO_ERROR_TIMED_OUT at @deadline
 *
 * Starts the helper, unless it runs, and returns when it answers. Any number of processes and
 * threads may do so at the same time: the helpers settle it. It inherits no fd, and does not end
 * with the caller. Safe in a program with threads.
 */
bool vts_start(const char *program, gint64 deadline, GError **error);
