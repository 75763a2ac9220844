/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-secrets.c: files of secrets: what is read is within its limits and is written the same way
 */
#include "fuzz.h"
#include "vt-secrets.h"

#include <string.h>

/* What the corpus has as a secret; no key has such a character */
#define SECRET "S3CRET"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size), written = NULL, rewritten = NULL;
    g_autoptr(GError) error = NULL;
    json_auto_t *secrets = NULL;
    json_auto_t *again = NULL;

    if (!vt_secrets_load(bytes, "secrets", &secrets, &error)) {
        g_assert_true(!secrets && g_utf8_validate(error->message, -1, NULL));
        g_assert_null(strstr(error->message, SECRET));
        return 0;
    }
    g_assert_cmpuint(json_object_size(secrets), <=, VT_SECRETS_MAX);
    if (!vt_secrets_format(secrets, &written, NULL))
        return 0;
    g_assert_true(vt_secrets_load(written, "again", &again, NULL));
    g_assert_true(json_equal(secrets, again));
    g_assert_true(vt_secrets_format(again, &rewritten, NULL));
    g_assert_true(g_bytes_equal(written, rewritten));
    return 0;
}
