/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* storm.c: many clients call random functions of libvirt's storage API at the same time
 *
 *     storm READERS WRITERS CALLS SEED LIMIT_MS
 *
 * Each client is a thread with a connection of its own: READERS read-only ones, WRITERS that may do
 * everything. Together they make CALLS calls on the pools `templates` and `default`. What a writer
 * has made it deletes in the end. What a call returns does not matter, only that it returns: within
 * LIMIT_MS, and not because libvirtd is gone. Prints how many calls there were, and the longest.
 */
#include "storm.h"

#include <glib/gprintf.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <stdlib.h>

/* To the end of all time limits; a call that takes longer is a deadlock */
#define DEADLOCK_S 120

typedef struct {
    Client client;
    GThread *thread;
} Worker;

static void
ignore_error(void *user, virErrorPtr error)
{
}

/* Whether the connection, not the call, has failed */
static bool
is_gone(void)
{
    virErrorPtr error = virGetLastError();

    return error && (error->code == VIR_ERR_RPC || error->code == VIR_ERR_NO_CONNECT ||
                     (error->code == VIR_ERR_SYSTEM_ERROR && error->domain == VIR_FROM_RPC) ||
                     (error->code == VIR_ERR_INTERNAL_ERROR && error->domain == VIR_FROM_RPC));
}

/* One call of the table, measured */
static void
make_call(Client *client)
{
    const Call *table = client->writes && g_rand_boolean(client->random) ? write_calls : read_calls;
    const guint length = table == write_calls ? write_call_count : read_call_count;
    const Call *call = &table[g_rand_int_range(client->random, 0, (gint32)length)];
    gint64 took;

    virResetLastError();
    g_atomic_pointer_set(&client->calling, call->name);
    client->started = g_get_monotonic_time();
    call->make(client);
    took = g_get_monotonic_time() - client->started;
    g_atomic_pointer_set(&client->calling, NULL);
    client->calls++;
    if (virGetLastError())
        client->errors++;
    if (took > client->longest_us) {
        client->longest_us = took;
        client->longest = call->name;
    }
    if (is_gone()) {
        g_fprintf(stderr, "storm: %s: %s\n", call->name, virGetLastErrorMessage());
        client->gone = true;
    }
}

static gpointer
run_client(gpointer data)
{
    Worker *worker = data;
    Client *client = &worker->client;

    client->connection = client->writes ? virConnectOpen(NULL) : virConnectOpenReadOnly(NULL);
    if (!client->connection) {
        g_fprintf(stderr, "storm: cannot connect: %s\n", virGetLastErrorMessage());
        client->gone = true;
        return NULL;
    }
    while (!client->gone && g_atomic_int_add(client->left, -1) > 0)
        make_call(client);
    if (client->writes && !client->gone)
        delete_own(client);
    virConnectClose(client->connection);
    return NULL;
}

/* A deadlock must end with a message, not with the time limit of the suite */
static gpointer
watch(gpointer data)
{
    const GPtrArray *workers = data;

    for (;;) {
        g_usleep(G_USEC_PER_SEC);
        for (guint i = 0; i < workers->len; i++) {
            Client *client = &((Worker *)workers->pdata[i])->client;
            const char *calling = g_atomic_pointer_get(&client->calling);
            const gint64 since = g_get_monotonic_time() - client->started;

            if (!calling || since < DEADLOCK_S * G_USEC_PER_SEC)
                continue;
            g_fprintf(stderr, "storm: %s of client %u has not returned for %d s\n", calling, i,
                      DEADLOCK_S);
            _Exit(3);
        }
    }
    return NULL;
}

static int
report(const GPtrArray *workers, gint64 limit_us)
{
    guint64 calls = 0, errors = 0;
    const Client *longest = &((const Worker *)workers->pdata[0])->client;
    bool gone = false;

    for (guint i = 0; i < workers->len; i++) {
        const Client *client = &((const Worker *)workers->pdata[i])->client;

        calls += client->calls;
        errors += client->errors;
        gone = gone || client->gone;
        if (client->longest_us > longest->longest_us)
            longest = client;
    }
    g_printf("calls %" G_GUINT64_FORMAT "\nerrors %" G_GUINT64_FORMAT "\nlongest %.3f s %s\n",
             calls, errors, (double)longest->longest_us / G_USEC_PER_SEC,
             longest->longest ? longest->longest : "-");
    if (gone)
        return 1;
    return longest->longest_us > limit_us ? 2 : 0;
}

static guint64
number(const char *text)
{
    return g_ascii_strtoull(text, NULL, 10);
}

int
main(int argc, char **argv)
{
    g_autoptr(GPtrArray) workers = g_ptr_array_new_with_free_func(g_free);
    gint left;

    if (argc != 6) {
        g_fprintf(stderr, "usage: storm READERS WRITERS CALLS SEED LIMIT_MS\n");
        return 64;
    }
    virInitialize();
    virSetErrorFunc(NULL, ignore_error);
    left = (gint)number(argv[3]);
    for (guint i = 0; i < number(argv[1]) + number(argv[2]); i++) {
        Worker *worker = g_new0(Worker, 1);

        worker->client.number = i;
        worker->client.writes = i < number(argv[2]);
        worker->client.left = &left;
        worker->client.random = g_rand_new_with_seed((guint32)number(argv[4]) * 1000 + i);
        g_ptr_array_add(workers, worker);
    }
    for (guint i = 0; i < workers->len; i++)
        ((Worker *)workers->pdata[i])->thread =
            g_thread_new("client", run_client, workers->pdata[i]);
    g_thread_unref(g_thread_new("watch", watch, workers));
    for (guint i = 0; i < workers->len; i++) {
        g_thread_join(((Worker *)workers->pdata[i])->thread);
        g_rand_free(((Worker *)workers->pdata[i])->client.random);
    }
    exit(report(workers, (gint64)number(argv[5]) * 1000));
}
