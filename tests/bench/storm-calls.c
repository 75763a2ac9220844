/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* storm-calls.c: the calls of the storm, with arguments of which some make no sense */
#include "storm.h"

#include <glib/gprintf.h>
#include <string.h>

#define TEMPLATES "/var/lib/libvirt/images/templates"
#define DEFAULT   "/var/lib/libvirt/images/default"
/* Bytes of an upload or a download; enough to see that the stream works */
#define STREAM_BYTES 65536

static const char *const pools[] = {"templates", "templates", "default", "default",
                                    "other",     "nothing",   "",        "../x"};
static const char *const volumes[] = {
    "debian@1.0.0.qcow2",
    "debian@1.1.0.qcow2",
    "debian.qcow2",
    "keep.qcow2",
    "small.qcow2",
    "debian@9.9.9.qcow2",
    ".layers",
    "",
    "../../../../etc/passwd",
};
static const char *const paths[] = {
    TEMPLATES "/debian@1.0.0.qcow2",
    TEMPLATES "/debian@1.1.0.qcow2",
    TEMPLATES "/debian.qcow2",
    TEMPLATES,
    DEFAULT "/keep.qcow2",
    DEFAULT "/small.qcow2",
    DEFAULT "//keep.qcow2",
    DEFAULT,
    "/",
    "/nothing",
    "relative",
    "",
};

#define POOL_BEGIN    "<pool type='dir' xmlns:template='urn:virt-template:pool:1'>"
#define POOL_END(URL) "<template:store url='" URL "'/></pool>"

#define PICK(client, list) (list)[g_rand_int_range((client)->random, 0, G_N_ELEMENTS(list))]

static virStoragePoolPtr
some_pool(Client *client)
{
    return virStoragePoolLookupByName(client->connection, PICK(client, pools));
}

static virStorageVolPtr
volume_of(Client *client, const char *pool_name, const char *name)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(client->connection, pool_name);
    virStorageVolPtr volume = pool ? virStorageVolLookupByName(pool, name) : NULL;

    g_clear_pointer(&pool, virStoragePoolFree);
    return volume;
}

static virStorageVolPtr
some_volume(Client *client)
{
    return volume_of(client, PICK(client, pools), PICK(client, volumes));
}

/* ---- what everybody may ---- */

static void
lookup_by_target(Client *client)
{
    virStoragePoolPtr pool =
        virStoragePoolLookupByTargetPath(client->connection, PICK(client, paths));

    g_clear_pointer(&pool, virStoragePoolFree);
}

static void
lookup_by_uuid(Client *client)
{
    virStoragePoolPtr pool = some_pool(client), again = NULL;
    unsigned char uuid[VIR_UUID_BUFLEN] = {0};

    if (pool)
        virStoragePoolGetUUID(pool, uuid);
    again = virStoragePoolLookupByUUID(client->connection, uuid);
    g_clear_pointer(&again, virStoragePoolFree);
    g_clear_pointer(&pool, virStoragePoolFree);
}

