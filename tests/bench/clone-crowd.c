/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clone-crowd.c: makes clones by many clients of libvirt at once, and times all of them */
#include <glib.h>
#include <glib/gprintf.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>

/*
 * clone-crowd CLIENTS COUNT POOL SOURCE_POOL SOURCE_VOLUME PREFIX
 *
 * Each client has a connection of its own, which is there before the first clone is asked for.
 * Prints the microseconds from then until the last of COUNT clones is there. The volumes
 * PREFIX-N.qcow2 stay. Fails if one clone fails.
 */
#define CLIENTS_MAX 200

typedef struct {
    char **argv;
    guint clients;
    guint count;
    GMutex lock;
    GCond changed;
    guint ready; /* under lock */
    bool begun;  /* under lock */
    gint64 end;  /* of the last one; under lock */
    gint failed; /* atomic */
    gint next;   /* of all clones; atomic */
} Crowd;

static bool
make_clones(Crowd *crowd, virStoragePoolPtr pool, virStorageVolPtr source)
{
    guint number;

    while ((number = (guint)g_atomic_int_add(&crowd->next, 1)) < crowd->count) {
        g_autofree char *xml = g_strdup_printf("<volume><name>%s-%u.qcow2</name>"
                                               "<capacity>0</capacity>"
                                               "<target><format type='qcow2'/></target></volume>",
                                               crowd->argv[6], number);
        virStorageVolPtr volume = virStorageVolCreateXMLFrom(pool, xml, source, 0);

        if (!volume)
            return false; /* libvirt has printed why */
        virStorageVolFree(volume);
    }
    return true;
}

static void
wait_for_all(Crowd *crowd)
{
    g_mutex_lock(&crowd->lock);
    crowd->ready++;
    g_cond_broadcast(&crowd->changed);
    while (!crowd->begun)
        g_cond_wait(&crowd->changed, &crowd->lock);
    g_mutex_unlock(&crowd->lock);
}

static gpointer
client(gpointer data)
{
    Crowd *crowd = data;
    virConnectPtr connection = virConnectOpen(NULL);
    virStoragePoolPtr from =
        connection ? virStoragePoolLookupByName(connection, crowd->argv[4]) : NULL;
    virStoragePoolPtr pool =
        connection ? virStoragePoolLookupByName(connection, crowd->argv[3]) : NULL;
    virStorageVolPtr source = from ? virStorageVolLookupByName(from, crowd->argv[5]) : NULL;

    wait_for_all(crowd);
    if (!pool || !source || !make_clones(crowd, pool, source))
        g_atomic_int_inc(&crowd->failed);
    g_mutex_lock(&crowd->lock);
    crowd->end = g_get_monotonic_time();
    g_mutex_unlock(&crowd->lock);
    g_clear_pointer(&source, virStorageVolFree);
    g_clear_pointer(&pool, virStoragePoolFree);
    g_clear_pointer(&from, virStoragePoolFree);
    g_clear_pointer(&connection, virConnectClose);
    return NULL;
}

/* Returns: when the clients began */
static gint64
begin(Crowd *crowd)
{
    gint64 now;

    g_mutex_lock(&crowd->lock);
    while (crowd->ready < crowd->clients)
        g_cond_wait(&crowd->changed, &crowd->lock);
    now = g_get_monotonic_time();
    crowd->begun = true;
    g_cond_broadcast(&crowd->changed);
    g_mutex_unlock(&crowd->lock);
    return now;
}

int
main(int argc, char **argv)
{
    Crowd crowd = {.argv = argv};
    GThread *threads[CLIENTS_MAX];
    gint64 start;

    if (argc != 7) {
        g_fprintf(stderr, "usage: clone-crowd CLIENTS COUNT POOL SOURCE_POOL VOLUME PREFIX\n");
        return 2;
    }
    crowd.clients = MIN((guint)g_ascii_strtoull(argv[1], NULL, 10), CLIENTS_MAX);
    crowd.count = (guint)g_ascii_strtoull(argv[2], NULL, 10);
    for (guint i = 0; i < crowd.clients; i++)
        threads[i] = g_thread_new("client", client, &crowd);
    start = begin(&crowd);
    for (guint i = 0; i < crowd.clients; i++)
        g_thread_join(threads[i]);
    g_printf("%" G_GINT64_FORMAT "\n", crowd.end - start);
    return crowd.failed ? 1 : 0;
}
