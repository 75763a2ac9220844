/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-compare.c: what differs between two versions
 *
 * Theory of operation. The indexes of both chains, each of which has the digest that a trusted
 * manifest gives, say which blocks come from the same data. The others are read and compared if all
 * layers are here; then the answer is exact.
 */
#include "vtd-compare.h"

#include "vt-chain.h"
#include "vt-compare.h"
#include "vt-fs.h"
#include "vtd-bridge.h"

#include <string.h>

#define BLOCK VT_INDEX_BLOCK_SIZE
/* Read from each disk at once */
#define READ_BLOCKS 256u
/* Then what is left is taken from the indexes: there is a caller that waits */
#define READ_TIME (G_USEC_PER_SEC * 40)

/* One of the two: layers the lowest first, the rest the top first */
typedef struct {
    VtManifest *manifest;
    GPtrArray *layers;  /* (element-type VtTemplateLayer) */
    GPtrArray *indexes; /* (element-type VtIndex): belong to the run */
    GArray *ancestors;  /* (element-type VtAncestor) */
    VtDisk *disk;
    VtChain *chain;
} Side;

typedef struct {
    VtdCompare *compare;
    VtPool *files;
    GHashTable *parsed; /* (element-type utf8 VtIndex): by digest */
    Side sides[2];
    bool exact;
    gint64 until;
    uint64_t changed;
    uint8_t *buffers[2];
} Run;

void
vtd_compare_free(VtdCompare *compare)
{
    if (!compare)
        return;
    vtd_reader_clear(&compare->reader);
    for (size_t i = 0; i < G_N_ELEMENTS(compare->versions); i++)
        vtd_version_free(compare->versions[i]);
    g_free(compare);
}

static void
ancestor_clear(gpointer data)
{
    VtAncestor *ancestor = data;

    vt_close_fd(&ancestor->fd);
    g_clear_pointer(&ancestor->index, g_bytes_unref);
}

