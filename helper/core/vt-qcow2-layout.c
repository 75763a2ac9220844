/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2-layout.c: the QCOW2 file that follows from a layer's index
 *
 * Theory of operation
 *
 *     header | refcount table | refcount blocks | L1 | L2 tables | data clusters
 *
 * A guest cluster is allocated if one of its blocks is not zero, and an L2 table if one of its
 * clusters is. Both stand in guest order. So the file is described by the runs of allocated guest
 * clusters, and any metadata cluster can be made from them alone.
 */
#include "vt-qcow2-layout.h"

#include "vt-qcow2-format.h"

#define CLUSTER_BITS       16u
#define CLUSTER            VT_QCOW2_LAYOUT_CLUSTER
#define BLOCKS_PER_CLUSTER (CLUSTER / VT_INDEX_BLOCK_SIZE)
#define TABLE_ENTRIES      (CLUSTER / 8)
#define REFBLOCK_ENTRIES   (CLUSTER / 2)

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

/* Which entries of L1 have an L2 table */
static void
add_tables(VtQcow2Layout *layout)
{
    for (guint i = 0; i < layout->runs->len; i++) {
        const Run *run = run_at(layout, i);
        const uint64_t last = (run->first + run->count - 1) / TABLE_ENTRIES;

        for (uint64_t table = run->first / TABLE_ENTRIES; table <= last; table++) {
            uint32_t entry = (uint32_t)table;
            guint len = layout->tables->len;

            if (len == 0 || g_array_index(layout->tables, uint32_t, len - 1) != entry)
                g_array_append_val(layout->tables, entry);
        }
    }
}

/* Refcounts count themselves, so their number is where this stops to grow */
static void
size_refcounts(VtQcow2Layout *layout, uint64_t others)
{
    uint64_t total = others, before;

    do {
        before = total;
        layout->refblocks = divide_up(total, REFBLOCK_ENTRIES);
        layout->reftable_clusters = divide_up(layout->refblocks, TABLE_ENTRIES);
        total = others + layout->refblocks + layout->reftable_clusters;
    } while (total != before);
}

VtQcow2Layout *
vt_qcow2_layout_new(const VtIndex *index)
{
    VtQcow2Layout *layout = g_new0(VtQcow2Layout, 1);
    uint64_t data = 0;
    VtExtentIter iter;
    VtExtent extent;

    layout->capacity = index->capacity;
    layout->runs = g_array_new(FALSE, FALSE, sizeof(Run));
    layout->tables = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (extent.kind != VT_EXTENT_ZERO)
            add_run(layout->runs, extent.guest / BLOCKS_PER_CLUSTER,
                    divide_up(extent.guest + extent.length, BLOCKS_PER_CLUSTER));
    }
    if (layout->runs->len > 0) {
        const Run *last = run_at(layout, layout->runs->len - 1);

        data = last->rank + last->count;
    }
    add_tables(layout);
    layout->l1_clusters =
        divide_up(divide_up(index->capacity, (uint64_t)CLUSTER * TABLE_ENTRIES), TABLE_ENTRIES);
    size_refcounts(layout, 1 + layout->l1_clusters + layout->tables->len + data);
    layout->metadata_clusters = 1 + layout->reftable_clusters + layout->refblocks +
                                layout->l1_clusters + layout->tables->len;
    layout->file_size = (layout->metadata_clusters + data) * CLUSTER;
    return layout;
}

void
vt_qcow2_layout_free(VtQcow2Layout *layout)
{
    if (!layout)
        return;
    g_array_unref(layout->runs);
    g_array_unref(layout->tables);
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
    const uint64_t cluster = block / BLOCKS_PER_CLUSTER;
    const Run *run = run_at(layout, find_run(layout, cluster));
    const uint64_t number = layout->metadata_clusters + run->rank + (cluster - run->first);

    g_assert(cluster >= run->first);
    return number * CLUSTER + block % BLOCKS_PER_CLUSTER * VT_INDEX_BLOCK_SIZE;
}

/* ---- metadata ---- */

static void
put_header(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t l1 = 1 + layout->reftable_clusters + layout->refblocks;
    const Qcow2Header header = {
        .capacity = layout->capacity,
        .cluster_bits = CLUSTER_BITS,
        .reftable_offset = CLUSTER,
        .reftable_clusters = (uint32_t)layout->reftable_clusters,
        .l1_offset = l1 * CLUSTER,
        .l1_size = (uint32_t)divide_up(layout->capacity, (uint64_t)CLUSTER * TABLE_ENTRIES),
    };

    qcow2_put_header(buffer, &header);
}

static void
put_reftable(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t first = number * TABLE_ENTRIES;

    for (uint64_t i = 0; i < TABLE_ENTRIES && first + i < layout->refblocks; i++)
        qcow2_put64(buffer + i * 8, (1 + layout->reftable_clusters + first + i) * CLUSTER);
}

static void
put_refblock(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t first = number * REFBLOCK_ENTRIES;
    const uint64_t clusters = layout->file_size / CLUSTER;

    for (uint64_t i = 0; i < REFBLOCK_ENTRIES && first + i < clusters; i++)
        qcow2_put16(buffer + i * 2, 1);
}

static void
put_l1(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t tables = layout->metadata_clusters - layout->tables->len;

    for (guint i = 0; i < layout->tables->len; i++) {
        const uint64_t entry = g_array_index(layout->tables, uint32_t, i);

        if (entry / TABLE_ENTRIES == number)
            qcow2_put64(buffer + entry % TABLE_ENTRIES * 8, QCOW2_COPIED | (tables + i) * CLUSTER);
    }
}

static void
put_l2(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer)
{
    const uint64_t first =
        (uint64_t)g_array_index(layout->tables, uint32_t, number) * TABLE_ENTRIES;
    const uint64_t end = first + TABLE_ENTRIES;

    for (guint i = find_run(layout, first); i < layout->runs->len; i++) {
        const Run *run = run_at(layout, i);
        const uint64_t stop = MIN(end, run->first + run->count);

        for (uint64_t c = MAX(first, run->first); c < stop; c++) {
            const uint64_t data = layout->metadata_clusters + run->rank + (c - run->first);

            qcow2_put64(buffer + (c - first) * 8, QCOW2_COPIED | data * CLUSTER);
        }
        if (run->first >= end)
            break;
    }
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

    memset(buffer, 0, CLUSTER);
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (number < parts[i].clusters) {
            parts[i].put(layout, number, buffer);
            return;
        }
        number -= parts[i].clusters;
    }
    g_assert_not_reached();
}
