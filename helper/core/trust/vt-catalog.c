/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-catalog.c: the signed document that names every template of a store
 *
 * Theory of operation. Templates are kept ordered by name and versions by precedence, so that
 * finding is a binary search and formatting needs no sorting. In the document the order of members
 * does not matter; adding one keeps the arrays ordered either way, and a document in our own order
 * is appended to at the end each time.
 */
#include "vt-catalog.h"

#include "vt-json.h"
#include "vt-name.h"

#include <string.h>

#define DOCUMENT "catalog"
/* Integers that every JSON reader holds exactly */
#define SERIAL_MAX ((UINT64_C(1) << 53) - 1)

VtCatalogEntry *
vt_catalog_entry_copy(const VtCatalogEntry *entry)
{
    VtCatalogEntry *copy = g_new0(VtCatalogEntry, 1);

    *copy = *entry;
    copy->version = g_strdup(entry->version);
    copy->format = g_strdup(entry->format);
    copy->os = g_strdup(entry->os);
    copy->architecture = g_strdup(entry->architecture);
    copy->created = g_strdup(entry->created);
    return copy;
}

void
vt_catalog_entry_free(VtCatalogEntry *entry)
{
    if (!entry)
        return;
    g_free(entry->version);
    g_free(entry->format);
    g_free(entry->os);
    g_free(entry->architecture);
    g_free(entry->created);
    g_free(entry);
}

static void
template_free(VtCatalogTemplate *template)
{
    g_free(template->name);
    g_free(template->current);
    g_ptr_array_unref(template->versions);
    g_free(template);
}

static void
catalog_clear(gpointer data)
{
    VtCatalog *catalog = data;

    g_free(catalog->store);
    g_free(catalog->created);
    g_free(catalog->expires);
    g_ptr_array_unref(catalog->templates);
}

VtCatalog *
vt_catalog_ref(VtCatalog *catalog)
{
    return catalog ? g_atomic_rc_box_acquire(catalog) : NULL;
}

void
vt_catalog_free(VtCatalog *catalog)
{
    if (catalog)
        g_atomic_rc_box_release_full(catalog, catalog_clear);
}

VtCatalog *
vt_catalog_new(const char *store)
{
    VtCatalog *catalog = g_atomic_rc_box_new0(VtCatalog);

    catalog->store = g_strdup(store);
    catalog->templates = g_ptr_array_new_with_free_func((GDestroyNotify)template_free);
    return catalog;
}

/* ---- ordered arrays ---- */

/* How the name or version @key is ordered against element @element of an array */
typedef int (*Order)(const char *key, gconstpointer element);

static int
order_template(const char *key, gconstpointer element)
{
    return strcmp(key, ((const VtCatalogTemplate *)element)->name);
}

static int
order_entry(const char *key, gconstpointer element)
{
    return vt_version_compare(key, ((const VtCatalogEntry *)element)->version);
}

/* Where @key is in @array, or would have to be */
static bool
find_place(const GPtrArray *array, Order order, const char *key, guint *ret_place)
{
    guint low = 0, high = array->len;

    /* the usual document is ordered: then each new one goes to the end */
    if (high > 0 && order(key, g_ptr_array_index(array, high - 1)) > 0)
        low = high;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        int compared = order(key, g_ptr_array_index(array, middle));

        if (compared == 0) {
            *ret_place = middle;
            return true;
        }
        if (compared < 0)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_place = low;
    return false;
}

const VtCatalogTemplate *
vt_catalog_find_template(const VtCatalog *catalog, const char *name)
{
    guint place;

    if (!find_place(catalog->templates, order_template, name, &place))
        return NULL;
    return g_ptr_array_index(catalog->templates, place);
}

const VtCatalogEntry *
vt_catalog_find(const VtCatalog *catalog, const char *name, const char *version)
{
    const VtCatalogTemplate *template = vt_catalog_find_template(catalog, name);
    guint place;

    if (!template)
        return NULL;
    if (!find_place(template->versions, order_entry, version ? version : template->current, &place))
        return NULL;
    return g_ptr_array_index(template->versions, place);
}

