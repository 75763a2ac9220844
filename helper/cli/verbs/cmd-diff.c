/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-diff.c: virt-template diff NAME[@VERSION] NAME[@VERSION] */
#include "vtc-pool.h"
#include "vtc-print.h"
#include "vtc-verb.h"

#include "vt-index.h"
#include "vt-name.h"

#include <string.h>

static uint64_t
number_of(GVariant *difference, const char *key)
{
    guint64 number = 0;

    g_variant_lookup(difference, key, "t", &number);
    return number;
}

/* "  changed   83 blocks (332.0 KiB)" */
static void
print_blocks(const char *what, uint64_t blocks, const char *limit)
{
    g_autofree char *size = vtc_print_size(blocks * VT_INDEX_BLOCK_SIZE);

    g_print("  %-9s %s%" G_GUINT64_FORMAT " block%s (%s)\n", what, limit, blocks,
            blocks == 1 ? "" : "s", size);
}

static void
print_human(GVariant *difference)
{
    static const struct {
        const char *relation, *text;
    } texts[] = {
        {"same", "they have the same layers"},
        {"above", "the second is made over the first"},
        {"below", "the first is made over the second"},
        {"related", "they are made over the same layer"},
        {"unrelated", "they have no layer in common"},
    };
    const char *from = "", *to = "", *relation = "";
    g_autofree char *fetch = vtc_print_size(number_of(difference, "fetch"));
    gboolean exact = FALSE;

    g_variant_lookup(difference, "from", "&s", &from);
    g_variant_lookup(difference, "to", "&s", &to);
    g_variant_lookup(difference, "relation", "&s", &relation);
    g_variant_lookup(difference, "exact", "b", &exact);
    g_print("%s -> %s\n", from, to);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (strcmp(texts[i].relation, relation) == 0)
            g_print("  %-9s %s\n", "relation", texts[i].text);
    }
    print_blocks("changed", number_of(difference, "changed"), exact ? "" : "at most ");
    print_blocks("added", number_of(difference, "added"), "");
    print_blocks("removed", number_of(difference, "removed"), "");
    g_print("  %-9s %s, for a host that has the first\n", "to fetch", fetch);
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcTarget) from = {0};
    g_autoptr(GVariant) reply = NULL, difference = NULL;
    g_autofree char *name = NULL, *version = NULL;
    g_auto(GStrv) words = NULL;
    gboolean json = FALSE;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_reference_parse(words[1], &name, &version, error) ||
        !vtc_target_open(&helper, false, words[0], &from, error) ||
        !vtc_client_call(
            from.client, "Compare",
            g_variant_new("(sssss)", from.pool->target, from.name, from.version, name, version),
            "(a{sv})", &reply, error))
        return false;
    difference = g_variant_get_child_value(reply, 0);
    if (json)
        vtc_print_json(vtc_print_variant(difference));
    else
        print_human(difference);
    return true;
}

const VtcVerb vtc_verb_diff = {
    .name = "diff",
    .words = "NAME[@VERSION] NAME[@VERSION]",
    .words_min = 2,
    .words_max = 2,
    .summary = "Show what differs between two versions",
    .detail = "Without a version: the current one. Fetches no data: the indexes of the layers\n"
              "tell which blocks differ at most. Exact if both versions are on this host.",
    .run = run,
};
