/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_pool.c: the template pools that run, and what is known of their templates */
#include "template_pool.h"

#include <sys/stat.h>

#define VOLUME_SUFFIX ".qcow2"
/* What the helper allows; here it only keeps strange names away from paths */
#define NAME_CHARS    "abcdefghijklmnopqrstuvwxyz0123456789._-"
#define VERSION_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-"

struct _virStorageTemplateRegistry {
    GMutex lock;
    GHashTable *pools;    /* target -> virStorageTemplatePool */
    GHashTable *building; /* path -> where it is until it is whole, or NULL */
    GHashTable *foreign;  /* set of paths */
};

static void
virStorageTemplateFree(void *opaque)
{
    virStorageTemplate *entry = opaque;

    g_free(entry->name);
    g_free(entry->version);
    g_free(entry);
}

static GVariant *
virStorageTemplateSettings(const virStoragePoolDef *def)
{
    const virStorageTemplatePoolConf *conf = def->namespaceData;
    char uuid[VIR_UUID_STRING_BUFLEN];
    GVariantDict dict;

    virUUIDFormat(def->uuid, uuid);
    g_variant_dict_init(&dict, NULL);
    g_variant_dict_insert(&dict, "name", "s", def->name);
    g_variant_dict_insert(&dict, "uuid", "s", uuid);
    g_variant_dict_insert(&dict, "store", "s", conf->store);
    if (conf->policy)
        g_variant_dict_insert(&dict, "policy", "s", conf->policy);
    if (conf->defaults)
        g_variant_dict_insert(&dict, "defaults", "s", conf->defaults);
    g_variant_dict_insert(&dict, "strategy", "s",
                          virStorageTemplatePoolConfIsFull(conf) ? "full" : "linked");
    g_variant_dict_insert(&dict, "cache-max", "t", (guint64)conf->cacheBytes);
    return g_variant_ref_sink(g_variant_dict_end(&dict));
}

virStorageTemplatePool *
virStorageTemplatePoolNew(const virStoragePoolDef *def)
{
    virStorageTemplatePool *pool = g_atomic_rc_box_new0(virStorageTemplatePool);

    pool->target = g_strdup(def->target.path);
    pool->full = virStorageTemplatePoolConfIsFull(def->namespaceData);
    pool->settings = virStorageTemplateSettings(def);
    pool->templates =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, virStorageTemplateFree);
    pool->current = g_hash_table_new(g_str_hash, g_str_equal);
    return pool;
}

static void
virStorageTemplatePoolClear(void *opaque)
{
    virStorageTemplatePool *pool = opaque;

    g_free(pool->target);
    g_variant_unref(pool->settings);
    g_hash_table_unref(pool->current);
    g_hash_table_unref(pool->templates);
}

void
virStorageTemplatePoolUnref(virStorageTemplatePool *pool)
{
    if (pool)
        g_atomic_rc_box_release_full(pool, virStorageTemplatePoolClear);
}

static void
virStorageTemplatePoolUnrefVoid(void *opaque)
{
    virStorageTemplatePoolUnref(opaque);
}

/* All of @text, at least one character */
static bool
virStorageTemplateOnly(const char *text, const char *chars)
{
    return *text && strspn(text, chars) == strlen(text);
}

virStorageTemplate *
virStorageTemplatePoolAdd(virStorageTemplatePool *pool, const virStorageTemplate *entry)
{
    virStorageTemplate *copy, *old;
    char *key;

    if (!virStorageTemplateOnly(entry->name, NAME_CHARS) || entry->name[0] == '.' ||
        !virStorageTemplateOnly(entry->version, VERSION_CHARS))
        return NULL;

    copy = g_new0(virStorageTemplate, 1);
    *copy = *entry;
    copy->name = g_strdup(entry->name);
    copy->version = g_strdup(entry->version);
    key = g_strconcat(copy->name, "@", copy->version, NULL);
    /* One that is listed twice takes its name with it */
    old = g_hash_table_lookup(pool->templates, key);
    if (old && g_hash_table_lookup(pool->current, old->name) == old)
        g_hash_table_remove(pool->current, old->name);
    g_hash_table_replace(pool->templates, key, copy);
    if (copy->flags & VIR_STORAGE_TEMPLATE_CURRENT)
        g_hash_table_replace(pool->current, copy->name, copy);
    return copy;
}

