/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-application.c: several guests that belong together: what an application consists of */

/* The text that is parsed, as JSON or YAML:
 *
 *     {"application": "shop",
 *      "instances": {
 *        "db":  {"template": "debian-12@1.0.0", "size": "20G", "hardware": {"memory": 4096}},
 *        "web": {"template": "debian-12@1.0.0", "count": 2, "needs": ["db"],
 *                "set": {"user": "anna", "sudo": true, "package": ["nginx", "curl"]}}}}
 *
 * Theory of operation. An instance is in the wave behind the last one that it needs. Waves are
 * found by going over all instances until nothing changes; what then has none is in a circle, or
 * needs one.
 */
#include "vt-application.h"

#include "vt-name.h"

#include <string.h>

#define NAME_PATTERN "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
#define NO_WAVE      UINT_MAX

static void
instance_free(gpointer data)
{
    VtApplicationInstance *instance = data;

    g_ptr_array_unref(instance->needs);
    g_ptr_array_unref(instance->settings);
    g_free(instance);
}

void
vt_application_free(VtApplication *application)
{
    if (!application)
        return;
    g_ptr_array_unref(application->instances);
    json_decref(application->root);
    g_free(application);
}

char *
vt_application_guest(const VtApplication *application, const VtApplicationInstance *instance,
                     unsigned number)
{
    if (instance->count == 1)
        return g_strconcat(application->name, "-", instance->name, NULL);
    return g_strdup_printf("%s-%s-%u", application->name, instance->name, number + 1);
}

static bool
check_name(const VtJson *at, const char *name, GError **error)
{
    return (strlen(name) <= VT_APPLICATION_NAME_MAX &&
            g_regex_match_simple(NAME_PATTERN, name, G_REGEX_DOLLAR_ENDONLY, 0)) ||
           vt_json_throw(at, error, "is not a name of at most %d characters [a-z0-9-]",
                         VT_APPLICATION_NAME_MAX);
}

/* ---- members of an instance ---- */

static bool
take_template(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    g_autofree char *name = NULL, *version = NULL;
    g_autoptr(GError) local = NULL;

    if (!vt_json_is_string(at, &instance->template, error))
        return false;
    return vt_reference_parse(instance->template, &name, &version, &local) ||
           vt_json_throw(at, error, "%s", local->message);
}

static bool
take_count(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    uint64_t count = 0;

    if (!vt_json_uint(at->parent, at->name, &count, error))
        return false;
    if (count < 1 || count > VT_APPLICATION_GUESTS_MAX)
        return vt_json_throw(at, error, "is not between 1 and %d", VT_APPLICATION_GUESTS_MAX);
    instance->count = (unsigned)count;
    return true;
}

static bool
take_needs(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    if (!json_is_array(at->value))
        return vt_json_throw(at, error, "is no list of names of instances");
    for (size_t i = 0; i < json_array_size(at->value); i++) {
        VtJson element = vt_json_element(at, i);
        const char *name = NULL;

        if (!vt_json_is_string(&element, &name, error))
            return false;
        g_ptr_array_add(instance->needs, g_strdup(name));
    }
    return true;
}

/* YAML reads "yes" as true, and 8080 as a number */
static bool
add_setting(const VtJson *at, const char *key, VtApplicationInstance *instance, GError **error)
{
    const json_t *value = at->value;

    if (json_is_string(value))
        g_ptr_array_add(instance->settings, g_strconcat(key, "=", json_string_value(value), NULL));
    else if (json_is_integer(value))
        g_ptr_array_add(instance->settings, g_strdup_printf("%s=%" JSON_INTEGER_FORMAT, key,
                                                            json_integer_value(value)));
    else if (json_is_boolean(value))
        g_ptr_array_add(instance->settings,
                        g_strconcat(key, "=", json_is_true(value) ? "yes" : "no", NULL));
    else
        return vt_json_throw(at, error, "is no string, integer, boolean or list of them");
    return true;
}

/* Lists are for keys that may be there more than once */
static bool
take_member(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    if (!*at->name || strchr(at->name, '='))
        return vt_json_throw(at, error, "a key is neither empty nor has it '='");
    if (!json_is_array(at->value))
        return add_setting(at, at->name, instance, error);
    for (size_t i = 0; i < json_array_size(at->value); i++) {
        VtJson element = vt_json_element(at, i);

        if (!add_setting(&element, at->name, instance, error))
            return false;
    }
    return true;
}

