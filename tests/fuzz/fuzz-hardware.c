/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-hardware.c: no bytes make the readers of hardware, as document or as text, go wrong */
#include "fuzz.h"
#include "vt-hardware.h"

static void
try_object(json_t *root)
{
    VtHardware hardware = vt_hardware_default();
    const VtHardware before = hardware;
    const VtJson object = vt_json_root(root, "fuzz");

    if (!vt_hardware_parse(&object, &hardware, NULL)) {
        g_assert_cmpmem(&hardware, sizeof(hardware), &before, sizeof(before));
        return;
    }
    g_assert_cmpuint(hardware.memory_mib, >=, 1);
    g_assert_cmpuint(hardware.memory_mib, <=, VT_HARDWARE_MEMORY_MAX_MIB);
    g_assert_cmpuint(hardware.interface_count, <=, VT_HARDWARE_INTERFACES_MAX);
    for (unsigned i = 0; i < hardware.interface_count; i++)
        g_assert_cmpint(*hardware.interfaces[i].source, !=, '\0');
    vt_hardware_check(&hardware, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autofree char *text = size > 0 ? g_strndup((const char *)data, size) : g_strdup("");
    json_t *root = NULL, *pairs = NULL;

    if (vt_json_parse(bytes, "fuzz", 1 << 20, &root, NULL))
        try_object(root);
    if (vt_hardware_from_text(text, &pairs, NULL))
        try_object(pairs);
    json_decref(root);
    json_decref(pairs);
    return 0;
}
