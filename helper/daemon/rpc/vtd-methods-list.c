/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-list.c: which templates a pool has, and what is known of one */
#include "vtd-visit.h"

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

static uint64_t
allocation(VtPool *files, const char *name, const char *version)
{
    struct stat st;

    return files && vt_pool_stat_version(files, name, version, &st) ? (uint64_t)st.st_blocks * 512
                                                                    : 0;
}

/* ---- what is in the directory ---- */

/**
 * Volume: what the directory has under the name of a version
 * @size: that it takes of the disk; 0: it is no version that is complete
 * @damage: (nullable): what is wrong with it; belongs to the look
 * @capacity: if no catalog names it: what its own header says
 */
typedef struct {
    char *name;
    char *version;
    uint64_t size;
    const char *damage;
    uint64_t capacity;
} Volume;

/**
 * List: one answer of ListTemplates in the making
 * @volumes: (element-type utf8 Volume): what is in the catalog is taken out
 * @failure: (nullable): why they cannot be read
 * @refused: (nullable): why the whole catalog is refused
 * @expired: what is not here is not fetched by the catalog any more
 */
typedef struct {
    VtdDaemon *daemon;
    VtdPool *pool;
    const VtCatalog *catalog;
    GHashTable *volumes;
    GError *failure;
    const char *refused;
    bool expired;
    GVariantBuilder *rows;
} List;

static void
volume_free(gpointer data)
{
    Volume *volume = data;

    g_free(volume->name);
    g_free(volume->version);
    g_free(volume);
}

static void
list_free(void *user)
{
    List *list = user;

    g_hash_table_unref(list->volumes);
    g_clear_error(&list->failure);
    g_free(list);
}

/* @damaged: (nullable): what is wrong with files of versions, by inode */
static void
look_at(const VtdLook *look, GHashTable *damaged, Volume *volume)
{
    guint64 inode;
    struct stat st;

    if (!vt_pool_stat_version(look->files, volume->name, volume->version, &st))
        return;
    inode = st.st_ino;
    volume->size = (uint64_t)st.st_blocks * 512;
    if (damaged)
        volume->damage = g_hash_table_lookup(damaged, &inode);
    if (!look->catalog || !vt_catalog_find(look->catalog, volume->name, volume->version))
        volume->capacity = vt_pool_capacity(look->files, volume->name, volume->version);
}

static bool
list_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    List *list = visit->user;
    g_autoptr(GHashTable) names = NULL, damaged = NULL;
    GHashTableIter iter;
    gpointer name;

    if (!vtd_look_open(look, &list->failure) || !vt_pool_scan(look->files, &names, &list->failure))
        return true;
    damaged = vtd_look_damaged_files(look);
    g_hash_table_iter_init(&iter, names);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        Volume *volume = g_new0(Volume, 1);

        if (vt_volume_name_parse(name, &volume->name, &volume->version, NULL) && volume->version)
            look_at(look, damaged, volume);
        g_hash_table_insert(list->volumes, g_strdup(name), volume);
    }
    return true;
}

/* ---- rows ---- */

static void
add_entry(List *list, const VtCatalogTemplate *template, const VtCatalogEntry *entry)
{
    g_autofree char *name = vt_volume_name(template->name, entry->version);
    const Volume *volume = g_hash_table_lookup(list->volumes, name);
    const uint64_t size = volume ? volume->size : 0;
    const char *reason =
        list->refused ? list->refused : vtd_pool_refusal(list->pool, &entry->manifest);
    guint flags = 0;

    if (!reason && volume)
        reason = volume->damage;
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
    if (volume)
        g_hash_table_remove(list->volumes, name);
}

