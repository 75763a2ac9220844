/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-qcow2.c: no bytes make the reader of QCOW2 headers go wrong */
#include "fuzz.h"
#include "vt-qcow2.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t length = size < VT_QCOW2_HEADER_MAX ? size : VT_QCOW2_HEADER_MAX;
    g_auto(VtQcow2Info) info = {0};

    if (vt_qcow2_check_standalone(data, length, NULL)) {
        g_assert_true(vt_qcow2_parse(data, length, &info, NULL));
        g_assert_null(info.backing_file);
        g_assert_null(info.backing_format);
        return 0;
    }
    if (vt_qcow2_parse(data, length, &info, NULL))
        g_assert_cmpuint(info.cluster_bits, <=, 21);
    return 0;
}
