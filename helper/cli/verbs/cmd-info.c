/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-info.c: virt-template info NAME[@VERSION] */
#include "vtc-cost.h"
#include "vtc-pool.h"
#include "vtc-print.h"
#include "vtc-verb.h"

#include "vt-profile.h"

#include <string.h>

static const char *const sizes[] = {"capacity", "allocation", "size", NULL};
static const char *const profile_fields[] = {"parameters", "user-data", "hardware"};
/* What people want to see first; the rest follows in alphabetic order */
static const char *const first[] = {"name",  "version", "capacity", "allocation",
                                    "state", "reason",  "warning",  NULL};

static void
print_member(const char *key, const json_t *value)
{
    g_autofree char *title = g_strdup(key), *text = NULL;

    if (json_is_array(value)) {
        const json_t *element;
        size_t i;

        json_array_foreach(value, i, element) print_member(key, element);
        return;
    }
    if (json_is_string(value))
        text = vtc_print_plain(json_string_value(value));
    else if (json_is_integer(value) && g_strv_contains(sizes, key))
        text = vtc_print_size((uint64_t)json_integer_value(value));
    else
        text = json_dumps(value, JSON_ENCODE_ANY);
    title[0] = g_ascii_toupper(title[0]);
    if (text && *text)
        g_print("%-14s %s\n", title, text);
}

static void
print_human(const json_t *info)
{
    const json_t *value;
    const char *key;

    for (size_t i = 0; first[i]; i++) {
        value = json_object_get(info, first[i]);
        if (value)
            print_member(first[i], value);
    }
    json_object_foreach((json_t *)(uintptr_t)info, key, value)
    {
        if (!g_strv_contains(first, key))
            print_member(key, value);
    }
}

/* flags u becomes words: see GetTemplate in xml/virttemplate.Helper1.xml */
static void
set_state(json_t *info)
{
    static const char *const words[] = {
        "current", "here", "refused", "being fetched", "not in the catalog", "catalog expired"};
    json_int_t flags = json_integer_value(json_object_get(info, "flags"));
    json_t *state = json_array();

    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
        if (flags & (1 << i))
            json_array_append_new(state, json_string(words[i]));
    }
    json_object_del(info, "flags");
    json_object_set_new(info, "state", state);
}

/* What people read of each parameter */
static void
describe_parameters(json_t *info)
{
    const VtJson root = vt_json_root(info, "config");
    g_autoptr(VtProfile) profile = NULL;
    json_t *lines;

    if (!vt_profile_parse(&root, &profile, NULL) || profile->parameters->len == 0)
        return;
    lines = json_array();
    for (guint i = 0; i < profile->parameters->len; i++) {
        const VtParameter *parameter = profile->parameters->pdata[i];
        g_autofree char *line = vt_parameter_describe(parameter);
        g_autofree char *full = g_strdup_printf("%s%s%s", line, *parameter->description ? ": " : "",
                                                parameter->description);

        json_array_append_new(lines, json_string(full));
    }
    json_object_del(info, "parameters");
    json_object_set_new(info, "parameter", lines);
}

/* Members of the config document, which only a version that is here has */
static bool
add_config(const VtcTarget *target, json_t *info, GError **error)
{
    g_autoptr(GVariant) reply = NULL;
    json_auto_t *config = NULL;
    const char *text;

    if (!json_object_get(info, "layer"))
        return true;
    if (!vtc_target_call(target, "GetConfig", "(s)", &reply, error))
        return false;
    g_variant_get(reply, "(&s)", &text);
    config = json_loads(text, 0, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(profile_fields); i++)
        json_object_set(info, profile_fields[i], json_object_get(config, profile_fields[i]));
    return true;
}

/* What it takes to have it here; one that no catalog lists takes nothing, and a store that is away
 * is a remark */
static void
add_cost(const VtcTarget *target, json_t *info)
{
    const char *version = json_string_value(json_object_get(info, "version"));
    VtcTarget exact = *target;
    g_autoptr(GError) error = NULL;
    json_t *cost = NULL;

    if (!*json_string_value(json_object_get(info, "manifest")))
        return;
    exact.version = (char *)(uintptr_t)version;
    if (vtc_cost_ask(&exact, false, &cost, &error))
        json_object_set_new(info, "cost", cost);
    else
        json_object_set_new(info, "cost-unknown", json_string(error->message));
}

/* The sum becomes a line, the layers a table behind all else */
static char *
take_layers(json_t *info)
{
    json_t *cost = json_object_get(info, "cost");
    g_autofree char *sum = NULL;
    char *layers;

    if (!cost)
        return NULL;
    sum = vtc_cost_sum(cost);
    layers = vtc_cost_layers(cost);
    json_object_set_new(info, "cost", json_string(sum));
    /* the table says the same, and more */
    json_object_del(info, "chain");
    return layers;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcTarget) target = {0};
    g_autoptr(GVariant) reply = NULL, clones = NULL, dictionary = NULL, paths = NULL;
    g_auto(GStrv) words = NULL;
    g_autofree char *layers = NULL;
    gboolean json = FALSE;
    json_t *info;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_target_open(&helper, false, words[0], &target, error) ||
        !vtc_target_call(&target, "GetTemplate", "(a{sv})", &reply, error) ||
        !vtc_target_call(&target, "ListClones", "(as)", &clones, error))
        return false;
    dictionary = g_variant_get_child_value(reply, 0);
    paths = g_variant_get_child_value(clones, 0);
    info = vtc_print_variant(dictionary);
    set_state(info);
    json_object_set_new(info, "clones", vtc_print_variant(paths));
    if (!add_config(&target, info, error)) {
        json_decref(info);
        return false;
    }
    add_cost(&target, info);
    if (json) {
        vtc_print_json(info);
        return true;
    }
    describe_parameters(info);
    layers = take_layers(info);
    print_human(info);
    if (layers)
        g_print("\n%s", layers);
    json_decref(info);
    return true;
}

const VtcVerb vtc_verb_info = {
    .name = "info",
    .words = "NAME[@VERSION]",
    .words_min = 1,
    .words_max = 1,
    .summary = "Show one template, and the clones that need it",
    .detail = "Without a version: the current one. The store is asked only for what a version\n"
              "takes that is not here.",
    .run = run,
};