static void
lookup_volume(Client *client, virStorageVolPtr (*lookup)(virConnectPtr, const char *))
{
    virStorageVolPtr volume = lookup(client->connection, PICK(client, paths));
    virStoragePoolPtr pool = volume ? virStoragePoolLookupByVolume(volume) : NULL;

    g_clear_pointer(&pool, virStoragePoolFree);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
lookup_by_path(Client *client)
{
    lookup_volume(client, virStorageVolLookupByPath);
}

static void
lookup_by_key(Client *client)
{
    lookup_volume(client, virStorageVolLookupByKey);
}

static void
list_pools(Client *client)
{
    g_autofree virStoragePoolPtr *list = NULL;
    const int count = virConnectListAllStoragePools(client->connection, &list, 0);

    for (int i = 0; i < count; i++)
        virStoragePoolFree(list[i]);
}

static void
list_volumes(Client *client)
{
    g_autofree virStorageVolPtr *list = NULL;
    virStoragePoolPtr pool = some_pool(client);
    const int count = pool ? virStoragePoolListAllVolumes(pool, &list, 0) : 0;

    for (int i = 0; i < count; i++)
        virStorageVolFree(list[i]);
    g_clear_pointer(&pool, virStoragePoolFree);
}

static void
pool_info(Client *client)
{
    virStoragePoolPtr pool = some_pool(client);
    virStoragePoolInfo info;

    if (!pool)
        return;
    virStoragePoolGetInfo(pool, &info);
    virStoragePoolNumOfVolumes(pool);
    virStoragePoolFree(pool);
}

static void
pool_xml(Client *client)
{
    virStoragePoolPtr pool = some_pool(client);

    if (pool)
        g_free(virStoragePoolGetXMLDesc(pool, 0));
    g_clear_pointer(&pool, virStoragePoolFree);
}

static void
volume_info(Client *client)
{
    virStorageVolPtr volume = some_volume(client);
    virStorageVolInfo info;

    if (volume)
        virStorageVolGetInfo(volume, &info);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
volume_xml(Client *client)
{
    virStorageVolPtr volume = some_volume(client);

    if (volume) {
        g_free(virStorageVolGetXMLDesc(volume, 0));
        g_free(virStorageVolGetPath(volume));
    }
    g_clear_pointer(&volume, virStorageVolFree);
}

/* Refused to those who may only read; never possible for a template that a clone needs */
static void
delete_template(Client *client)
{
    virStorageVolPtr volume = volume_of(client, "templates", "debian@1.0.0.qcow2");

    if (volume)
        virStorageVolDelete(volume, 0);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
resize_template(Client *client)
{
    virStorageVolPtr volume = volume_of(client, "templates", PICK(client, volumes));

    if (volume)
        virStorageVolResize(volume, 1ULL << 30, 0);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
find_sources(Client *client)
{
    static const char *const types[] = {"dir", "netfs", "logical", "nonsense"};

    g_free(virConnectFindStoragePoolSources(client->connection, PICK(client, types),
                                            "<source><host name='127.0.0.1'/></source>", 0));
}

/* ---- what changes something ---- */

static char *
own_name(const Client *client, guint n)
{
    return g_strdup_printf("storm-%u-%u.qcow2", client->number, n);
}

static void
clone_template(Client *client)
{
    static const char *const templates[] = {"debian.qcow2", "debian@1.0.0.qcow2",
                                            "debian@1.1.0.qcow2", "debian@9.9.9.qcow2"};
    g_autofree char *name = own_name(client, client->made);
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity>0</capacity>"
                                           "<target><format type='qcow2'/></target></volume>",
                                           name);
    virStorageVolPtr source = volume_of(client, "templates", PICK(client, templates));
    virStoragePoolPtr pool = virStoragePoolLookupByName(client->connection, "default");
    virStorageVolPtr volume =
        pool && source ? virStorageVolCreateXMLFrom(pool, xml, source, 0) : NULL;

    if (volume)
        client->made++;
    g_clear_pointer(&volume, virStorageVolFree);
    g_clear_pointer(&pool, virStoragePoolFree);
    g_clear_pointer(&source, virStorageVolFree);
}

/* With and without a template below it, and with names that must be refused */
static void
create_volume(Client *client)
{
    static const char *const names[] = {"debian@3.0.0.qcow2", ".layers", "../evil", "a/b", ""};
    static const char *const backing[] = {
        "",
        "<backingStore><path>" TEMPLATES "/debian@1.0.0.qcow2</path>"
        "<format type='qcow2'/></backingStore>",
        "<backingStore><path>" TEMPLATES "/debian@9.9.9.qcow2</path>"
        "<format type='qcow2'/></backingStore>",
        "<backingStore><path>relative</path></backingStore>",
    };
    const bool bad = g_rand_int_range(client->random, 0, 4) == 0;
    g_autofree char *own = own_name(client, client->made);
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity>67108864</capacity>"
                                           "<target><format type='qcow2'/></target>%s</volume>",
                                           bad ? PICK(client, names) : own, PICK(client, backing));
    virStoragePoolPtr pool =
        virStoragePoolLookupByName(client->connection, bad ? "templates" : "default");
    virStorageVolPtr volume = pool ? virStorageVolCreateXML(pool, xml, 0) : NULL;

    if (volume && !bad)
        client->made++;
    g_clear_pointer(&volume, virStorageVolFree);
    g_clear_pointer(&pool, virStoragePoolFree);
}

/* Returns: (nullable): the volume that it has made last */
static virStorageVolPtr
own_volume(Client *client)
{
    g_autofree char *name = NULL;

    if (client->made == 0)
        return NULL;
    name = own_name(client, client->made - 1);
    return volume_of(client, "default", name);
}

static void
delete_volume(Client *client)
{
    virStorageVolPtr volume = own_volume(client);

    if (volume && virStorageVolDelete(volume, 0) == 0)
        client->made--;
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
resize_volume(Client *client)
{
    virStorageVolPtr volume = own_volume(client);

    if (volume)
        virStorageVolResize(volume, 128ULL << 20, 0);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
refresh_pool(Client *client)
{
    virStoragePoolPtr pool = some_pool(client);

    if (pool)
        virStoragePoolRefresh(pool, 0);
    g_clear_pointer(&pool, virStoragePoolFree);
}

/* Every second one is cut off in the middle */
static void
end_stream(Client *client, virStreamPtr stream)
{
    if (g_rand_boolean(client->random) || virStreamFinish(stream) < 0)
        virStreamAbort(stream);
}

static void
download(Client *client)
{
    virStorageVolPtr volume = some_volume(client);
    virStreamPtr stream = virStreamNew(client->connection, 0);
    char data[4096];

    if (volume && stream && virStorageVolDownload(volume, stream, 0, STREAM_BYTES, 0) == 0) {
        while (virStreamRecv(stream, data, sizeof(data)) > 0)
            ;
        end_stream(client, stream);
    }
    g_clear_pointer(&stream, virStreamFree);
    g_clear_pointer(&volume, virStorageVolFree);
}

/* To a volume that is nobody's clone, or to a template, which is refused */
static void
upload(Client *client)
{
    virStorageVolPtr volume = g_rand_boolean(client->random)
                                  ? volume_of(client, "default", "small.qcow2")
                                  : volume_of(client, "templates", "debian@1.0.0.qcow2");
    virStreamPtr stream = virStreamNew(client->connection, 0);
    const char data[4096] = {0};

    if (volume && stream && virStorageVolUpload(volume, stream, 1 << 20, sizeof(data), 0) == 0) {
        virStreamSend(stream, data, sizeof(data));
        end_stream(client, stream);
    }
    g_clear_pointer(&stream, virStreamFree);
    g_clear_pointer(&volume, virStorageVolFree);
}

static void
define_nonsense(Client *client)
{
    static const char *const xml[] = {
        POOL_BEGIN "<name>bad</name><target><path>/srv/bad</path></target>" POOL_END("nonsense"),
        POOL_BEGIN "<name>templates</name><target><path>/</path></target>" POOL_END(""),
        "<pool type='dir'><name>templates</name><target><path>/x</path></target></pool>",
        "<pool",
    };
    virStoragePoolPtr pool = virStoragePoolDefineXML(client->connection, PICK(client, xml), 0);

    g_clear_pointer(&pool, virStoragePoolFree);
}

/* A second template pool, which comes and goes */
static void
toggle_pool(Client *client)
{
    virStoragePoolPtr pool = virStoragePoolLookupByName(client->connection, "other");

    if (!pool)
        return;
    if (virStoragePoolIsActive(pool) == 1)
        virStoragePoolDestroy(pool);
    else
        virStoragePoolCreate(pool, 0);
    virStoragePoolFree(pool);
}

void
delete_own(Client *client)
{
    for (guint made = client->made + 1; client->made > 0 && client->made < made;) {
        made = client->made;
        delete_volume(client);
    }
}

const Call read_calls[] = {
    {"lookup of a pool by target", lookup_by_target},
    {"lookup of a pool by UUID", lookup_by_uuid},
    {"lookup of a volume by path", lookup_by_path},
    {"lookup of a volume by key", lookup_by_key},
    {"list of pools", list_pools},
    {"list of volumes", list_volumes},
    {"info of a pool", pool_info},
    {"XML of a pool", pool_xml},
    {"info of a volume", volume_info},
    {"XML of a volume", volume_xml},
    {"delete of a template", delete_template},
    {"resize of a template", resize_template},
    {"search for sources", find_sources},
};
const guint read_call_count = G_N_ELEMENTS(read_calls);

const Call write_calls[] = {
    {"clone", clone_template},
    {"clone, again", clone_template},
    {"create", create_volume},
    {"delete", delete_volume},
    {"delete, again", delete_volume},
    {"resize", resize_volume},
    {"refresh", refresh_pool},
    {"download", download},
    {"upload", upload},
    {"definition of nonsense", define_nonsense},
    {"start or stop of a pool", toggle_pool},
};
const guint write_call_count = G_N_ELEMENTS(write_calls);
