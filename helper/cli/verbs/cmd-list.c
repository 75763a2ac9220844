/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-list.c: virt-template list: what a pool, or a store, has */
#include "vtc-pool.h"
#include "vtc-print.h"
#include "vtc-store.h"
#include "vtc-verb.h"

#include "vt-policy-file.h"
#include "vt-publish-catalog.h"
#include "vts-session.h"

/* How long the helper may ask the store before it answers from what it knows */
#define WAIT_MS 5000

enum {
    FLAG_CURRENT = 1,
    FLAG_COMPLETE = 2,
    FLAG_REFUSED = 4,
    FLAG_FETCHING = 8,
    FLAG_REMOVED = 16,
    FLAG_EXPIRED = 32,
};

static const struct {
    unsigned flag;
    const char *word;
    const char *member;
} flags_shown[] = {
    {FLAG_CURRENT, "current", "current"},         {FLAG_COMPLETE, "here", "complete"},
    {FLAG_FETCHING, "being fetched", "fetching"}, {FLAG_REMOVED, "not in the catalog", "removed"},
    {FLAG_EXPIRED, "catalog expired", "expired"}, {FLAG_REFUSED, "refused", "refused"},
};

typedef struct {
    const char *name;
    const char *version;
    guint64 capacity;
    guint64 allocation;
    guint32 flags;
    const char *reason;
} Row;

static char *
describe_flags(const Row *row)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(flags_shown); i++) {
        if (row->flags & flags_shown[i].flag)
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", flags_shown[i].word);
    }
    if (row->flags & FLAG_REFUSED && *row->reason)
        g_string_append_printf(text, ": %s", row->reason);
    return g_string_free(text, FALSE);
}

static json_t *
row_to_json(const Row *row)
{
    json_t *object =
        json_pack("{s:s, s:s, s:I, s:I}", "name", row->name, "version", row->version, "capacity",
                  (json_int_t)row->capacity, "allocation", (json_int_t)row->allocation);

    for (size_t i = 0; i < G_N_ELEMENTS(flags_shown); i++)
        json_object_set_new(object, flags_shown[i].member,
                            json_boolean(row->flags & flags_shown[i].flag));
    if (*row->reason)
        json_object_set_new(object, "reason", json_string(row->reason));
    return object;
}

static void
add_row(VtcTable *table, const Row *row)
{
    g_autofree char *capacity = vtc_print_size(row->capacity);
    g_autofree char *allocation =
        row->allocation > 0 ? vtc_print_size(row->allocation) : g_strdup("-");
    g_autofree char *state = describe_flags(row);
    const char *const cells[] = {row->name, row->version, capacity, allocation, state, NULL};

    vtc_table_add(table, cells);
}

static void
print_pool(const VtcPool *pool, GVariant *reply, bool json)
{
    static const char *const titles[] = {"NAME", "VERSION", ">SIZE", ">ON DISK", "STATE", NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    g_autoptr(GVariant) list = g_variant_get_child_value(reply, 0);
    json_t *array = json_array();
    const char *warning = "";
    g_autofree char *text = NULL;
    GVariantIter iter;
    Row row;

    g_variant_get_child(reply, 1, "&s", &warning);
    g_variant_iter_init(&iter, list);
    while (g_variant_iter_next(&iter, "(&s&sttu&s)", &row.name, &row.version, &row.capacity,
                               &row.allocation, &row.flags, &row.reason)) {
        add_row(table, &row);
        json_array_append_new(array, row_to_json(&row));
    }
    if (*warning && !json)
        g_printerr("virt-template: warning: %s\n", warning);
    if (json) {
        vtc_print_json(json_pack("{s:s, s:s, s:s, s:s, s:o}", "pool", pool->name, "target",
                                 pool->target, "store", pool->store, "warning", warning,
                                 "templates", array));
        return;
    }
    json_decref(array);
    text = vtc_table_format(table);
    g_print("%s", text);
}

static bool
list_pool(const VtcHelperOptions *options, bool json, GError **error)
{
    g_auto(VtcTarget) target = {0};
    g_autoptr(GVariant) reply = NULL;

    if (!vtc_target_open(options, false, NULL, &target, error) ||
        !vtc_client_call(target.client, "ListTemplates",
                         g_variant_new("(su)", target.pool->target, WAIT_MS), "(a(ssttus)s)",
                         &reply, error))
        return false;
    print_pool(target.pool, reply, json);
    return true;
}

/* ---- a store, without the helper ---- */

static void
print_catalog(const VtCatalog *catalog)
{
    static const char *const titles[] = {"NAME", "VERSION", ">SIZE", "OS",
                                         "ARCH", "CREATED", "STATE", NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    g_autofree char *text = NULL;

    for (unsigned i = 0; i < catalog->templates->len; i++) {
        const VtCatalogTemplate *template = catalog->templates->pdata[i];

        for (unsigned j = 0; j < template->versions->len; j++) {
            const VtCatalogEntry *entry = template->versions->pdata[j];
            g_autofree char *capacity = vtc_print_size(entry->capacity);
            const char *state = g_strcmp0(template->current, entry->version) == 0 ? "current" : "";
            const char *const cells[] = {template->name,      entry->version, capacity, entry->os,
                                         entry->architecture, entry->created, state,    NULL};

            vtc_table_add(table, cells);
        }
    }
    text = vtc_table_format(table);
    g_print("%s", text);
}

/* The signed document itself: it is JSON, and says everything */
static void
print_catalog_json(const VtCatalog *catalog)
{
    g_autoptr(GBytes) bytes = vt_catalog_format(catalog);
    gsize length = 0;
    const char *data = g_bytes_get_data(bytes, &length);

    vtc_print_json(json_loadb(data, length, 0, NULL));
}

static bool
list_store(const VtcStoreOptions *options, const char *policy_file, bool json, GError **error)
{
    g_autofree char *file =
        policy_file ? g_strdup(policy_file) : vts_policy_file(VT_POLICY_DEFAULT_PATH);
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtStore) store = NULL;
    g_autoptr(VtPolicy) policy = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    VtDigest digest;

    if (!vtc_store_parse(options, &url, error) ||
        !vtc_store_open(options, url, false, &store, error) ||
        !vt_policy_load(file, &policy, error) ||
        !vt_publish_catalog_read(&(VtPublisher){.url = url, .store = store, .policy = policy},
                                 &catalog, &digest, error))
        return false;
    if (json)
        print_catalog_json(catalog);
    else
        print_catalog(catalog);
    return true;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcStoreOptions) store = {0};
    g_autofree char *policy = NULL;
    g_auto(GStrv) words = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        VTC_STORE_ENTRIES(store),
        {"policy", 0, 0, G_OPTION_ARG_FILENAME, &policy, "Policy for --store", "FILE"},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error))
        return false;
    if (store.url && (helper.pool || helper.socket || helper.uri))
        return vtc_usage(error, "--store lists a store without virttemplated; it does not go with "
                                "--pool, --connect or --socket");
    if (!store.url && (policy || store.ca_file || store.auth_file || store.insecure))
        return vtc_usage(error, "--policy, --ca-file, --authfile and --insecure need --store");
    return store.url ? list_store(&store, policy, json, error) : list_pool(&helper, json, error);
}

const VtcVerb vtc_verb_list = {
    .name = "list",
    .words = "",
    .summary = "List the templates of a pool, or of a store",
    .detail = "With --store, virttemplated is not needed; the default policy is\n"
              "/etc/virt-template/policy.json.",
    .run = run,
};
