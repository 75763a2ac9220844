/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2-layout.c: the QCOW2 file that follows from a layer's index
 *
 * Theory of operation
 *
 *     header | refcount table | refcount blocks | L1 | L2 tables | data clusters
 *
 * A guest cluster is allocated if one of its blocks is stored, and an L2 table if it has something
 * to say. Both stand in guest order. So the file is described by the runs of allocated guest
 * clusters and the index, and any metadata cluster can be made from them alone.
 *
 * Clusters of delta layers have 32 subclusters of a block each. An L2 entry has a second word:
 *
 *     bits 63-32: subcluster reads as zeros │ bits 31-0: subcluster is in the data cluster
 *
 * Subclusters with neither bit are those of the backing file.
 */
#include "vt-qcow2-layout.h"

#include "vt-qcow2-format.h"

#define L2_ENTRY          8u
#define EXTENDED_L2_ENTRY 16u
#define ZERO_SHIFT        32
/* Of files without subclusters */
#define FLAT_CLUSTER_BITS 16u

/* Guest clusters [first, first + count) are data clusters [rank, rank + count) */
typedef struct {
    uint64_t first;
    uint64_t count;
    uint64_t rank;
} Run;

static uint64_t
divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static const Run *
run_at(const VtQcow2Layout *layout, guint i)
{
    return &g_array_index(layout->runs, Run, i);
}

/* Makes guest clusters [first, end) allocated; they come in guest order, and may start with the one
 * that was last */
static void
add_run(GArray *runs, uint64_t first, uint64_t end)
{
    Run *last = runs->len > 0 ? &g_array_index(runs, Run, runs->len - 1) : NULL;
    Run run = {.first = first, .count = end - first};

    if (last && last->first + last->count >= first) {
        last->count = end - last->first;
        return;
    }
    if (last)
        run.rank = last->rank + last->count;
    g_array_append_val(runs, run);
}

/* Guest clusters [first, end) need entries in L2 tables */
static void
add_tables(VtQcow2Layout *layout, uint64_t first, uint64_t end)
{
    const uint64_t last = (end - 1) / layout->table_entries;

    for (uint64_t table = first / layout->table_entries; table <= last; table++) {
        const uint32_t entry = (uint32_t)table;
        const guint len = layout->tables->len;

        if (len == 0 || g_array_index(layout->tables, uint32_t, len - 1) != entry)
            g_array_append_val(layout->tables, entry);
    }
}

/* Runs and tables of all that stands in the file, or hides what the parent has */
static void
add_extents(VtQcow2Layout *layout)
{
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_init(&iter, layout->index);
    while (vt_extent_iter_next(&iter, &extent)) {
        const uint64_t first = extent.guest / layout->blocks_per_cluster;
        const uint64_t end = divide_up(extent.guest + extent.length, layout->blocks_per_cluster);
        const bool stored = vt_extent_is_stored(&extent);

        if (stored)
            add_run(layout->runs, first, end);
        if (stored || (layout->is_delta && extent.kind == VT_EXTENT_ZERO))
            add_tables(layout, first, end);
    }
}

static uint64_t
l1_size(const VtQcow2Layout *layout)
{
    return divide_up(layout->capacity, (uint64_t)layout->cluster * layout->table_entries);
}

/* Refcounts count themselves, so their number is where this stops to grow */
static void
size_refcounts(VtQcow2Layout *layout, uint64_t others)
{
    uint64_t total = others, before;

    do {
        before = total;
        layout->refblocks = divide_up(total, layout->cluster / 2);
        layout->reftable_clusters = divide_up(layout->refblocks, layout->cluster / 8);
        total = others + layout->refblocks + layout->reftable_clusters;
    } while (total != before);
}