bool
virStorageTemplatePoolRegister(const virStorageTemplatePool *pool, virStorageTemplateClient *client,
                               gint64 deadline, GError **error)
{
    virStorageTemplateCall call = {
        .method = "RegisterPool",
        .arguments = g_variant_new("(s@a{sv})", pool->target, pool->settings),
        .reply_type = "()",
        .deadline = deadline,
    };
    g_autoptr(GVariant) reply = NULL;

    return virStorageTemplateClientCall(client, &call, &reply, error);
}

bool
virStorageTemplatePoolCall(const virStorageTemplatePool *pool, virStorageTemplateClient *client,
                           const virStorageTemplateCall *call, GVariant **ret_reply, GError **error)
{
    g_autoptr(GVariant) arguments = g_variant_ref_sink(call->arguments);
    virStorageTemplateCall again = *call;
    g_autoptr(GError) failure = NULL;

    again.arguments = arguments;
    if (virStorageTemplateClientCall(client, &again, ret_reply, &failure))
        return true;
    /* It is the pool that is not found, or the template; nobody says which */
    if (virStorageTemplateErrorIs(failure, "NotFound") &&
        virStorageTemplatePoolRegister(pool, client, call->deadline, NULL))
        return virStorageTemplateClientCall(client, &again, ret_reply, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

virStorageTemplateRegistry *
virStorageTemplateRegistryNew(void)
{
    virStorageTemplateRegistry *registry = g_new0(virStorageTemplateRegistry, 1);

    g_mutex_init(&registry->lock);
    registry->pools =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, virStorageTemplatePoolUnrefVoid);
    registry->building = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    registry->foreign = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return registry;
}

void
virStorageTemplateRegistryPut(virStorageTemplateRegistry *registry, virStorageTemplatePool *pool)
{
    g_mutex_lock(&registry->lock);
    g_hash_table_replace(registry->pools, g_strdup(pool->target), g_atomic_rc_box_acquire(pool));
    g_mutex_unlock(&registry->lock);
}

void
virStorageTemplateRegistryRemove(virStorageTemplateRegistry *registry, const char *target)
{
    g_mutex_lock(&registry->lock);
    g_hash_table_remove(registry->pools, target);
    g_mutex_unlock(&registry->lock);
}

virStorageTemplatePool *
virStorageTemplateRegistryGet(virStorageTemplateRegistry *registry, const char *target)
{
    virStorageTemplatePool *pool;

    g_mutex_lock(&registry->lock);
    pool = g_hash_table_lookup(registry->pools, target);
    if (pool)
        g_atomic_rc_box_acquire(pool);
    g_mutex_unlock(&registry->lock);
    return pool;
}

void
virStorageTemplateRegistrySetBuilding(virStorageTemplateRegistry *registry, const char *path,
                                      bool building)
{
    g_mutex_lock(&registry->lock);
    if (building)
        g_hash_table_insert(registry->building, g_strdup(path), NULL);
    else
        g_hash_table_remove(registry->building, path);
    g_mutex_unlock(&registry->lock);
}

void
virStorageTemplateRegistrySetHidden(virStorageTemplateRegistry *registry, const char *path,
                                    const char *hidden)
{
    g_mutex_lock(&registry->lock);
    g_hash_table_insert(registry->building, g_strdup(path), g_strdup(hidden));
    g_mutex_unlock(&registry->lock);
}

char *
virStorageTemplateRegistryGetBuilding(virStorageTemplateRegistry *registry, const char *path)
{
    void *hidden = NULL;
    char *where = NULL;

    g_mutex_lock(&registry->lock);
    if (g_hash_table_lookup_extended(registry->building, path, NULL, &hidden))
        where = g_strdup(hidden ? hidden : path);
    g_mutex_unlock(&registry->lock);
    return where;
}

bool
virStorageTemplateRegistryIsHidden(virStorageTemplateRegistry *registry, const char *name)
{
    GHashTableIter iter;
    void *hidden;
    bool found = false;

    g_mutex_lock(&registry->lock);
    g_hash_table_iter_init(&iter, registry->building);
    while (!found && g_hash_table_iter_next(&iter, NULL, &hidden))
        found = hidden && g_str_has_suffix(hidden, name);
    g_mutex_unlock(&registry->lock);
    return found;
}

void
virStorageTemplateRegistrySetForeign(virStorageTemplateRegistry *registry, const char *path)
{
    g_mutex_lock(&registry->lock);
    g_hash_table_add(registry->foreign, g_strdup(path));
    g_mutex_unlock(&registry->lock);
}

bool
virStorageTemplateRegistryTakeForeign(virStorageTemplateRegistry *registry, const char *path)
{
    bool foreign;

    g_mutex_lock(&registry->lock);
    foreign = g_hash_table_remove(registry->foreign, path);
    g_mutex_unlock(&registry->lock);
    return foreign;
}

/* debian-12@1.2.0-rc.1+b5.qcow2, debian-12.qcow2 */
bool
virStorageTemplateNameParse(const char *volume, char **ret_name, char **ret_version)
{
    g_autofree char *name = NULL;
    char *at;

    if (!g_str_has_suffix(volume, VOLUME_SUFFIX))
        return false;
    name = g_strndup(volume, strlen(volume) - strlen(VOLUME_SUFFIX));
    at = strchr(name, '@');
    if (at) {
        *at++ = '\0';
        if (!virStorageTemplateOnly(at, VERSION_CHARS))
            return false;
    }
    if (!virStorageTemplateOnly(name, NAME_CHARS) || name[0] == '.')
        return false;
    *ret_version = g_strdup(at);
    *ret_name = g_steal_pointer(&name);
    return true;
}

bool
virStorageTemplateNameIsVersion(const char *volume)
{
    g_autofree char *name = NULL, *version = NULL;

    return virStorageTemplateNameParse(volume, &name, &version) && version;
}

/* The version that the form without version stands for */
static char *
virStorageTemplateCurrentVersion(virStorageTemplatePool *pool, const char *name, const char *path)
{
    const virStorageTemplate *entry = g_hash_table_lookup(pool->current, name);
    struct stat sb;

    /* A file of this name is a volume like any other: a clone, or an image somebody put here */
    if (!entry || lstat(path, &sb) == 0)
        return NULL;
    return g_strdup(entry->version);
}

virStorageTemplateRef *
virStorageTemplateRegistryFind(virStorageTemplateRegistry *registry, const char *path)
{
    g_autofree char *target = g_path_get_dirname(path);
    g_autofree char *volume = g_path_get_basename(path);
    g_autofree char *name = NULL, *version = NULL;
    g_autoptr(virStorageTemplatePool) pool = virStorageTemplateRegistryGet(registry, target);
    virStorageTemplateRef *ref;

    if (!pool || !virStorageTemplateNameParse(volume, &name, &version))
        return NULL;
    if (!version)
        version = virStorageTemplateCurrentVersion(pool, name, path);
    if (!version)
        return NULL;
    ref = g_new0(virStorageTemplateRef, 1);
    ref->path = g_strdup_printf("%s/%s@%s" VOLUME_SUFFIX, pool->target, name, version);
    ref->pool = g_steal_pointer(&pool);
    ref->name = g_steal_pointer(&name);
    ref->version = g_steal_pointer(&version);
    return ref;
}

const virStorageTemplate *
virStorageTemplateRefGet(const virStorageTemplateRef *ref)
{
    g_autofree char *key = g_strconcat(ref->name, "@", ref->version, NULL);

    return g_hash_table_lookup(ref->pool->templates, key);
}

void
virStorageTemplateRefFree(virStorageTemplateRef *ref)
{
    if (!ref)
        return;
    virStorageTemplatePoolUnref(ref->pool);
    g_free(ref->name);
    g_free(ref->version);
    g_free(ref->path);
    g_free(ref);
}
