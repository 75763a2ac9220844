/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-base64.h"

static void
test_accept(void)
{
    g_autoptr(GBytes) bytes = NULL, url = NULL;
    g_autofree char *text = NULL;

    g_assert_true(vt_base64_decode("+/8=", "x", &bytes, NULL));
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "\xfb\xff", 2);
    g_assert_true(vt_base64_decode_any("-_8=", "x", &url, NULL));
    g_assert_true(g_bytes_equal(bytes, url));
    text = vt_base64_encode(bytes);
    g_assert_cmpstr(text, ==, "+/8=");
}

static void
test_refuse(void)
{
    /* "+/9=" decodes to the same bytes as "+/8=": the last bits are behind the end */
    static const char *const bad[] = {
        "",      "+/8", "+/8==", "+/8= ", " +/8=", "+/\n8=", "+/9=",  "+_8=",
        "+/8=A", "=",   "A",     "A===",  "+/8!",  "====",   "AAAA=", "AA\xc3\xa9="};

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        GBytes *bytes = NULL;

        g_assert_false(vt_base64_decode(bad[i], "field", &bytes, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_true(g_str_has_prefix(error->message, "field: "));
        g_assert_false(vt_base64_decode_any(bad[i], "field", &bytes, NULL));
        g_assert_null(bytes);
    }
}

static void
test_url_safe_is_not_standard(void)
{
    GBytes *bytes = NULL;

    g_assert_false(vt_base64_decode("-_8=", "x", &bytes, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base64/accept", test_accept);
    g_test_add_func("/base64/refuse", test_refuse);
    g_test_add_func("/base64/url-safe-is-not-standard", test_url_safe_is_not_standard);
    return g_test_run();
}
