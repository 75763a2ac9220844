/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal-manager.h: jobs of systemd, over the message bus */
#pragma once

#include "vt-error.h"

/* The message bus, on which systemd answers. Its own socket, without a bus, is private to its
 * tools: a message that comes along with the end of the handshake stays unread there. */
#define VT_SEAL_MANAGER "/run/dbus/system_bus_socket"

/**
 * vt_seal_manager_new:
 * @socket: of the message bus that systemd is on
 *
 * Nothing is connected before it is needed; then the connection is kept for all that follows, and
 * made again when the bus has closed it. Used by any number of threads, one after the other.
 */
typedef struct VtSealManager VtSealManager;
VtSealManager *vt_seal_manager_new(const char *socket);
void vt_seal_manager_free(VtSealManager *manager);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtSealManager, vt_seal_manager_free)

/** vt_seal_manager_is_there: Returns: whether there is such a bus */
bool vt_seal_manager_is_there(const VtSealManager *manager);

/**
 * VtSealJob:
 * @method: of systemd's manager, which answers with a job
 * @arguments: a tuple; a floating reference is taken
 * @unit: that the job is for
 * @path: that it mounts or unmounts
 * @done: what becomes of it: "mounted"
 * @is_done: whether it has
 * @before: state of the unit that is not the job's end: it was in it when the job was asked for
 */
typedef struct {
    const char *method;
    GVariant *arguments;
    const char *unit;
    const char *path;
    const char *done;
    bool (*is_done)(const char *path);
    const char *before;
} VtSealJob;

/** vt_seal_manager_run: One call, and one signal that comes by itself when the job has ended.
 *  Returns: true when that is so, and it is done */
bool vt_seal_manager_run(VtSealManager *manager, const VtSealJob *job, GError **error);
