/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-json.c: no bytes make the reader of JSON go wrong; what it accepts it can write and read */
#include "fuzz.h"
#include "vt-json.h"

#define LIMIT (1u << 20)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), written = NULL;
    json_auto_t *document = NULL;
    json_auto_t *again = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_json_parse(bytes, "fuzz", LIMIT, &document, &error)) {
        g_assert_nonnull(error);
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    written = vt_json_format(document);
    /* a number such as 1e1 may be written longer than it was read */
    g_assert_true(vt_json_parse(written, "fuzz", 64 * LIMIT, &again, NULL));
    g_assert_true(json_equal(document, again));
    return 0;
}