static void
add_all(List *list)
{
    const VtCatalog *catalog = list->catalog;
    GHashTableIter iter;
    gpointer value;

    for (guint i = 0; catalog && i < catalog->templates->len; i++) {
        const VtCatalogTemplate *template = catalog->templates->pdata[i];

        for (guint j = 0; j < template->versions->len; j++)
            add_entry(list, template, template->versions->pdata[j]);
    }
    /* Versions that are here although no catalog names them */
    g_hash_table_iter_init(&iter, list->volumes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Volume *volume = value;

        if (volume->size > 0)
            g_variant_builder_add(list->rows, "(ssttus)", volume->name, volume->version,
                                  volume->capacity, volume->size, FLAG_COMPLETE | FLAG_NOT_LISTED,
                                  "");
    }
}

static bool
list_begin(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdPool *pool = visit->target.pool;

    vtd_pool_review(pool);
    vtd_pool_tell_expiry(pool);
    return true;
}

static bool
list_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    List *list = visit->user;
    g_autofree char *warning = vtd_pool_warning(visit->target.pool);
    const char *first;
    GVariantBuilder rows;

    g_variant_builder_init(&rows, G_VARIANT_TYPE("a(ssttus)"));
    list->rows = &rows;
    list->daemon = visit->call->daemon;
    list->pool = visit->target.pool;
    list->catalog = look->catalog;
    list->refused = look->catalog && look->distrust ? look->distrust->message : NULL;
    list->expired = vtd_pool_expiry(list->pool) == VTD_EXPIRY_OVER;
    add_all(list);
    first = list->failure ? list->failure->message : warning ? warning : list->refused;
    vtd_call_return(visit->call, g_variant_new("(a(ssttus)s)", &rows, first ? first : ""));
    return true;
}

static bool
list_templates(VtdCall *call, VtdPool *pool, GError **error)
{
    static const VtdCallSteps steps = {list_begin, list_work, list_reply};
    List *list = g_new0(List, 1);

    list->volumes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, volume_free);
    return vtd_call_visit(&(const VtdCallVisit){call, {.pool = pool}, list, list_free}, &steps,
                          error);
}

/* ---- waiting for the store ---- */

typedef struct {
    VtdCall *call;
    VtdPool *pool;
    guint timer;
} Wait;

static void
wait_end(void *user)
{
    Wait *wait = user;
    GError *error = NULL;

    g_clear_handle_id(&wait->timer, g_source_remove);
    vtd_call_waited(wait->call);
    if (!list_templates(wait->call, wait->pool, &error))
        vtd_call_throw(wait->call, error);
    vtd_pool_unref(wait->pool);
    g_free(wait);
}

static gboolean
waited_enough(gpointer data)
{
    Wait *wait = data;

    wait->timer = 0;
    vtd_pool_refresh_leave(wait->pool, wait);
    wait_end(wait);
    return G_SOURCE_REMOVE;
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
        !vtd_call_may_wait(call))
        return list_templates(call, pool, error);
    wait = g_new0(Wait, 1);
    *wait = (Wait){.call = call, .pool = vtd_pool_ref(pool)};
    wait->timer = g_timeout_add(MIN(wait_ms, WAIT_MAX_MS), waited_enough, wait);
    vtd_pool_refresh(pool, wait_end, wait);
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

/**
 * Template: one that is asked for
 * @entry: (nullable): belongs to the look
 * @info: the answer
 * @flags: of it
 * @failure: (nullable): why it may not be used
 */
typedef struct {
    const VtCatalogEntry *entry;
    GVariantDict *info;
    guint flags;
    GError *failure;
} Template;

static void
template_free(void *user)
{
    Template *template = user;

    g_variant_dict_unref(template->info);
    g_clear_error(&template->failure);
    g_free(template);
}

/* A fetch that ends before the answer was one all the same: what the work sees may be older */
static bool
template_begin(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Template *template = visit->user;
    VtdTarget *target = &visit->target;

    if (look->catalog)
        template->entry =
            vt_catalog_find(look->catalog, target->name, *target->version ? target->version : NULL);
    if (template->entry)
        target->version = template->entry->version;
    if (vtd_jobs_involves(visit->call->daemon->jobs, target->target, target->name, target->version))
        template->flags |= FLAG_FETCHING;
    return true;
}

