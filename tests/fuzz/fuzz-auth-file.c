/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-auth-file.c: no bytes make the reader of credentials go wrong, nor get into its errors */
#include "fuzz.h"
#include "vt-auth-file.h"

#include <string.h>

/* What the corpus has as a password; base64 has no such character */
#define SECRET "~~~"

static void
try_find(GBytes *bytes, const char *host, const char *repository)
{
    g_autoptr(VtCredentials) credentials = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_auth_file_find(bytes, host, repository, &credentials, &error)) {
        g_assert_null(credentials);
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        g_assert_null(strstr(error->message, SECRET));
        return;
    }
    g_assert_null(error);
    if (credentials) {
        g_assert_nonnull(credentials->user);
        g_assert_nonnull(credentials->password);
        g_assert_true(!credentials->identity_token || *credentials->identity_token);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);

    try_find(bytes, "r.example:5000", "golden/web");
    try_find(bytes, "[::1]", "web");
    return 0;
}