/* The template called @name, made if there is none; the caller has checked the name */
static VtCatalogTemplate *
ensure_template(VtCatalog *catalog, const char *name)
{
    VtCatalogTemplate *template;
    guint place;

    if (find_place(catalog->templates, order_template, name, &place))
        return g_ptr_array_index(catalog->templates, place);
    template = g_new0(VtCatalogTemplate, 1);
    template->name = g_strdup(name);
    template->versions = g_ptr_array_new_with_free_func((GDestroyNotify)vt_catalog_entry_free);
    g_ptr_array_insert(catalog->templates, (int)place, template);
    return template;
}

/* ---- parsing ---- */

/* {"manifest":"sha256:...","size":1234,"capacity":4294967296,"format":"qcow2","serial":7,
 *  "os":"linux","architecture":"amd64","created":"2026-11-21T10:00:00Z"} */
static bool
parse_entry(const VtJson *at, uint64_t catalog_serial, VtCatalogEntry *entry, GError **error)
{
    static const char *const fields[] = {"manifest", "size",         "capacity", "format", "serial",
                                         "os",       "architecture", "created",  NULL};
    const char *format = NULL, *os = NULL, *architecture = NULL, *created = NULL;

    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, fields, error) ||
        !vt_json_digest(at, "manifest", &entry->manifest, error) ||
        !vt_json_uint(at, "size", &entry->manifest_size, error) ||
        !vt_json_uint(at, "capacity", &entry->capacity, error) ||
        !vt_json_uint(at, "serial", &entry->serial, error) ||
        !vt_json_word(at, "format", &format, error) || !vt_json_word(at, "os", &os, error) ||
        !vt_json_word(at, "architecture", &architecture, error) ||
        !vt_json_time(at, "created", &created, error))
        return false;
    if (entry->manifest_size == 0 || entry->capacity == 0)
        return vt_json_throw(at, error, "size or capacity is 0");
    if (entry->serial == 0 || entry->serial > catalog_serial)
        return vt_json_throw(at, error, "serial is not between 1 and the catalog's");
    entry->format = g_strdup(format);
    entry->os = g_strdup(os);
    entry->architecture = g_strdup(architecture);
    entry->created = g_strdup(created);
    return true;
}

static bool
parse_versions(const VtJson *versions, uint64_t catalog_serial, VtCatalogTemplate *template,
               GError **error)
{
    const char *version;
    json_t *value;

    json_object_foreach(versions->value, version, value)
    {
        g_autoptr(VtCatalogEntry) entry = g_new0(VtCatalogEntry, 1);
        VtJson at = {.parent = versions, .name = version, .value = value};
        g_autoptr(GError) why = NULL;
        guint place;

        if (!vt_version_check(version, &why))
            return vt_json_throw(versions, error, "%s", why->message);
        if (!parse_entry(&at, catalog_serial, entry, error))
            return false;
        entry->version = g_strdup(version);
        /* the reader of JSON refuses a member named twice, and the order is total */
        if (find_place(template->versions, order_entry, version, &place))
            return vt_json_throw(&at, error, "the same version twice");
        g_ptr_array_insert(template->versions, (int)place, g_steal_pointer(&entry));
    }
    return true;
}

/* "debian-12":{"current":"1.2.0","versions":{"1.2.0":{...}}} */
static bool
parse_template(const VtJson *at, VtCatalog *catalog, GError **error)
{
    static const char *const fields[] = {"current", "versions", NULL};
    VtCatalogTemplate *template;
    g_autoptr(GError) why = NULL;
    const char *current = NULL;
    VtJson versions;

    if (!vt_name_check(at->name, &why))
        return vt_json_throw(at->parent, error, "%s", why->message);
    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, fields, error) ||
        !vt_json_string(at, "current", &current, error) ||
        !vt_json_object(at, "versions", &versions, error))
        return false;
    if (!json_object_get(versions.value, current)) {
        g_autofree char *shown = vt_json_shown(current);

        return vt_json_throw(at, error, "current is \"%s\", which is not one of the versions",
                             shown);
    }
    template = ensure_template(catalog, at->name);
    template->current = g_strdup(current);
    return parse_versions(&versions, catalog->serial, template, error);
}