static bool
template_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Template *template = visit->user;
    VtdTarget *target = &visit->target;
    g_autofree char *path = NULL;
    uint64_t size, capacity;
    VtdLocal local;

    if (!vtd_look_open(look, error))
        return false;
    size = *target->version ? allocation(look->files, target->name, target->version) : 0;
    if (!template->entry && size == 0)
        return vtd_look_find(look, target->name, target->version, &template->entry, error);
    path = vt_pool_version_path(look->files, target->name, target->version);
    g_variant_dict_insert(template->info, "name", "s", target->name);
    g_variant_dict_insert(template->info, "path", "s", path);
    g_variant_dict_insert(template->info, "allocation", "t", size);
    template->flags |= size > 0 ? FLAG_COMPLETE : 0;
    if (!template->entry) {
        capacity = vt_pool_capacity(look->files, target->name, target->version);
        g_variant_dict_insert(template->info, "capacity", "t", capacity);
    } else if (size > 0 &&
               vtd_look_use(look, target->name, target->version, &local, &template->failure)) {
        add_local(template->info, &local, look->files);
    }
    return true;
}

/* Flags and reason of a version of the catalog */
static void
describe(const VtdCallVisit *visit, const VtdLook *look, Template *template)
{
    const VtdTarget *target = &visit->target;
    const VtCatalogEntry *entry = template->entry;
    const VtCatalogEntry *current = vt_catalog_find(look->catalog, target->name, NULL);
    g_autofree char *warning = vtd_pool_expiry_warning(target->pool);
    const char *reason;

    add_catalog_entry(template->info, entry);
    if (current && g_str_equal(current->version, entry->version))
        template->flags |= FLAG_CURRENT;
    if (!(template->flags & FLAG_COMPLETE) && vtd_pool_expiry(target->pool) == VTD_EXPIRY_OVER)
        template->flags |= FLAG_EXPIRED;
    if (warning)
        g_variant_dict_insert(template->info, "warning", "s", warning);
    vtd_pool_review(target->pool);
    reason = template->failure ? template->failure->message
                               : vtd_pool_refusal(target->pool, &entry->manifest);
    if (reason)
        template->flags |= FLAG_REFUSED;
    if (vtd_jobs_involves(visit->call->daemon->jobs, target->target, target->name, entry->version))
        template->flags |= FLAG_FETCHING;
    g_variant_dict_insert(template->info, "reason", "s", reason ? reason : "");
}

static bool
template_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Template *template = visit->user;
    GVariantDict *info = template->info;

    if (template->entry) {
        describe(visit, look, template);
    } else {
        template->flags |= FLAG_NOT_LISTED;
        g_variant_dict_insert(info, "version", "s", visit->target.version);
        g_variant_dict_insert(info, "reason", "s", "");
        g_variant_dict_insert(info, "manifest", "s", "");
    }
    g_variant_dict_insert(info, "flags", "u", template->flags);
    vtd_call_return(visit->call, g_variant_new("(@a{sv})", g_variant_dict_end(info)));
    return true;
}

bool
vtd_method_get_template(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {template_begin, template_work, template_reply};
    Template *template;
    VtdTarget target;

    if (!vtd_call_target(call, &target, error))
        return false;
    template = g_new0(Template, 1);
    template->info = g_variant_dict_new(NULL);
    return vtd_call_visit(&(const VtdCallVisit){call, target, template, template_free}, &steps,
                          error);
}

/* ---- its config ---- */

static bool
config_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdTarget *target = &visit->target;
    g_autoptr(GBytes) bytes = NULL;
    VtdLocal local;

    if (!vtd_look_open(look, error) ||
        !vtd_look_use(look, target->name, target->version, &local, error) ||
        !vtd_look_config(look, &local, &bytes, error))
        return false;
    visit->user = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    return true;
}

static bool
config_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    vtd_call_return(visit->call, g_variant_new("(s)", visit->user));
    return true;
}

bool
vtd_method_get_config(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, config_work, config_reply};
    VtdTarget target;

    return vtd_call_target(call, &target, error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target, NULL, g_free}, &steps, error);
}
