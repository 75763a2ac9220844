/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-list.c: which templates a pool has, and what is known of one */
#include "vtd-methods.h"

#include "vt-name.h"

#define WAIT_MAX_MS 10000

/* flags of ListTemplates */
enum {
    FLAG_CURRENT = 1,
    FLAG_COMPLETE = 2,
    FLAG_REFUSED = 4,
    FLAG_FETCHING = 8,
    FLAG_NOT_LISTED = 16,
    FLAG_EXPIRED = 32,
};

/* One answer of ListTemplates in the making */
typedef struct {
    VtdDaemon *daemon;
    VtdPool *pool;
    /* (nullable): the pool's directory is there */
    VtPool *files;
    /* names in it; what is in the catalog is taken out */
    GHashTable *volumes;
    /* (nullable): what is wrong with files of versions, by inode */
    GHashTable *damaged;
    /* (nullable): why the whole catalog is refused */
    char *refused;
    /* what is not here is not fetched by the catalog any more */
    bool expired;
    GVariantBuilder *rows;
} List;

static uint64_t
allocation(VtPool *files, const char *name, const char *version)
{
    struct stat st;

    return files && vt_pool_stat_version(files, name, version, &st) ? (uint64_t)st.st_blocks * 512
                                                                    : 0;
}

/* Returns: what a version that is here takes of the disk; @reason: gets what is wrong with it */
static uint64_t
look_at(const List *list, const char *name, const char *version, const char **reason)
{
    struct stat st;
    guint64 inode;

    if (!vt_pool_stat_version(list->files, name, version, &st))
        return 0;
    inode = st.st_ino;
    if (!*reason && list->damaged)
        *reason = g_hash_table_lookup(list->damaged, &inode);
    return (uint64_t)st.st_blocks * 512;
}

static void
add_entry(List *list, const VtCatalogTemplate *template, const VtCatalogEntry *entry)
{
    g_autofree char *volume = vt_volume_name(template->name, entry->version);
    const char *reason =
        list->refused ? list->refused : vtd_pool_refusal(list->pool, &entry->manifest);
    uint64_t size = 0;
    guint flags = 0;

    if (g_hash_table_remove(list->volumes, volume))
        size = look_at(list, template->name, entry->version, &reason);
    if (g_str_equal(template->current, entry->version))
        flags |= FLAG_CURRENT;
    if (size > 0)
        flags |= FLAG_COMPLETE;
    else if (list->expired)
        flags |= FLAG_EXPIRED;
    if (reason)
        flags |= FLAG_REFUSED;
    if (vtd_jobs_running(list->daemon->jobs) > 0 &&
        vtd_jobs_involves(list->daemon->jobs, list->pool->settings->target, template->name,
                          entry->version))
        flags |= FLAG_FETCHING;
    g_variant_builder_add(list->rows, "(ssttus)", template->name, entry->version, entry->capacity,
                          size, flags, reason ? reason : "");
}

/* A version that is here although no catalog names it: its capacity is in its own header */
static void
add_file(List *list, const char *volume)
{
    g_autofree char *name = NULL;
    g_autofree char *version = NULL;
    uint64_t size;

    if (!vt_volume_name_parse(volume, &name, &version, NULL) || !version)
        return;
    size = allocation(list->files, name, version);
    if (size > 0)
        g_variant_builder_add(list->rows, "(ssttus)", name, version,
                              vt_pool_capacity(list->files, name, version), size,
                              FLAG_COMPLETE | FLAG_NOT_LISTED, "");
}

static void
add_all(List *list)
{
    const VtCatalog *catalog = list->pool->catalog;
    GHashTableIter iter;
    gpointer volume;

    for (guint i = 0; catalog && i < catalog->templates->len; i++) {
        const VtCatalogTemplate *template = catalog->templates->pdata[i];

        for (guint j = 0; j < template->versions->len; j++)
            add_entry(list, template, template->versions->pdata[j]);
    }
    g_hash_table_iter_init(&iter, list->volumes);
    while (g_hash_table_iter_next(&iter, &volume, NULL))
        add_file(list, volume);
}

