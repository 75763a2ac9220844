/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2-layout.h: the QCOW2 file that follows from a layer's index (docs/layer-format.md 6) */
#pragma once

#include "vt-index.h"

/* The largest cluster of a layout */
#define VT_QCOW2_LAYOUT_CLUSTER_MAX 131072u

/**
 * VtQcow2Layout: read only
 * @capacity: virtual size, bytes
 * @cluster: bytes of a cluster
 * @file_size: bytes, a multiple of the cluster size
 * @metadata_clusters: clusters from the file's beginning; behind them are data clusters, those with
 *   data in guest order
 */
typedef struct {
    uint64_t capacity;
    uint32_t cluster;
    uint64_t file_size;
    uint64_t metadata_clusters;
    /*< private >*/
    const VtIndex *index;
    bool is_delta;
    char *backing;
    GArray *runs;
    GArray *tables;
    uint32_t blocks_per_cluster;
    uint32_t table_entries;
    uint64_t reftable_clusters;
    uint64_t refblocks;
    uint64_t l1_clusters;
} VtQcow2Layout;

/**
 * vt_qcow2_layout_new:
 * @index: must live as long
 * @backing: (nullable): absolute path of the parent's file, at most %VT_QCOW2_BACKING_MAX bytes; of
 *   a delta layer
 */
VtQcow2Layout *vt_qcow2_layout_new(const VtIndex *index, const char *backing);

/** VtBlockRange: guest blocks [@first, @first + @count), which are not none */
typedef struct {
    uint64_t first;
    uint64_t count;
} VtBlockRange;

/**
 * vt_qcow2_layout_flat:
 * @capacity: bytes, a multiple of 512
 * @ranges: (element-type VtBlockRange): what has data, in guest order
 *
 * The file of a disk that is nobody's layer: as that of a full layer with these data.
 */
VtQcow2Layout *vt_qcow2_layout_flat(uint64_t capacity, const GArray *ranges);

void vt_qcow2_layout_free(VtQcow2Layout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtQcow2Layout, vt_qcow2_layout_free)

/** vt_qcow2_layout_metadata: Writes cluster @number, below @metadata_clusters, of the file to
 *  @buffer of @cluster bytes */
void vt_qcow2_layout_metadata(const VtQcow2Layout *layout, uint64_t number, uint8_t *buffer);

/**
 * vt_qcow2_layout_offset:
 * @block: number of a guest block in an allocated cluster
 *
 * Returns: offset of the block in the file. Guest blocks that follow each other in allocated
 * clusters follow each other in the file, except where whole clusters without data are left out.
 */
uint64_t vt_qcow2_layout_offset(const VtQcow2Layout *layout, uint64_t block);
