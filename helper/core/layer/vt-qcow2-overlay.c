/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2-overlay.c: making empty QCOW2 overlays
 *
 * Clusters of the file: 0 header, 1 refcount table, 2 refcount block, 3... L1, which is empty. A
 * refcount block counts 32768 clusters or more, so one is enough.
 */
#include "vt-qcow2.h"

#include "vt-qcow2-format.h"

#include <inttypes.h>

#define PLAIN_CLUSTER_BITS    16u
#define EXTENDED_CLUSTER_BITS 17u

enum {
    REFTABLE_CLUSTER = 1,
    REFBLOCK_CLUSTER = 2,
    L1_CLUSTER = 3,
};

static bool
check_overlay(const VtQcow2Overlay *overlay, GError **error)
{
    if (overlay->capacity == 0 || overlay->capacity % 512 != 0 ||
        overlay->capacity > VT_QCOW2_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "capacity %" PRIu64 " is not a multiple of 512 bytes up to %" PRIu64,
                        overlay->capacity, VT_QCOW2_CAPACITY_MAX);
    /* Relative, it would be read from the overlay's directory; without a slash in front, as a URL
     */
    if (overlay->backing_file[0] != '/')
        return vt_throw(error, VT_ERROR_INVALID, "backing file '%.80s' is not an absolute path",
                        overlay->backing_file);
    if (strlen(overlay->backing_file) > VT_QCOW2_BACKING_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "backing file '%.80s...' is longer than the %d bytes QCOW2 allows",
                        overlay->backing_file, VT_QCOW2_BACKING_MAX);
    if (strcmp(overlay->backing_format, "qcow2") != 0 &&
        strcmp(overlay->backing_format, "raw") != 0)
        return vt_throw(error, VT_ERROR_INVALID, "backing format '%.20s' is not qcow2 or raw",
                        overlay->backing_format);
    return true;
}

bool
vt_qcow2_overlay_encode(const VtQcow2Overlay *overlay, GBytes **ret_bytes, uint64_t *ret_file_size,
                        GError **error)
{
    const uint32_t bits = overlay->subclusters ? EXTENDED_CLUSTER_BITS : PLAIN_CLUSTER_BITS;
    const uint64_t cluster = UINT64_C(1) << bits;
    /* an L2 table of one cluster has entries of 8 bytes, or 16 with bitmaps of subclusters */
    const uint64_t per_l1 = cluster * (cluster / (overlay->subclusters ? 16 : 8));
    const uint32_t l1_size = (uint32_t)((overlay->capacity + per_l1 - 1) / per_l1);
    const uint64_t clusters = L1_CLUSTER + (l1_size * UINT64_C(8) + cluster - 1) / cluster;
    const size_t length = REFBLOCK_CLUSTER * cluster + clusters * 2;
    const Qcow2Header header = {
        .capacity = overlay->capacity,
        .cluster_bits = bits,
        .incompatible = overlay->subclusters ? QCOW2_INCOMPATIBLE_EXTENDED_L2 : 0,
        .reftable_offset = REFTABLE_CLUSTER * cluster,
        .reftable_clusters = 1,
        .l1_offset = L1_CLUSTER * cluster,
        .l1_size = l1_size,
    };
    uint8_t *data;

    if (!check_overlay(overlay, error))
        return false;
    data = g_malloc0(length);
    qcow2_put_header(data, &header);
    qcow2_put_backing(data, overlay->backing_format, overlay->backing_file);
    qcow2_put64(data + REFTABLE_CLUSTER * cluster, REFBLOCK_CLUSTER * cluster);
    for (uint64_t i = 0; i < clusters; i++)
        qcow2_put16(data + REFBLOCK_CLUSTER * cluster + i * 2, 1);
    *ret_bytes = g_bytes_new_take(data, length);
    *ret_file_size = clusters * cluster;
    return true;
}
