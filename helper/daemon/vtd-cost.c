/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-cost.c: what it takes to have a version on this host */
#include "vtd-cost.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vtd-bridge.h"

#include <sys/stat.h>

void
vtd_cost_free(VtdCost *cost)
{
    if (!cost)
        return;
    vtd_reader_clear(&cost->reader);
    vtd_version_free(cost->version);
    g_clear_pointer(&cost->others, g_ptr_array_unref);
    g_clear_pointer(&cost->elsewhere, g_ptr_array_unref);
    g_free(cost);
}

/* ---- who shares a layer ---- */

/* Adds NAME@VERSION to the users of each of its layers */
static void
add_user(GHashTable *users, const VtdVersion *version, const VtManifest *manifest)
{
    g_autofree char *reference = g_strdup_printf("%s@%s", version->name, version->version);
    g_autoptr(GPtrArray) layers = NULL;

    if (!vt_template_layers(manifest, &layers, NULL))
        return;
    for (guint i = 0; i < layers->len; i++) {
        const VtTemplateLayer *layer = layers->pdata[i];
        char text[VT_DIGEST_STRING_MAX];
        GPtrArray *names;

        vt_digest_format(&layer->index->digest, text);
        names = g_hash_table_lookup(users, text);
        if (!names) {
            names = g_ptr_array_new_with_free_func(g_free);
            g_hash_table_insert(users, g_strdup(text), names);
        }
        g_ptr_array_add(names, g_strdup(reference));
    }
}

/* A version whose manifest cannot be read is nobody's neighbour; the question is about another */
static GHashTable *
find_users(VtdCost *cost)
{
    GHashTable *users =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);

    for (guint i = 0; i < cost->others->len; i++) {
        g_autoptr(VtManifest) manifest = NULL;

        if (vtd_reader_kept(&cost->reader, cost->others->pdata[i], &manifest, NULL))
            add_user(users, cost->others->pdata[i], manifest);
    }
    for (guint i = 0; i < cost->elsewhere->len; i++) {
        g_autoptr(VtManifest) manifest = NULL;

        if (vtd_reader_manifest(&cost->reader, cost->elsewhere->pdata[i], &manifest, NULL))
            add_user(users, cost->elsewhere->pdata[i], manifest);
    }
    return users;
}

/* ---- one layer ---- */

/**
 * Answer: in the making; bytes of all layers
 * @users: who has a layer, by its digest
 * @fetch: of what is in the store, of layers that are not here
 * @disk: that layers here take
 * @expected: that those which are not here will take
 * @unknown: some publisher did not say what to expect
 */
typedef struct {
    VtdCost *cost;
    VtPool *files;
    GHashTable *users;
    uint64_t fetch;
    uint64_t disk;
    uint64_t expected;
    bool unknown;
} Answer;

static bool
data_size(const VtTemplateLayer *layer, guint64 *ret_size)
{
    const GHashTable *annotations = layer->index->annotations;
    const char *text =
        annotations ? g_hash_table_lookup((GHashTable *)annotations, VT_INDEX_DATA_SIZE_KEY) : NULL;

    return text && g_ascii_string_to_unsigned(text, 10, 0, VT_INDEX_CAPACITY_MAX, ret_size, NULL);
}

static void
add_disk(Answer *answer, const VtTemplateLayer *layer, bool here, GVariantDict *info)
{
    vt_autofd fd = -1;
    struct stat st;
    guint64 size;

    if (here && vt_pool_open_layer(answer->files, &layer->index->digest, &fd, NULL) &&
        fstat(fd, &st) == 0) {
        g_variant_dict_insert(info, "disk", "t", (guint64)st.st_blocks * 512);
        answer->disk += (uint64_t)st.st_blocks * 512;
    } else if (!here && data_size(layer, &size)) {
        g_variant_dict_insert(info, "expected", "t", size);
        answer->expected += size;
    } else if (!here) {
        answer->unknown = true;
    }
}

static bool
is_here(const void *user, const VtTemplateLayer *layer)
{
    return vt_pool_has_layer(((const Answer *)user)->files, &layer->index->digest);
}

/* @below: (nullable): its parent */
static GVariant *
describe_layer(Answer *answer, const VtTemplateLayer *layer, const VtTemplateLayer *below)
{
    VtdCost *cost = answer->cost;
    const bool here = is_here(answer, layer);
    const uint64_t fetch =
        here ? 0 : vtd_bridge_cost(&cost->reader, cost->version->name, layer, is_here, answer);
    char text[VT_DIGEST_STRING_MAX], parent[VT_DIGEST_STRING_MAX];
    const GPtrArray *names;
    GVariantDict info;

    vt_digest_format(&layer->index->digest, text);
    names = g_hash_table_lookup(answer->users, text);
    g_variant_dict_init(&info, NULL);
    g_variant_dict_insert(&info, "index", "s", text);
    if (below)
        g_variant_dict_insert(&info, "parent", "s",
                              vt_digest_format(&below->index->digest, parent));
    g_variant_dict_insert(&info, "here", "b", here);
    g_variant_dict_insert(&info, "stored", "t", vt_template_layer_size(layer));
    g_variant_dict_insert(&info, "fetch", "t", fetch);
    add_disk(answer, layer, here, &info);
    g_variant_dict_insert_value(&info, "shared",
                                g_variant_new_strv(names ? (const char *const *)names->pdata : NULL,
                                                   names ? (gssize)names->len : 0));
    answer->fetch += fetch;
    return g_variant_dict_end(&info);
}

static GVariant *
describe(Answer *answer, const GPtrArray *layers)
{
    const VtdVersion *version = answer->cost->version;
    GVariantBuilder rows;
    GVariantDict reply;

    g_variant_builder_init(&rows, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < layers->len; i++)
        g_variant_builder_add_value(
            &rows, describe_layer(answer, layers->pdata[i], i > 0 ? layers->pdata[i - 1] : NULL));
    g_variant_dict_init(&reply, NULL);
    g_variant_dict_insert(&reply, "name", "s", version->name);
    g_variant_dict_insert(&reply, "version", "s", version->version);
    g_variant_dict_insert(&reply, "fetch", "t", answer->fetch);
    g_variant_dict_insert(&reply, "disk", "t", answer->disk);
    if (!answer->unknown)
        g_variant_dict_insert(&reply, "expected", "t", answer->expected);
    g_variant_dict_insert_value(&reply, "layers", g_variant_builder_end(&rows));
    return g_variant_dict_end(&reply);
}

bool
vtd_cost_run(VtdCost *cost, GVariant **ret_reply, GError **error)
{
    g_autoptr(GHashTable) users = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    VtPool *files;
    Answer answer;

    if (!vtd_reader_files(&cost->reader, &files, error) ||
        !vtd_reader_manifest(&cost->reader, cost->version, &manifest, error) ||
        !vtd_reader_trust(&cost->reader, cost->version, error) ||
        !vt_template_layers(manifest, &layers, error)) {
        g_prefix_error(error, "%s@%s: ", cost->version->name, cost->version->version);
        return false;
    }
    users = find_users(cost);
    answer = (Answer){.cost = cost, .files = files, .users = users};
    *ret_reply = g_variant_ref_sink(describe(&answer, layers));
    return true;
}
