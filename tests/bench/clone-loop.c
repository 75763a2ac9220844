/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clone-loop.c: makes clones one after the other through libvirt's public API, and times them */
#include <glib.h>
#include <glib/gprintf.h>
#include <libvirt/libvirt.h>
#include <stdbool.h>

/*
 * clone-loop from|backing|cycle COUNT POOL SOURCE_POOL SOURCE_VOLUME PREFIX
 *
 * from:    virStorageVolCreateXMLFrom, what `virsh vol-create-from` calls
 * backing: virStorageVolCreateXML with a <backingStore>, what provisioning tools call
 * cycle:   as from, and each clone is deleted before the next one is made
 *
 * Prints the microseconds of each clone, one a line. The volumes PREFIX-N.qcow2 stay but for cycle.
 */
typedef struct {
    virStoragePoolPtr pool;
    virStorageVolPtr source;
    char *source_path;
    unsigned long long capacity;
    const char *prefix;
    bool deletes;
} Loop;

typedef virStorageVolPtr (*CloneFunc)(const Loop *loop, const char *name);

static virStorageVolPtr
clone_from(const Loop *loop, const char *name)
{
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity>%llu</capacity>"
                                           "<target><format type='qcow2'/></target></volume>",
                                           name, loop->capacity);

    return virStorageVolCreateXMLFrom(loop->pool, xml, loop->source, 0);
}

static virStorageVolPtr
clone_backing(const Loop *loop, const char *name)
{
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity>%llu</capacity>"
                                           "<target><format type='qcow2'/></target>"
                                           "<backingStore><path>%s</path><format type='qcow2'/>"
                                           "</backingStore></volume>",
                                           name, loop->capacity, loop->source_path);

    return virStorageVolCreateXML(loop->pool, xml, 0);
}

static int
run(const Loop *loop, CloneFunc clone, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *name = g_strdup_printf("%s-%u.qcow2", loop->prefix, i);
        gint64 start = g_get_monotonic_time();
        virStorageVolPtr volume = clone(loop, name);
        bool deleted;

        if (!volume)
            return 1; /* libvirt has printed why */
        g_printf("%" G_GINT64_FORMAT "\n", g_get_monotonic_time() - start);
        deleted = !loop->deletes || virStorageVolDelete(volume, 0) == 0;
        virStorageVolFree(volume);
        if (!deleted)
            return 1;
    }
    return 0;
}

static bool
open_source(virConnectPtr connection, char **argv, Loop *loop)
{
    virStoragePoolPtr source_pool = virStoragePoolLookupByName(connection, argv[4]);
    virStorageVolInfo info;

    loop->pool = virStoragePoolLookupByName(connection, argv[3]);
    if (!source_pool || !loop->pool)
        return false;
    loop->source = virStorageVolLookupByName(source_pool, argv[5]);
    virStoragePoolFree(source_pool);
    if (!loop->source || virStorageVolGetInfo(loop->source, &info) < 0)
        return false;
    loop->source_path = virStorageVolGetPath(loop->source);
    loop->capacity = info.capacity;
    loop->prefix = argv[6];
    return loop->source_path != NULL;
}

int
main(int argc, char **argv)
{
    virConnectPtr connection;
    Loop loop = {0};
    int status = 1;

    if (argc != 7) {
        g_fprintf(stderr,
                  "usage: clone-loop from|backing|cycle COUNT POOL SOURCE_POOL VOLUME PREFIX\n");
        return 2;
    }
    connection = virConnectOpen(NULL);
    if (!connection)
        return 1;
    loop.deletes = g_str_equal(argv[1], "cycle");
    if (open_source(connection, argv, &loop))
        status = run(&loop, g_str_equal(argv[1], "backing") ? clone_backing : clone_from,
                     (guint)g_ascii_strtoull(argv[2], NULL, 10));
    g_free(loop.source_path);
    g_clear_pointer(&loop.source, virStorageVolFree);
    g_clear_pointer(&loop.pool, virStoragePoolFree);
    virConnectClose(connection);
    return status;
}
