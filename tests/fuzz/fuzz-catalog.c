/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-catalog.c: no bytes make the reader of catalogs go wrong; each accepted one is whole */
#include "fuzz.h"
#include "vt-catalog.h"
#include "vt-name.h"

static void
check_template(const VtCatalog *catalog, const VtCatalogTemplate *template)
{
    g_assert_true(vt_name_check(template->name, NULL));
    g_assert_nonnull(vt_catalog_find(catalog, template->name, NULL));
    for (guint i = 0; i < template->versions->len; i++) {
        const VtCatalogEntry *entry = g_ptr_array_index(template->versions, i);

        g_assert_true(vt_catalog_find(catalog, template->name, entry->version) == entry);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(GBytes) written = NULL, rewritten = NULL;
    g_autoptr(VtCatalog) catalog = NULL, again = NULL;

    if (!vt_catalog_parse(bytes, &catalog, NULL))
        return 0;
    for (guint i = 0; i < catalog->templates->len; i++)
        check_template(catalog, g_ptr_array_index(catalog->templates, i));
    written = vt_catalog_format(catalog);
    g_assert_true(vt_catalog_parse(written, &again, NULL));
    rewritten = vt_catalog_format(again);
    g_assert_true(g_bytes_equal(written, rewritten));
    return 0;
}