static VtQcow2Layout *
begin(uint64_t capacity, uint32_t cluster_bits, bool is_delta)
{
    VtQcow2Layout *layout = g_new0(VtQcow2Layout, 1);

    layout->capacity = capacity;
    layout->cluster = 1u << cluster_bits;
    layout->is_delta = is_delta;
    layout->blocks_per_cluster = layout->cluster / VT_INDEX_BLOCK_SIZE;
    layout->table_entries = layout->cluster / (is_delta ? EXTENDED_L2_ENTRY : L2_ENTRY);
    layout->runs = g_array_new(FALSE, FALSE, sizeof(Run));
    layout->tables = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    return layout;
}

/* All runs are known */
static void
finish(VtQcow2Layout *layout)
{
    uint64_t data = 0;

    if (layout->runs->len > 0) {
        const Run *last = run_at(layout, layout->runs->len - 1);

        data = last->rank + last->count;
    }
    layout->l1_clusters = divide_up(l1_size(layout), layout->cluster / 8);
    size_refcounts(layout, 1 + layout->l1_clusters + layout->tables->len + data);
    layout->metadata_clusters = 1 + layout->reftable_clusters + layout->refblocks +
                                layout->l1_clusters + layout->tables->len;
    layout->file_size = (layout->metadata_clusters + data) * layout->cluster;
}

VtQcow2Layout *
vt_qcow2_layout_new(const VtIndex *index, const char *backing)
{
    VtQcow2Layout *layout = begin(index->capacity, index->cluster_bits, index->is_delta);

    layout->index = index;
    layout->backing = g_strdup(backing);
    add_extents(layout);
    finish(layout);
    return layout;
}

VtQcow2Layout *
vt_qcow2_layout_flat(uint64_t capacity, const GArray *ranges)
{
    VtQcow2Layout *layout = begin(capacity, FLAT_CLUSTER_BITS, false);

    for (guint i = 0; i < ranges->len; i++) {
        const VtBlockRange *range = &g_array_index(ranges, VtBlockRange, i);
        const uint64_t first = range->first / layout->blocks_per_cluster;
        const uint64_t end = divide_up(range->first + range->count, layout->blocks_per_cluster);

        add_run(layout->runs, first, end);
        add_tables(layout, first, end);
    }
    finish(layout);
    return layout;
}

void
vt_qcow2_layout_free(VtQcow2Layout *layout)
{
    if (!layout)
        return;
    g_array_unref(layout->runs);
    g_array_unref(layout->tables);
    g_free(layout->backing);
    g_free(layout);
}

