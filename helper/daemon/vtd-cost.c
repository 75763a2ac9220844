/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-cost.c: what it takes to have a version on this host */
#include "vtd-cost.h"

#include "vt-fs.h"
#include "vt-index.h"

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
 * Sums: bytes of all layers
 * @fetch: of what is in the store, of layers that are not here
 * @disk: that layers here take
 * @expected: that those which are not here will take
 * @unknown: some publisher did not say what to expect
 */
typedef struct {
    uint64_t fetch;
    uint64_t disk;
    uint64_t expected;
    bool unknown;
} Sums;

static bool
data_size(const VtTemplateLayer *layer, guint64 *ret_size)
{
    const GHashTable *annotations = layer->index->annotations;
    const char *text =
        annotations ? g_hash_table_lookup((GHashTable *)annotations, VT_INDEX_DATA_SIZE_KEY) : NULL;

    return text && g_ascii_string_to_unsigned(text, 10, 0, VT_INDEX_CAPACITY_MAX, ret_size, NULL);
}

static void
add_disk(VtPool *files, const VtTemplateLayer *layer, bool here, GVariantDict *info, Sums *sums)
{
    vt_autofd fd = -1;
    struct stat st;
    guint64 size;

    if (here && vt_pool_open_layer(files, &layer->index->digest, &fd, NULL) &&
        fstat(fd, &st) == 0) {
        g_variant_dict_insert(info, "disk", "t", (guint64)st.st_blocks * 512);
        sums->disk += (uint64_t)st.st_blocks * 512;
    } else if (!here && data_size(layer, &size)) {
        g_variant_dict_insert(info, "expected", "t", size);
        sums->expected += size;
    } else if (!here) {
        sums->unknown = true;
    }
}

static GVariant *
describe_layer(VtPool *files, const VtTemplateLayer *layer, const VtTemplateLayer *below,
               GHashTable *users, Sums *sums)
{
    const bool here = vt_pool_has_layer(files, &layer->index->digest);
    char text[VT_DIGEST_STRING_MAX], parent[VT_DIGEST_STRING_MAX];
    const uint64_t stored = vt_template_layer_size(layer);
    const GPtrArray *names;
    GVariantDict info;

    vt_digest_format(&layer->index->digest, text);
    names = g_hash_table_lookup(users, text);
    g_variant_dict_init(&info, NULL);
    g_variant_dict_insert(&info, "index", "s", text);
    if (below)
        g_variant_dict_insert(&info, "parent", "s",
                              vt_digest_format(&below->index->digest, parent));
    g_variant_dict_insert(&info, "here", "b", here);
    g_variant_dict_insert(&info, "stored", "t", stored);
    add_disk(files, layer, here, &info, sums);
    g_variant_dict_insert_value(&info, "shared",
                                g_variant_new_strv(names ? (const char *const *)names->pdata : NULL,
                                                   names ? (gssize)names->len : 0));
    if (!here)
        sums->fetch += stored;
    return g_variant_dict_end(&info);
}

static GVariant *
describe(const VtdCost *cost, VtPool *files, const GPtrArray *layers, GHashTable *users)
{
    GVariantBuilder rows;
    GVariantDict reply;
    Sums sums = {0};

    g_variant_builder_init(&rows, G_VARIANT_TYPE("aa{sv}"));
    for (guint i = 0; i < layers->len; i++)
        g_variant_builder_add_value(&rows, describe_layer(files, layers->pdata[i],
                                                          i > 0 ? layers->pdata[i - 1] : NULL,
                                                          users, &sums));
    g_variant_dict_init(&reply, NULL);
    g_variant_dict_insert(&reply, "name", "s", cost->version->name);
    g_variant_dict_insert(&reply, "version", "s", cost->version->version);
    g_variant_dict_insert(&reply, "fetch", "t", sums.fetch);
    g_variant_dict_insert(&reply, "disk", "t", sums.disk);
    if (!sums.unknown)
        g_variant_dict_insert(&reply, "expected", "t", sums.expected);
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

    if (!vtd_reader_files(&cost->reader, &files, error) ||
        !vtd_reader_manifest(&cost->reader, cost->version, &manifest, error) ||
        !vtd_reader_trust(&cost->reader, cost->version, error) ||
        !vt_template_layers(manifest, &layers, error)) {
        g_prefix_error(error, "%s@%s: ", cost->version->name, cost->version->version);
        return false;
    }
    users = find_users(cost);
    *ret_reply = g_variant_ref_sink(describe(cost, files, layers, users));
    return true;
}