/* An object, or, for keys whose order matters, a list of objects */
static bool
take_settings(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    const char *key;
    json_t *value;

    if (json_is_array(at->value)) {
        for (size_t i = 0; i < json_array_size(at->value); i++) {
            VtJson element = vt_json_element(at, i);

            if (!vt_json_is_object(&element, error) || !take_settings(&element, instance, error))
                return false;
        }
        return true;
    }
    if (!vt_json_is_object(at, error))
        return false;
    json_object_foreach(at->value, key, value)
    {
        VtJson member = vt_json_member(at, key);

        if (!take_member(&member, instance, error))
            return false;
    }
    return true;
}

static bool
take_hardware(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    VtHardware hardware = vt_hardware_default();

    if (!vt_json_is_object(at, error) || !vt_hardware_parse(at, &hardware, error))
        return false;
    instance->hardware = at->value;
    return true;
}

#define TEXT(member) offsetof(VtApplicationInstance, member)

/* text: where the string goes, if there is no take */
static const struct {
    const char *name;
    bool (*take)(const VtJson *at, VtApplicationInstance *instance, GError **error);
    size_t text;
} members[] = {
    {"template", take_template, 0},
    {"count", take_count, 0},
    {"needs", take_needs, 0},
    {"set", take_settings, 0},
    {"hardware", take_hardware, 0},
    {"user-data", NULL, TEXT(user_data)},
    {"size", NULL, TEXT(size)},
    {"strategy", NULL, TEXT(strategy)},
    {"pool", NULL, TEXT(pool)},
    {"template-pool", NULL, TEXT(template_pool)},
    {"datasource", NULL, TEXT(datasource)},
};

static bool
take_one(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!g_str_equal(members[i].name, at->name)) {
            g_string_append_printf(known, "%s%s", i ? ", " : "", members[i].name);
            continue;
        }
        if (members[i].take)
            return members[i].take(at, instance, error);
        return vt_json_is_string(at, (const char **)(void *)((char *)instance + members[i].text),
                                 error);
    }
    return vt_json_throw(at, error, "unknown; known: %s", known->str);
}

/* A MAC address is one guest's */
static bool
check_mac(const VtJson *at, const VtApplicationInstance *instance, GError **error)
{
    VtHardware hardware = vt_hardware_default();
    VtJson member = vt_json_member(at, "hardware");

    return !member.value || instance->count == 1 ||
           (vt_hardware_parse(&member, &hardware, error) &&
            (!vt_hardware_has_mac(&hardware) ||
             vt_json_throw(&member, error, "a MAC address is for one guest, not for %u",
                           instance->count)));
}

static bool
take_instance(const VtJson *at, VtApplicationInstance *instance, GError **error)
{
    const char *key;
    json_t *value;

    instance->name = at->name;
    instance->count = 1;
    instance->wave = NO_WAVE;
    if (!check_name(at, at->name, error) || !vt_json_is_object(at, error))
        return false;
    json_object_foreach(at->value, key, value)
    {
        VtJson member = vt_json_member(at, key);

        if (!take_one(&member, instance, error))
            return false;
    }
    g_ptr_array_add(instance->settings, NULL);
    return (instance->template ||
            vt_json_throw(at, error, "\"template\" is missing: NAME@VERSION")) &&
           check_mac(at, instance, error);
}

/* ---- the whole ---- */

static VtApplicationInstance *
find_instance(const VtApplication *application, const char *name)
{
    for (guint i = 0; i < application->instances->len; i++) {
        VtApplicationInstance *instance = application->instances->pdata[i];

        if (g_str_equal(instance->name, name))
            return instance;
    }
    return NULL;
}

/* Returns: whether all that @instance needs has a wave; then it has one */
static bool
place(const VtApplication *application, VtApplicationInstance *instance)
{
    unsigned wave = 0;

    for (guint i = 0; i < instance->needs->len; i++) {
        const VtApplicationInstance *needed = find_instance(application, instance->needs->pdata[i]);

        if (!needed || needed->wave == NO_WAVE)
            return false;
        wave = MAX(wave, needed->wave + 1);
    }
    instance->wave = wave;
    return true;
}

static bool
throw_circle(const VtApplication *application, const VtJson *at, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *instance = application->instances->pdata[i];

        if (instance->wave == NO_WAVE)
            g_string_append_printf(names, "%s%s", names->len ? ", " : "", instance->name);
    }
    return vt_json_throw(at, error, "needs form a circle among: %s", names->str);
}

