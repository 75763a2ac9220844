/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-index.c: no bytes make the reader of an index, or what relies on it, go wrong
 *
 * The digests of the pages are made right first: else hardly any input would get past them.
 */
#include "fuzz.h"
#include "vt-index-format.h"
#include "vt-qcow2-layout.h"

/* An input that can be reproduced does not need more */
#define PAGES_TRIED 64

static void
reseal(uint8_t *data, size_t size)
{
    const uint64_t sections = get32(data + ROOT_SECTION_COUNT);
    const uint64_t pages = get32(data + ROOT_PAGE_COUNT);
    const uint64_t table = ROOT_HEADER + sections * SECTION_ENTRY;
    const uint64_t root = table + pages * PAGE_ENTRY;

    for (uint64_t i = 0; i < MIN(pages, PAGES_TRIED); i++) {
        VtDigest digest;

        if (root + (i + 1) * PAGE_SIZE > size)
            return;
        page_digest(data + root + i * PAGE_SIZE, &digest);
        memcpy(data + table + i * PAGE_ENTRY, digest.bytes, VT_DIGEST_BYTES);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = g_memdup2(data, size);
    g_autoptr(VtQcow2Layout) layout = NULL;
    g_autoptr(VtIndex) index = NULL;
    g_autoptr(GBytes) bytes = NULL;
    uint8_t cluster[VT_QCOW2_LAYOUT_CLUSTER_MAX];
    VtExtentIter iter;
    VtExtent extent;

    if (size >= ROOT_HEADER)
        reseal(copy, size);
    bytes = g_bytes_new_take(copy, size);
    if (!vt_index_parse(bytes, &index, NULL))
        return 0;
    layout = vt_qcow2_layout_new(index, NULL);
    vt_qcow2_layout_metadata(layout, layout->metadata_clusters - 1, cluster);
    vt_extent_iter_init(&iter, index);
    while (vt_extent_iter_next(&iter, &extent)) {
        if (extent.kind == VT_EXTENT_LITERAL)
            g_assert_cmpuint(vt_qcow2_layout_offset(layout, extent.guest), <, layout->file_size);
    }
    return 0;
}