static GVariant *
list_templates(VtdDaemon *daemon, VtdPool *pool)
{
    g_autoptr(GHashTable) volumes = NULL, damaged = NULL;
    g_autofree char *refused = NULL;
    g_autofree char *warning = NULL;
    g_autoptr(VtPool) files = NULL;
    g_autoptr(GError) error = NULL;
    GVariantBuilder rows;
    List list;

    vtd_pool_review(pool);
    vtd_pool_tell_expiry(pool);
    if (pool->catalog && !vtd_pool_check_catalog(pool, &error))
        refused = g_strdup(error->message);
    warning = vtd_pool_warning(pool);
    g_clear_error(&error);
    if (!vt_pool_open(pool->settings->target, &files, &error) ||
        !vt_pool_scan(files, &volumes, &error)) {
        g_free(warning);
        warning = g_strdup(error->message);
        volumes = g_hash_table_new(g_str_hash, g_str_equal);
    } else {
        damaged = vtd_pool_damaged_files(pool, files);
    }
    g_variant_builder_init(&rows, G_VARIANT_TYPE("a(ssttus)"));
    list = (List){
        daemon, pool, files, volumes, damaged, refused, vtd_pool_expiry(pool) == VTD_EXPIRY_OVER,
        &rows};
    add_all(&list);
    return g_variant_new("(a(ssttus)s)", &rows, warning ? warning : refused ? refused : "");
}

typedef struct {
    VtdCall *call;
    VtdPool *pool;
    guint timer;
    bool answered;
} Wait;

static void
wait_answer(Wait *wait)
{
    if (!wait->answered) {
        vtd_call_waited(wait->call);
        vtd_call_return(wait->call, list_templates(wait->call->daemon, wait->pool));
    }
    wait->answered = true;
    g_clear_handle_id(&wait->timer, g_source_remove);
}

static gboolean
waited_enough(gpointer data)
{
    Wait *wait = data;

    wait->timer = 0;
    wait_answer(wait);
    return G_SOURCE_REMOVE;
}

static void
refreshed(void *user)
{
    Wait *wait = user;

    wait_answer(wait);
    vtd_pool_unref(wait->pool);
    g_free(wait);
}

bool
vtd_method_list_templates(VtdCall *call, GError **error)
{
    const char *target;
    VtdPool *pool;
    guint wait_ms;
    Wait *wait;

    g_variant_get(call->arguments, "(&su)", &target, &wait_ms);
    if (!vtd_check_path(target, error) || !vtd_daemon_pool(call->daemon, target, &pool, error))
        return false;
    if (wait_ms == 0 || (!vtd_daemon_is_owner(call->peer_uid) && vtd_pool_spares(pool)) ||
        !vtd_call_may_wait(call)) {
        vtd_call_return(call, list_templates(call->daemon, pool));
        return true;
    }
    wait = g_new0(Wait, 1);
    *wait = (Wait){.call = call, .pool = vtd_pool_ref(pool)};
    wait->timer = g_timeout_add(MIN(wait_ms, WAIT_MAX_MS), waited_enough, wait);
    vtd_pool_refresh(pool, refreshed, wait);
    return true;
}

/* ---- one template ---- */

/* Paths of the layers of a version, the lowest first */
static GVariant *
list_layers(const VtdLocal *local, VtPool *files)
{
    GVariantBuilder paths;

    g_variant_builder_init(&paths, G_VARIANT_TYPE_STRING_ARRAY);
    for (guint i = 0; i < local->layers->len; i++) {
        g_autofree char *path =
            vt_pool_layer_path(files, &g_array_index(local->layers, VtDigest, i));

        g_variant_builder_add(&paths, "s", path);
    }
    return g_variant_builder_end(&paths);
}

static void
add_local(GVariantDict *info, const VtdLocal *local, VtPool *files)
{
    const VtDigest *top = &g_array_index(local->layers, VtDigest, local->layers->len - 1);
    g_autofree char *layer = vt_pool_layer_path(files, top);
    char text[VT_DIGEST_STRING_MAX];

    g_variant_dict_insert(info, "index", "s", vt_digest_format(top, text));
    g_variant_dict_insert(info, "size", "t", local->size);
    g_variant_dict_insert(info, "layer", "s", layer);
    if (local->layers->len > 1)
        g_variant_dict_insert_value(info, "chain", list_layers(local, files));
    if (local->signed_by)
        g_variant_dict_insert(info, "signed-by", "s", local->signed_by);
}

