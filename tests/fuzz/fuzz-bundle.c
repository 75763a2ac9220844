/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-bundle.c: no bytes make the readers of bundles and of statements go wrong */
#include "fuzz.h"
#include "vt-bundle.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), message = NULL, written = NULL;
    g_autoptr(VtBundle) bundle = NULL, again = NULL;
    const VtDigest digest = {{1}};

    /* nothing that is fed here is about this digest by accident */
    g_assert_false(vt_bundle_check_statement(bytes, &digest, NULL));
    if (!vt_bundle_parse(bytes, &bundle, NULL))
        return 0;
    g_assert_false(vt_bundle_check_statement(bundle->payload, &digest, NULL));
    message = vt_bundle_message(bundle->payload);
    g_assert_cmpuint(g_bytes_get_size(message), >, g_bytes_get_size(bundle->payload));
    written =
        vt_bundle_format(bundle->payload, bundle->signature, bundle->hint ? bundle->hint : "");
    g_assert_true(vt_bundle_parse(written, &again, NULL));
    g_assert_true(g_bytes_equal(bundle->payload, again->payload));
    g_assert_true(g_bytes_equal(bundle->signature, again->signature));
    return 0;
}