/* Another reader's document is refused before its fields are judged by our rules */
static bool
check_type(const VtJson *root, GError **error)
{
    const char *type = NULL, *spec_version = NULL;

    if (!vt_json_string(root, "_type", &type, error) ||
        !vt_json_string(root, "spec_version", &spec_version, error))
        return false;
    if (strcmp(type, "virt-template-catalog") != 0)
        return vt_json_throw(root, error, "_type is not \"virt-template-catalog\"");
    if (strcmp(spec_version, "1") != 0) {
        g_autofree char *shown = vt_json_shown(spec_version);

        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        DOCUMENT ": spec_version is \"%s\"; this virt-template reads \"1\", a "
                                 "newer one is needed",
                        shown);
    }
    return true;
}

static bool
is_lower_uuid(const char *text)
{
    return g_uuid_string_is_valid(text) && !text[strcspn(text, "ABCDEF")];
}

static bool
parse_head(const VtJson *root, VtCatalog **ret_catalog, GError **error)
{
    static const char *const fields[] = {"_type",   "spec_version", "store",     "serial",
                                         "created", "expires",      "templates", NULL};
    const char *store = NULL, *created = NULL, *expires = NULL;
    g_autoptr(VtCatalog) catalog = NULL;
    uint64_t serial = 0;

    if (!check_type(root, error) || !vt_json_exact_fields(root, fields, error) ||
        !vt_json_string(root, "store", &store, error) ||
        !vt_json_uint(root, "serial", &serial, error) ||
        !vt_json_time(root, "created", &created, error) ||
        !vt_json_time(root, "expires", &expires, error))
        return false;
    if (!is_lower_uuid(store))
        return vt_json_throw(root, error, "store is not a UUID in lower case");
    if (serial == 0 || serial > SERIAL_MAX)
        return vt_json_throw(root, error, "serial is not between 1 and 2^53 - 1");
    catalog = vt_catalog_new(store);
    catalog->serial = serial;
    catalog->created = g_strdup(created);
    catalog->expires = g_strdup(expires);
    *ret_catalog = g_steal_pointer(&catalog);
    return true;
}

bool
vt_catalog_parse(GBytes *bytes, VtCatalog **ret_catalog, GError **error)
{
    g_autoptr(VtCatalog) catalog = NULL;
    json_auto_t *document = NULL;
    VtJson root, templates;
    const char *name;
    json_t *value;

    if (!vt_json_parse(bytes, DOCUMENT, VT_CATALOG_MAX, &document, error))
        return false;
    root = vt_json_root(document, DOCUMENT);
    if (!parse_head(&root, &catalog, error) ||
        !vt_json_object(&root, "templates", &templates, error))
        return false;
    json_object_foreach(templates.value, name, value)
    {
        VtJson at = {.parent = &templates, .name = name, .value = value};

        if (!parse_template(&at, catalog, error))
            return false;
    }
    *ret_catalog = g_steal_pointer(&catalog);
    return true;
}

/* ---- formatting ---- */

static json_t *
format_entry(const VtCatalogEntry *entry)
{
    json_t *object = json_object();

    vt_json_set_digest(object, "manifest", &entry->manifest);
    vt_json_set_uint(object, "size", entry->manifest_size);
    vt_json_set_uint(object, "capacity", entry->capacity);
    vt_json_set_string(object, "format", entry->format);
    vt_json_set_uint(object, "serial", entry->serial);
    vt_json_set_string(object, "os", entry->os);
    vt_json_set_string(object, "architecture", entry->architecture);
    vt_json_set_string(object, "created", entry->created);
    return object;
}

static json_t *
format_template(const VtCatalogTemplate *template)
{
    json_t *object = json_object(), *versions = json_object();

    for (guint i = 0; i < template->versions->len; i++) {
        const VtCatalogEntry *entry = g_ptr_array_index(template->versions, i);

        json_object_set_new(versions, entry->version, format_entry(entry));
    }
    vt_json_set_string(object, "current", template->current);
    json_object_set_new(object, "versions", versions);
    return object;
}