static void
run_clear(Run *run)
{
    for (size_t i = 0; i < G_N_ELEMENTS(run->sides); i++) {
        Side *side = &run->sides[i];

        g_clear_pointer(&side->chain, vt_chain_free);
        g_clear_pointer(&side->disk, vt_disk_free);
        g_clear_pointer(&side->ancestors, g_array_unref);
        g_clear_pointer(&side->indexes, g_ptr_array_unref);
        g_clear_pointer(&side->layers, g_ptr_array_unref);
        g_clear_pointer(&side->manifest, vt_manifest_free);
        g_free(run->buffers[i]);
    }
    g_clear_pointer(&run->parsed, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

/* ---- the indexes ---- */

/* @below: (nullable): the layer that the manifest has below it */
static bool
check_link(const VtIndex *index, const VtTemplateLayer *below, GError **error)
{
    if (index->is_delta == (below != NULL) &&
        (!below || vt_digest_equal(&index->parent, &below->index->digest)))
        return true;
    return vt_throw(error, VT_ERROR_INVALID,
                    "a layer of the manifest is not made over the one before it");
}

/* A layer that both have is the same object for both */
static bool
add_layer(Run *run, const VtdVersion *version, Side *side, guint number, GError **error)
{
    const VtTemplateLayer *layer = side->layers->pdata[number];
    const VtDescriptor *descriptor = layer->index;
    char text[VT_DIGEST_STRING_MAX];
    VtAncestor ancestor = {.fd = -1};
    VtIndex *index;

    if (!vtd_reader_index(&run->compare->reader, version->name, descriptor, &ancestor.index, error))
        return false;
    g_array_append_val(side->ancestors, ancestor);
    vt_digest_format(&descriptor->digest, text);
    index = g_hash_table_lookup(run->parsed, text);
    if (!index) {
        if (!vt_index_parse(ancestor.index, &index, error))
            return false;
        g_hash_table_insert(run->parsed, g_strdup(text), index);
    }
    g_ptr_array_add(side->indexes, index);
    return check_link(index, number > 0 ? side->layers->pdata[number - 1] : NULL, error);
}

static bool
load(Run *run, guint number, GError **error)
{
    VtdReader *reader = &run->compare->reader;
    const VtdVersion *version = run->compare->versions[number];
    Side *side = &run->sides[number];

    side->indexes = g_ptr_array_new();
    side->ancestors = g_array_new(FALSE, FALSE, sizeof(VtAncestor));
    g_array_set_clear_func(side->ancestors, ancestor_clear);
    if (!vtd_reader_manifest(reader, version, &side->manifest, error) ||
        !vtd_reader_trust(reader, version, error) ||
        !vt_template_layers(side->manifest, &side->layers, error))
        return false;
    for (guint i = side->layers->len; i > 0; i--) {
        if (!add_layer(run, version, side, i - 1, error))
            return false;
    }
    side->disk = vt_disk_new((const VtIndex *const *)side->indexes->pdata, side->indexes->len);
    return true;
}

/* ---- what is here ---- */

/* Opens the files of all layers of both; without one of them, there is nothing to read */
static bool
open_chain(Run *run, Side *side)
{
    const VtTemplateLayer *top = side->layers->pdata[side->layers->len - 1];

    for (guint i = 0; i < side->ancestors->len; i++) {
        const VtTemplateLayer *layer = side->layers->pdata[side->layers->len - 1 - i];

        if (!vt_pool_open_layer(run->files, &layer->index->digest,
                                &g_array_index(side->ancestors, VtAncestor, i).fd, NULL))
            return false;
    }
    return vt_chain_new(&top->index->digest, (const VtAncestor *)(void *)side->ancestors->data,
                        side->ancestors->len, &side->chain, NULL);
}

static void
prepare_reading(Run *run)
{
    run->exact = run->compare->read;
    for (size_t i = 0; run->exact && i < G_N_ELEMENTS(run->sides); i++) {
        run->exact = open_chain(run, &run->sides[i]);
        run->buffers[i] = g_malloc((gsize)READ_BLOCKS * BLOCK);
    }
    run->until = g_get_monotonic_time() + READ_TIME;
}

static bool
read_and_count(Run *run, uint64_t block, uint32_t length, GError **error)
{
    const VtPrefix place = {.source = block, .length = length, .ancestor = 1};

    for (size_t i = 0; i < G_N_ELEMENTS(run->sides); i++) {
        if (!vt_chain_read(run->sides[i].chain, &place, run->buffers[i], error))
            return false;
    }
    for (gsize at = 0; at < (gsize)length * BLOCK; at += BLOCK)
        run->changed += memcmp(run->buffers[0] + at, run->buffers[1] + at, BLOCK) != 0;
    return true;
}

static bool
differs(void *user, uint64_t block, uint64_t length, GError **error)
{
    Run *run = user;

    if (g_cancellable_set_error_if_cancelled(run->compare->reader.cancellable, error))
        return false;
    while (run->exact && length > 0) {
        const uint32_t count = (uint32_t)MIN(length, READ_BLOCKS);

        if (!read_and_count(run, block, count, error))
            return false;
        block += count;
        length -= count;
        run->exact = g_get_monotonic_time() < run->until;
    }
    run->changed += length;
    return true;
}

/* ---- the answer ---- */

static bool
has_layer(const void *user, const VtTemplateLayer *wanted)
{
    const Side *side = user;

    for (guint i = 0; i < side->layers->len; i++) {
        const VtTemplateLayer *layer = side->layers->pdata[i];

        if (vt_digest_equal(&layer->index->digest, &wanted->index->digest))
            return true;
    }
    return false;
}

/* Layers that both have are the lowest ones of both */
static const char *
relation_of(const Side *from, const Side *to)
{
    const bool above = has_layer(to, from->layers->pdata[from->layers->len - 1]);
    const bool below = has_layer(from, to->layers->pdata[to->layers->len - 1]);

    if (above && below)
        return "same";
    if (above)
        return "above";
    if (below)
        return "below";
    return has_layer(from, to->layers->pdata[0]) ? "related" : "unrelated";
}

/* For a host that has all of @from */
static uint64_t
bytes_to_fetch(VtdCompare *compare, const Side *from, const Side *to)
{
    uint64_t bytes = 0;

    for (guint i = 0; i < to->layers->len; i++) {
        if (!has_layer(from, to->layers->pdata[i]))
            bytes += vtd_bridge_cost(&compare->reader, compare->versions[1]->name,
                                     to->layers->pdata[i], has_layer, from);
    }
    return bytes;
}

static GVariant *
reply_of(const Run *run)
{
    const Side *from = &run->sides[0], *to = &run->sides[1];
    const uint64_t before = vt_disk_blocks(from->disk), after = vt_disk_blocks(to->disk);
    GVariantDict reply;

    g_variant_dict_init(&reply, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(run->sides); i++) {
        const VtdVersion *version = run->compare->versions[i];
        g_autofree char *reference = g_strdup_printf("%s@%s", version->name, version->version);

        g_variant_dict_insert(&reply, i == 0 ? "from" : "to", "s", reference);
    }
    g_variant_dict_insert(&reply, "relation", "s", relation_of(from, to));
    g_variant_dict_insert(&reply, "exact", "b", run->exact);
    g_variant_dict_insert(&reply, "changed", "t", run->changed);
    g_variant_dict_insert(&reply, "added", "t", after > before ? after - before : 0);
    g_variant_dict_insert(&reply, "removed", "t", before > after ? before - after : 0);
    g_variant_dict_insert(&reply, "fetch", "t", bytes_to_fetch(run->compare, from, to));
    return g_variant_dict_end(&reply);
}

bool
vtd_compare_run(VtdCompare *compare, GVariant **ret_reply, GError **error)
{
    g_auto(Run) run = {.compare = compare};

    run.parsed =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vt_index_free);
    if (!vtd_reader_files(&compare->reader, &run.files, error))
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(run.sides); i++) {
        if (!load(&run, i, error)) {
            g_prefix_error(error, "%s@%s: ", compare->versions[i]->name,
                           compare->versions[i]->version);
            return false;
        }
    }
    prepare_reading(&run);
    if (!vt_compare_disks(run.sides[0].disk, run.sides[1].disk, differs, &run, error))
        return false;
    *ret_reply = g_variant_ref_sink(reply_of(&run));
    return true;
}
