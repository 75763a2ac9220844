/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon-fixture.h: a running virttemplated, a store, a key and a pool for one test */
#pragma once

#include "vt-error.h"

#include <gio/gio.h>
#include <gio/gunixfdlist.h>

/**
 * DaemonFixture:
 * @dir: temporary; holds `run`, `state`, `pool`, `store`, `policy.json`, `release.key`
 * @rw: connection to the socket for all methods
 * @ro: connection to the read-only socket
 */
typedef struct {
    char *dir;
    char *pool;
    char *store;
    GSubprocess *daemon;
    GDBusConnection *rw;
    GDBusConnection *ro;
} DaemonFixture;

/** daemon_set_up: Directories and a daemon; no store yet */
void daemon_set_up(DaemonFixture *f, gconstpointer data);
void daemon_tear_down(DaemonFixture *f, gconstpointer data);

/** daemon_start: Starts it and connects; daemon_stop() ends it with @signal */
void daemon_start(DaemonFixture *f);
void daemon_stop(DaemonFixture *f, int signal);

/** daemon_connect_as: Connects to the read-only socket, as root in the place of another user; the
 *  directory `run` must let him in.
 *  Returns: (transfer full) (nullable) */
GDBusConnection *daemon_connect_as(const DaemonFixture *f, uid_t uid);

/** daemon_path: Returns: (transfer full): `DIR/NAME` */
char *daemon_path(const DaemonFixture *f, const char *name);

/** daemon_write: Writes a file below the directory */
void daemon_write(const DaemonFixture *f, const char *name, const char *text);

/** daemon_cli: Runs virt-template; asserts its exit status */
void daemon_cli(const DaemonFixture *f, int status, ...) G_GNUC_NULL_TERMINATED;

/** daemon_make_store: A key, a policy that trusts it, a store with debian-12@1.0.0 and @1.0.1, and
 *  the pool registered */
void daemon_make_store(DaemonFixture *f);

/** daemon_policy: A policy that trusts the key in the file @public_key, and nothing else */
void daemon_policy(DaemonFixture *f, const char *public_key);

/** daemon_register: RegisterPool with the fixture's store */
void daemon_register(DaemonFixture *f);
/** daemon_register_as: The same with any store, for a pool in @target */
void daemon_register_as(DaemonFixture *f, const char *name, const char *target, const char *url);

/**
 * daemon_call:
 * @arguments: (nullable): floating tuple
 *
 * Returns: (transfer full) (nullable): the answer; on an error @error has %VT_ERROR and its code
 */
GVariant *daemon_call(GDBusConnection *connection, const char *method, GVariant *arguments,
                      GError **error);
/** daemon_call_with: The same with descriptors; @fds: (nullable) */
GVariant *daemon_call_with(GDBusConnection *connection, const char *method, GVariant *arguments,
                           GUnixFDList *fds, GError **error);

/** daemon_send: Calls, and does not wait; @arguments: (nullable): floating tuple */
void daemon_send(GDBusConnection *connection, const char *method, GVariant *arguments);

/** daemon_begin_fetch: Returns: the job that fetches `debian-12` */
guint64 daemon_begin_fetch(DaemonFixture *f, const char *version);
/** daemon_wait: Returns: (transfer full): the job's status when it has ended, or after 10 s */
GVariant *daemon_wait(DaemonFixture *f, guint64 job);
/** daemon_fetch: Fetches and waits. Returns: (transfer full): the job's status */
GVariant *daemon_fetch(DaemonFixture *f, const char *version);

/** daemon_job_error: Returns: the VtError of a failed job; -1 if it did not fail */
int daemon_job_error(GVariant *status, const char *contains);

/** daemon_activate: Returns: (transfer full): one more daemon, with sockets `passed-rw` and
 * `passed-ro` as of systemd; it ends when it was idle for a second */
GSubprocess *daemon_activate(const DaemonFixture *f, const char *state_name);

/** daemon_overlay: MakeOverlay into a new file. Returns: whether it worked */
bool daemon_overlay(DaemonFixture *f, const char *version, const char *path, GError **error);

/** daemon_flags: Returns: flags of debian-12@VERSION in ListTemplates; 0 if it is not listed */
guint daemon_flags(DaemonFixture *f, const char *version, guint wait_ms, char **ret_warning);

/** daemon_flip: Flips one bit in the middle of the file */
void daemon_flip(const char *path);
