/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-base64.c: base64 in which one value has one spelling
 *
 * GLib's decoder skips what it does not know. So what it gives is encoded again and compared: only
 * the one canonical text of a value passes.
 */
#include "vt-base64.h"

#include <string.h>

bool
vt_base64_decode(const char *text, const char *what, GBytes **ret_bytes, GError **error)
{
    gsize length = 0;
    g_autofree guchar *data = g_base64_decode(text, &length);
    g_autofree char *again = g_base64_encode(data, length);

    if (length == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s: empty", what);
    if (strcmp(again, text) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s: not canonical base64", what);
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&data), length);
    return true;
}

bool
vt_base64_decode_any(const char *text, const char *what, GBytes **ret_bytes, GError **error)
{
    g_autofree char *standard = g_strdup(text);

    if (!strpbrk(text, "+/")) {
        g_strdelimit(standard, "-", '+');
        g_strdelimit(standard, "_", '/');
    }
    return vt_base64_decode(standard, what, ret_bytes, error);
}

char *
vt_base64_encode(GBytes *bytes)
{
    gsize length = 0;
    const guchar *data = g_bytes_get_data(bytes, &length);

    return g_base64_encode(data, length);
}