static void
add_catalog_entry(GVariantDict *info, const VtCatalogEntry *entry)
{
    char text[VT_DIGEST_STRING_MAX];

    g_variant_dict_insert(info, "version", "s", entry->version);
    g_variant_dict_insert(info, "capacity", "t", entry->capacity);
    g_variant_dict_insert(info, "manifest", "s", vt_digest_format(&entry->manifest, text));
    g_variant_dict_insert(info, "created", "s", entry->created ? entry->created : "");
    g_variant_dict_insert(info, "os", "s", entry->os ? entry->os : "");
    g_variant_dict_insert(info, "architecture", "s",
                          entry->architecture ? entry->architecture : "");
}

/* Flags and reason of a version of the catalog; fills in what is known of a local copy */
static guint
describe(VtdCall *call, const VtdTarget *target, const VtCatalogEntry *entry, VtPool *files,
         GVariantDict *info)
{
    const VtCatalogEntry *current = vt_catalog_find(target->pool->catalog, target->name, NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *warning = vtd_pool_expiry_warning(target->pool);
    const char *reason;
    guint flags = 0;
    VtdLocal local;

    add_catalog_entry(info, entry);
    if (current && g_str_equal(current->version, entry->version))
        flags |= FLAG_CURRENT;
    if (allocation(files, target->name, entry->version) > 0) {
        flags |= FLAG_COMPLETE;
        if (vtd_pool_use(target->pool, files, target->name, entry->version, &local, &error))
            add_local(info, &local, files);
    } else if (vtd_pool_expiry(target->pool) == VTD_EXPIRY_OVER) {
        flags |= FLAG_EXPIRED;
    }
    if (warning)
        g_variant_dict_insert(info, "warning", "s", warning);
    vtd_pool_review(target->pool);
    reason = error ? error->message : vtd_pool_refusal(target->pool, &entry->manifest);
    if (reason)
        flags |= FLAG_REFUSED;
    if (vtd_jobs_involves(call->daemon->jobs, target->target, target->name, entry->version))
        flags |= FLAG_FETCHING;
    g_variant_dict_insert(info, "reason", "s", reason ? reason : "");
    return flags;
}

bool
vtd_method_get_template(VtdCall *call, GError **error)
{
    g_autoptr(VtPool) files = NULL;
    const VtCatalogEntry *entry = NULL;
    g_autofree char *path = NULL;
    const char *version;
    GVariantDict info;
    VtdTarget target;
    guint flags;

    if (!vtd_call_target(call, &target, error) || !vt_pool_open(target.target, &files, error))
        return false;
    if (target.pool->catalog)
        entry = vt_catalog_find(target.pool->catalog, target.name,
                                *target.version ? target.version : NULL);
    version = entry ? entry->version : target.version;
    if (!entry && (!*version || allocation(files, target.name, version) == 0))
        return vtd_pool_find(target.pool, target.name, version, &entry, error);
    path = vt_pool_version_path(files, target.name, version);
    g_variant_dict_init(&info, NULL);
    g_variant_dict_insert(&info, "name", "s", target.name);
    g_variant_dict_insert(&info, "path", "s", path);
    g_variant_dict_insert(&info, "allocation", "t", allocation(files, target.name, version));
    if (entry) {
        flags = describe(call, &target, entry, files, &info);
    } else {
        flags = FLAG_COMPLETE | FLAG_NOT_LISTED;
        g_variant_dict_insert(&info, "version", "s", version);
        g_variant_dict_insert(&info, "capacity", "t",
                              vt_pool_capacity(files, target.name, version));
        g_variant_dict_insert(&info, "reason", "s", "");
        g_variant_dict_insert(&info, "manifest", "s", "");
    }
    g_variant_dict_insert(&info, "flags", "u", flags);
    vtd_call_return(call, g_variant_new("(@a{sv})", g_variant_dict_end(&info)));
    return true;
}

/* ---- its config ---- */

bool
vtd_method_get_config(VtdCall *call, GError **error)
{
    g_autoptr(VtPool) files = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *text = NULL;
    VtdTarget target;
    VtdLocal local;

    if (!vtd_call_target(call, &target, error) || !vt_pool_open(target.target, &files, error) ||
        !vtd_pool_use(target.pool, files, target.name, target.version, &local, error) ||
        !vtd_pool_config(files, &local, &bytes, error))
        return false;
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    vtd_call_return(call, g_variant_new("(s)", text));
    return true;
}