/* Number of the first run that ends behind guest cluster @cluster */
static guint
find_run(const VtQcow2Layout *layout, uint64_t cluster)
{
    guint low = 0, high = layout->runs->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const Run *run = run_at(layout, middle);

        if (run->first + run->count <= cluster)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t
vt_qcow2_layout_offset(const VtQcow2Layout *layout, uint64_t block)
{
    const uint64_t cluster = block / layout->blocks_per_cluster;
    const Run *run = run_at(layout, find_run(layout, cluster));
    const uint64_t number = layout->metadata_clusters + run->rank + (cluster - run->first);

    g_assert(cluster >= run->first);
    return number * layout->cluster + block % layout->blocks_per_cluster * VT_INDEX_BLOCK_SIZE;
}

/* ---- metadata ---- */

static void
put_header(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t l1 = 1 + layout->reftable_clusters + layout->refblocks;
    const Qcow2Header header = {
        .capacity = layout->capacity,
        .cluster_bits = (uint32_t)g_bit_nth_lsf(layout->cluster, -1),
        .incompatible = layout->is_delta ? QCOW2_INCOMPATIBLE_EXTENDED_L2 : 0,
        .reftable_offset = layout->cluster,
        .reftable_clusters = (uint32_t)layout->reftable_clusters,
        .l1_offset = l1 * layout->cluster,
        .l1_size = (uint32_t)l1_size(layout),
    };

    qcow2_put_header(buffer, &header);
    if (layout->backing)
        qcow2_put_backing(buffer, "qcow2", layout->backing);
}

static void
put_reftable(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t entries = layout->cluster / 8, first = number * entries;

    for (uint64_t i = 0; i < entries && first + i < layout->refblocks; i++)
        qcow2_put64(buffer + i * 8, (1 + layout->reftable_clusters + first + i) * layout->cluster);
}

static void
put_refblock(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t entries = layout->cluster / 2, first = number * entries;
    const uint64_t clusters = layout->file_size / layout->cluster;

    for (uint64_t i = 0; i < entries && first + i < clusters; i++)
        qcow2_put16(buffer + i * 2, 1);
}

static void
put_l1(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t tables = layout->metadata_clusters - layout->tables->len;
    const uint64_t entries = layout->cluster / 8;

    for (guint i = 0; i < layout->tables->len; i++) {
        const uint64_t entry = g_array_index(layout->tables, uint32_t, i);

        if (entry / entries == number)
            qcow2_put64(buffer + entry % entries * 8,
                        QCOW2_COPIED | (tables + i) * layout->cluster);
    }
}

/* Sets, in the second words of a table whose first guest block is @first, the bits of @extent */
static void
put_bitmaps(const VtQcow2Layout *layout, const VtExtent *extent, uint64_t first, uint8_t *buffer)
{
    const int shift = extent->kind == VT_EXTENT_ZERO ? ZERO_SHIFT : 0;
    const uint64_t blocks = (uint64_t)layout->table_entries * layout->blocks_per_cluster;
    const uint64_t end = MIN(extent->guest + extent->length, first + blocks);
    uint64_t block = MAX(extent->guest, first);

    while (block < end) {
        const uint64_t entry = (block - first) / layout->blocks_per_cluster;
        const uint32_t from = (uint32_t)(block % layout->blocks_per_cluster);
        const uint32_t count = (uint32_t)MIN(end - block, layout->blocks_per_cluster - from);
        const uint64_t bits = (count == 32 ? UINT32_MAX : (1u << count) - 1);
        uint8_t *word = buffer + entry * EXTENDED_L2_ENTRY + 8;

        qcow2_put64(word, qcow2_get64(word) | bits << from << shift);
        block += count;
    }
}

static void
put_subclusters(const VtQcow2Layout *layout, uint64_t first_cluster, uint8_t *buffer)
{
    const uint64_t first = first_cluster * layout->blocks_per_cluster;
    const uint64_t end = first + (uint64_t)layout->table_entries * layout->blocks_per_cluster;
    VtExtentIter iter;
    VtExtent extent;

    vt_extent_iter_seek(&iter, layout->index, first);
    while (vt_extent_iter_next(&iter, &extent) && extent.guest < end) {
        if (!vt_extent_is_inherited(&extent))
            put_bitmaps(layout, &extent, first, buffer);
    }
}

static void
put_l2(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint32_t entry_size = layout->cluster / layout->table_entries;
    const uint64_t first =
        (uint64_t)g_array_index(layout->tables, uint32_t, number) * layout->table_entries;
    const uint64_t end = first + layout->table_entries;

    for (guint i = find_run(layout, first); i < layout->runs->len; i++) {
        const Run *run = run_at(layout, i);
        const uint64_t stop = MIN(end, run->first + run->count);

        for (uint64_t c = MAX(first, run->first); c < stop; c++) {
            const uint64_t data = layout->metadata_clusters + run->rank + (c - run->first);

            qcow2_put64(buffer + (c - first) * entry_size, QCOW2_COPIED | data * layout->cluster);
        }
        if (run->first >= end)
            break;
    }
    if (layout->is_delta)
        put_subclusters(layout, first, buffer);
}

void
vt_qcow2_layout_metadata(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const struct {
        uint64_t clusters;
        void (*put)(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer);
    } parts[] = {
        {1, put_header},
        {layout->reftable_clusters, put_reftable},
        {layout->refblocks, put_refblock},
        {layout->l1_clusters, put_l1},
        {layout->tables->len, put_l2},
    };

    memset(buffer, 0, layout->cluster);
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (number < parts[i].clusters) {
            parts[i].put(layout, number, buffer);
            return;
        }
        number -= parts[i].clusters;
    }
    g_assert_not_reached();
}
