/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* storm.h: a client of the storm, and the calls that it can make */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>

/**
 * Client:
 * @left: calls that all clients together still make
 * @made: how many volumes it has made; their names are storm-NUMBER-N.qcow2
 * @calling, @started: for who watches
 * @gone: libvirtd does not answer any more
 */
typedef struct {
    virConnectPtr connection;
    GRand *random;
    gint *left;
    guint number;
    guint made;
    bool writes;
    bool gone;
    const char *calling;
    gint64 started;
    gint64 longest_us;
    const char *longest;
    guint64 calls;
    guint64 errors;
} Client;

typedef struct {
    const char *name;
    void (*make)(Client *client);
} Call;

/* Also of those who may only read: they must be refused what writes */
extern const Call read_calls[];
extern const guint read_call_count;
extern const Call write_calls[];
extern const guint write_call_count;

/** delete_own: Deletes the volumes that the client has made */
void delete_own(Client *client);
