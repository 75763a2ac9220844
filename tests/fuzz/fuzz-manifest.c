/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-manifest.c: no bytes make the readers of OCI documents and of our config go wrong */
#include "fuzz.h"
#include "vt-manifest.h"

static void
try_manifest(GBytes *bytes)
{
    g_autoptr(VtManifest) manifest = NULL, again = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(GBytes) written = NULL, rewritten = NULL;

    if (!vt_manifest_parse(bytes, &manifest, NULL))
        return;
    if (vt_template_layers(manifest, &layers, NULL)) {
        g_assert_cmpuint(layers->len, >=, 1);
        g_assert_cmpuint(layers->len, <=, VT_LAYERS_MAX);
    }
    written = vt_manifest_format(manifest);
    g_assert_true(vt_manifest_parse(written, &again, NULL));
    rewritten = vt_manifest_format(again);
    g_assert_true(g_bytes_equal(written, rewritten));
}

static void
try_config(GBytes *bytes)
{
    g_autoptr(VtTemplateConfig) config = NULL, again = NULL;
    g_autoptr(GBytes) written = NULL;

    if (!vt_template_config_parse(bytes, &config, NULL))
        return;
    written = vt_template_config_format(config);
    g_assert_true(vt_template_config_parse(written, &again, NULL));
    g_assert_cmpuint(config->capacity, ==, again->capacity);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GPtrArray) entries = NULL, again = NULL;
    g_autoptr(GBytes) written = NULL;

    try_manifest(bytes);
    try_config(bytes);
    if (vt_index_manifests_parse(bytes, &entries, NULL)) {
        written = vt_index_manifests_format(entries);
        g_assert_true(vt_index_manifests_parse(written, &again, NULL));
        g_assert_cmpuint(entries->len, ==, again->len);
    }
    return 0;
}