GBytes *
vt_catalog_format(const VtCatalog *catalog)
{
    json_auto_t *root = json_object();
    json_t *templates = json_object();

    for (guint i = 0; i < catalog->templates->len; i++) {
        const VtCatalogTemplate *template = g_ptr_array_index(catalog->templates, i);

        json_object_set_new(templates, template->name, format_template(template));
    }
    vt_json_set_string(root, "_type", "virt-template-catalog");
    vt_json_set_string(root, "spec_version", "1");
    vt_json_set_string(root, "store", catalog->store);
    vt_json_set_uint(root, "serial", catalog->serial);
    vt_json_set_string(root, "created", catalog->created);
    vt_json_set_string(root, "expires", catalog->expires);
    json_object_set_new(root, "templates", templates);
    return vt_json_format(root);
}

/* ---- changing ---- */

/* What is added here must be readable again */
static bool
check_new_entry(const char *name, const VtCatalogEntry *entry, GError **error)
{
    const struct {
        const char *field, *text;
    } words[] = {
        {"format", entry->format},
        {"os", entry->os},
        {"architecture", entry->architecture},
    };

    if (!vt_name_check(name, error) || !vt_version_check(entry->version, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!words[i].text || !vt_json_is_word(words[i].text))
            return vt_throw(error, VT_ERROR_INVALID,
                            "%s@%s: %s is not a word of at most %d characters [A-Za-z0-9._+-]",
                            name, entry->version, words[i].field, VT_JSON_WORD_MAX);
    }
    if (!entry->created || !vt_json_is_time(entry->created))
        return vt_throw(error, VT_ERROR_INVALID,
                        "%s@%s: created is not a time like 2026-11-21T10:00:00Z", name,
                        entry->version);
    if (entry->manifest_size == 0 || entry->capacity == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s@%s: size or capacity is 0", name,
                        entry->version);
    return true;
}

bool
vt_catalog_add(VtCatalog *catalog, const char *name, VtCatalogEntry *entry, bool make_current,
               GError **error)
{
    g_autoptr(VtCatalogEntry) owned = entry;
    VtCatalogTemplate *template;
    guint place;

    if (!check_new_entry(name, entry, error))
        return false;
    if (vt_catalog_find(catalog, name, entry->version))
        return vt_throw(error, VT_ERROR_EXISTS,
                        "the store has %s@%s already; versions are never replaced: publish a "
                        "higher one",
                        name, entry->version);
    if (entry->serial == 0)
        entry->serial = catalog->serial;
    template = ensure_template(catalog, name);
    if (make_current || !template->current) {
        g_free(template->current);
        template->current = g_strdup(entry->version);
    }
    find_place(template->versions, order_entry, entry->version, &place);
    g_ptr_array_insert(template->versions, (int)place, g_steal_pointer(&owned));
    return true;
}

static guint
merge_template(VtCatalogTemplate *template, const VtCatalogTemplate *other)
{
    guint added = 0;

    for (guint i = 0; i < other->versions->len; i++) {
        const VtCatalogEntry *entry = g_ptr_array_index(other->versions, i);
        guint place;

        if (find_place(template->versions, order_entry, entry->version, &place))
            continue;
        g_ptr_array_insert(template->versions, (int)place, vt_catalog_entry_copy(entry));
        added++;
        if (!template->current || strcmp(entry->version, other->current) == 0) {
            g_free(template->current);
            template->current = g_strdup(entry->version);
        }
    }
    return added;
}

guint
vt_catalog_merge(VtCatalog *catalog, const VtCatalog *other)
{
    guint added = 0;

    for (guint i = 0; i < other->templates->len; i++) {
        const VtCatalogTemplate *template = g_ptr_array_index(other->templates, i);

        added += merge_template(ensure_template(catalog, template->name), template);
    }
    return added;
}
