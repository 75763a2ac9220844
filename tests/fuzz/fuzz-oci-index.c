/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-oci-index.c: indexes that others write: what is read can be edited, written and read again
 */
#include "fuzz.h"
#include "vt-oci-index.h"

/* Each is looked up among all */
#define ENTRIES_TRIED 64

static json_t *
reread(const json_t *index)
{
    g_autoptr(GBytes) bytes = vt_json_format(index);
    json_t *again = NULL;

    g_assert_true(vt_oci_index_parse(bytes, "again", &again, NULL));
    g_assert_true(json_equal((json_t *)index, again));
    return again;
}

static size_t
entries(const json_t *index)
{
    return json_array_size(json_object_get(index, "manifests"));
}

static void
try_edit(json_t *index, const VtDigest *digest)
{
    const json_t *found = NULL;
    json_auto_t *merged = vt_oci_index_new();
    json_auto_t *again = NULL;
    size_t before;

    vt_oci_index_merge(merged, index);
    before = entries(merged);
    g_assert_cmpuint(before, <=, entries(index));
    /* what is there is not added twice */
    vt_oci_index_merge(merged, index);
    g_assert_cmpuint(entries(merged), ==, before);
    vt_oci_index_tag(index, "web/1.0.0", vt_oci_descriptor_new("m", digest, 7, NULL));
    g_assert_true(vt_oci_index_find(index, "web/1.0.0", &found, NULL));
    again = reread(index);
}

static void
try_index(GBytes *bytes)
{
    const VtDigest digest = {{1}};
    json_auto_t *index = NULL;

    if (!vt_oci_index_parse(bytes, "index.json", &index, NULL)) {
        g_assert_null(index);
        return;
    }
    for (size_t i = 0; i < MIN(entries(index), ENTRIES_TRIED); i++) {
        const json_t *entry = json_array_get(json_object_get(index, "manifests"), i), *found = NULL;
        const char *name = vt_oci_descriptor_ref_name(entry);
        VtDigest read;
        uint64_t size = 0;

        if (vt_oci_descriptor_read(entry, &read, &size, NULL))
            g_assert_cmpuint(size, <=, INT64_MAX);
        if (name && vt_oci_index_find(index, name, &found, NULL))
            g_assert_cmpstr(vt_oci_descriptor_ref_name(found), ==, name);
    }
    try_edit(index, &digest);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    json_auto_t *descriptor = NULL;
    bool has_subject = false;
    VtDigest subject = {{0}};

    try_index(bytes);
    if (vt_oci_describe(bytes, "application/vnd.oci.image.manifest.v1+json", &descriptor,
                        &has_subject, &subject, NULL))
        g_assert_cmpuint(json_integer_value(json_object_get(descriptor, "size")), ==, size);
    return 0;
}