static bool
check_needs(const VtApplication *application, const VtJson *at, GError **error)
{
    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *instance = application->instances->pdata[i];

        for (guint j = 0; j < instance->needs->len; j++) {
            const char *need = instance->needs->pdata[j];
            g_autofree char *shown = vt_json_shown(need);
            VtJson member = vt_json_member(at, instance->name);

            if (!find_instance(application, need))
                return vt_json_throw(&member, error, "needs \"%s\", which is no instance", shown);
        }
    }
    return true;
}

static bool
make_waves(VtApplication *application, const VtJson *at, GError **error)
{
    guint missing = application->instances->len, before;

    do {
        before = missing;
        for (guint i = 0; i < application->instances->len; i++) {
            VtApplicationInstance *instance = application->instances->pdata[i];

            if (instance->wave == NO_WAVE && place(application, instance)) {
                missing--;
                application->waves = MAX(application->waves, instance->wave + 1);
            }
        }
    } while (missing > 0 && missing < before);
    return missing == 0 || throw_circle(application, at, error);
}

/* "web-1" and the first of two "web" have one name */
static bool
check_guests(const VtApplication *application, const VtJson *at, GError **error)
{
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < application->instances->len; i++) {
        const VtApplicationInstance *instance = application->instances->pdata[i];

        for (unsigned number = 0; number < instance->count; number++) {
            char *name = vt_application_guest(application, instance, number);
            g_autofree char *shown = g_strdup(name);

            if (!g_hash_table_add(names, name))
                return vt_json_throw(at, error, "two guests would be called '%s'", shown);
        }
        if (g_hash_table_size(names) > VT_APPLICATION_GUESTS_MAX)
            return vt_json_throw(at, error, "has more than %d guests", VT_APPLICATION_GUESTS_MAX);
    }
    return true;
}

/* Adds the addresses of @instance to @seen, where the names of instances are by them */
static bool
add_macs(const VtJson *at, const VtApplicationInstance *instance, GHashTable *seen, GError **error)
{
    VtJson member = vt_json_member(at, instance->name);
    VtJson object = vt_json_member(&member, "hardware");
    VtHardware hardware = vt_hardware_default();

    if (!object.value)
        return true;
    if (!vt_hardware_parse(&object, &hardware, error))
        return false;
    for (unsigned i = 0; i < hardware.interface_count; i++) {
        const char *mac = hardware.interfaces[i].mac;
        const char *other = g_hash_table_lookup(seen, mac);

        if (other)
            return vt_json_throw(&object, error, "has the MAC address %s of the instance '%s'", mac,
                                 other);
        if (*mac)
            g_hash_table_insert(seen, g_strdup(mac), (char *)(uintptr_t)instance->name);
    }
    return true;
}

static bool
check_macs(const VtApplication *application, const VtJson *at, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < application->instances->len; i++) {
        if (!add_macs(at, application->instances->pdata[i], seen, error))
            return false;
    }
    return true;
}

static bool
take_instances(const VtJson *at, VtApplication *application, GError **error)
{
    const char *key;
    json_t *value;

    if (json_object_size(at->value) < 1 ||
        json_object_size(at->value) > VT_APPLICATION_INSTANCES_MAX)
        return vt_json_throw(at, error, "has %zu instances; 1 to %d are allowed",
                             json_object_size(at->value), VT_APPLICATION_INSTANCES_MAX);
    json_object_foreach(at->value, key, value)
    {
        VtJson member = vt_json_member(at, key);
        VtApplicationInstance *instance = g_new0(VtApplicationInstance, 1);

        instance->needs = g_ptr_array_new_with_free_func(g_free);
        instance->settings = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(application->instances, instance);
        if (!take_instance(&member, instance, error))
            return false;
    }
    return check_guests(application, at, error) && check_macs(application, at, error) &&
           check_needs(application, at, error) && make_waves(application, at, error);
}

bool
vt_application_parse(json_t *root, const char *document, VtApplication **ret_application,
                     GError **error)
{
    static const char *const known[] = {"application", "instances", NULL};
    g_autoptr(VtApplication) application = g_new0(VtApplication, 1);
    const VtJson top = vt_json_root(root, document);
    const VtJson name = vt_json_member(&top, "application");
    VtJson instances;

    application->root = root;
    application->instances = g_ptr_array_new_with_free_func(instance_free);
    if (!vt_json_is_object(&top, error) || !vt_json_exact_fields(&top, known, error) ||
        !vt_json_is_string(&name, &application->name, error) ||
        !check_name(&name, application->name, error) ||
        !vt_json_object(&top, "instances", &instances, error) ||
        !take_instances(&instances, application, error))
        return false;
    *ret_application = g_steal_pointer(&application);
    return true;
}
