/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-cost.c: what it takes to have a version on this host, for people */
#include "vtc-cost.h"

#include "vt-digest.h"
#include "vtc-print.h"

#include <string.h>

/* Of the 64 hex digits of a digest; enough to tell the layers of a pool apart */
#define SHORT_DIGITS 12

bool
vtc_cost_ask(const VtcTarget *target, bool all, json_t **ret_cost, GError **error)
{
    g_autoptr(GVariant) reply = NULL, cost = NULL;

    if (!vtc_client_call(
            target->client, "GetCost",
            g_variant_new("(sssb)", target->pool->target, target->name, target->version, all),
            "(a{sv})", &reply, error))
        return false;
    cost = g_variant_get_child_value(reply, 0);
    *ret_cost = vtc_print_variant(cost);
    return true;
}

static char *
size_of(const json_t *object, const char *key)
{
    return vtc_print_size((uint64_t)json_integer_value(json_object_get(object, key)));
}

char *
vtc_cost_sum(const json_t *cost)
{
    g_autofree char *fetch = size_of(cost, "fetch"), *disk = size_of(cost, "disk");
    g_autofree char *expected = size_of(cost, "expected");
    const bool known = json_object_get(cost, "expected") != NULL;

    if (json_integer_value(json_object_get(cost, "fetch")) == 0)
        return g_strdup_printf("nothing to fetch; its layers take %s of this disk", disk);
    return g_strdup_printf("%s to fetch; its layers take %s of this disk, and %s%s more", fetch,
                           disk, known ? "about " : "an unknown number of bytes",
                           known ? expected : "");
}

/* "sha256:0123456789ab..." becomes "0123456789ab" */
static char *
shorten(const json_t *layer, const char *key)
{
    const char *digest = json_string_value(json_object_get(layer, key));

    if (!digest || strlen(digest) < strlen(VT_DIGEST_PREFIX) + SHORT_DIGITS)
        return g_strdup("-");
    return g_strndup(digest + strlen(VT_DIGEST_PREFIX), SHORT_DIGITS);
}

static char *
join(const json_t *names)
{
    GString *text = g_string_new(NULL);
    const json_t *name;
    size_t i;

    json_array_foreach(names, i, name)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", json_string_value(name));
    if (text->len == 0)
        g_string_append_c(text, '-');
    return g_string_free(text, FALSE);
}

/* One that is made here out of a difference is neither here nor fetched */
static const char *
state_of(const json_t *layer)
{
    const json_int_t fetch = json_integer_value(json_object_get(layer, "fetch"));

    if (json_is_true(json_object_get(layer, "here")))
        return "yes";
    return fetch < json_integer_value(json_object_get(layer, "stored")) ? "bridge" : "no";
}

static void
add_layer(VtcTable *table, const json_t *layer)
{
    const bool here = json_is_true(json_object_get(layer, "here"));
    g_autofree char *index = shorten(layer, "index"), *parent = shorten(layer, "parent");
    g_autofree char *stored = size_of(layer, "stored"), *disk = size_of(layer, "disk");
    g_autofree char *expected = size_of(layer, "expected");
    g_autofree char *about = json_object_get(layer, "expected")
                                 ? g_strdup_printf("about %s", expected)
                                 : g_strdup("unknown");
    g_autofree char *shared = join(json_object_get(layer, "shared"));
    const char *const cells[] = {index,  parent, state_of(layer), stored, here ? disk : about,
                                 shared, NULL};

    vtc_table_add(table, cells);
}

char *
vtc_cost_layers(const json_t *cost)
{
    static const char *const titles[] = {"LAYER",    "PARENT",      "HERE", ">STORED",
                                         ">ON DISK", "SHARED WITH", NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    const json_t *layer;
    size_t i;

    json_array_foreach(json_object_get(cost, "layers"), i, layer) add_layer(table, layer);
    return vtc_table_format(table);
}
