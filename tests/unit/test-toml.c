/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-toml.h"

#include <string.h>

#define LIMIT 4096

static json_t *
parse(const char *text, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    json_t *root = NULL;

    if (!vt_toml_parse(bytes, "x.conf", LIMIT, &root, error))
        g_assert_null(root);
    return root;
}

/* ---- what is read, as JSON ---- */

static const struct {
    const char *text, *json;
} good[] = {
    {"", "{}"},
    {"\n# nothing\r\n  \t\n#", "{}"},
    {"a = true\nb = false # c\n", "{\"a\":true,\"b\":false}"},
    {"a = 1\nb = -12\nc=+3", "{\"a\":1,\"b\":-12,\"c\":3}"},
    {"a = \"x # \\\"y\\\" \\u00e9\\n\"", "{\"a\":\"x # \\\"y\\\" \\u00e9\\n\"}"},
    {"a = 'C:\\n'", "{\"a\":\"C:\\\\n\"}"},
    {"a = []\nb = [ 'x', \"y\", ]", "{\"a\":[],\"b\":[\"x\",\"y\"]}"},
    {"a = [ # c\n  [1],\n\n  [2, 3]\n]\n", "{\"a\":[[1],[2,3]]}"},
    {"a = { b = 1, 'c d' = [true] }", "{\"a\":{\"b\":1,\"c d\":[true]}}"},
    {"a = {}", "{\"a\":{}}"},
    {"a.b.c = 1\na.b.d = 2", "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}"},
    {"[a]\nx = 1\n[ b . \"c.d\" ]\nx = 2", "{\"a\":{\"x\":1},\"b\":{\"c.d\":{\"x\":2}}}"},
    {"[[r]]\nx=1\n[[r]]\nx=2\n[[r.m]]\ny=1\n[[r.m]]\n[q]\n",
     "{\"r\":[{\"x\":1},{\"x\":2,\"m\":[{\"y\":1},{}]}],\"q\":{}}"},
    {"[[r]]\n[r.t]\nx=1\n[[r]]\n[r.t]\nx=2", "{\"r\":[{\"t\":{\"x\":1}},{\"t\":{\"x\":2}}]}"},
    {"\"\" = 1\n1-2_ = 3", "{\"\":1,\"1-2_\":3}"},
};

static void
test_good(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        json_t *root = parse(good[i].text, &error);
        json_t *expected = json_loads(good[i].json, 0, NULL);

        g_assert_no_error(error);
        g_assert_nonnull(expected);
        if (!json_equal(root, expected))
            g_error("%s gave %s", good[i].text, json_dumps(root, 0));
        json_decref(root);
        json_decref(expected);
    }
}

/* ---- what is not ---- */

static const struct {
    const char *text, *needle;
} bad[] = {
    {"a", "line 1: a '='"},
    {"\n\na =", "line 3: a value"},
    {"a = tru", "a value"},
    {"a = 1.5", "a value"},
    {"a = 2026-11-21", "a value"},
    {"a = 99999999999999999999", "a value"},
    {"a = 0x10", "a value"},
    {"a = 1\na = 2", "line 2: a key that stands twice"},
    {"a = 1\na.b = 2", "line 2: a table that is a value"},
    {"a = 1 b = 2", "something stands behind"},
    {"[a] b = 2", "something stands behind"},
    {"= 1", "a key is expected"},
    {"a..b = 1", "a key is expected"},
    {"\xc3\xa9 = 1", "a key is expected"},
    {"a = \"x", "a string without its end"},
    {"a = \"x\ny\"", "a string without its end"},
    {"a = \"\"\"x\"\"\"", "over several lines"},
    {"a = '''x'''", "over several lines"},
    {"a = \"\\x\"", "unknown escape"},
    {"a = \"\\", "unknown escape"},
    {"a = \"\\u12\"", "hexadecimal"},
    {"a = \"\\u0000\"", "no character"},
    {"a = \"\\ud800\"", "no character"},
    {"a = \"\\U00110000\"", "no character"},
    {"a = \"\x01\"", "control character"},
    {"a = [1 2]", "',' or ']'"},
    {"a = [1", "',' or ']'"},
    {"a = [,]", "a value"},
    {"a = {b = 1", "',' or '}'"},
    {"a = {b = 1,}", "ends with ','"},
    {"a = {b = 1, b = 2}", "stands twice"},
    {"a = [[[[[[[[[[1]]]]]]]]]]", "nested too deeply"},
    {"a.b.c.d.e.f.g.h.i = 1", "too many parts"},
    {"[a", "a ']'"},
    {"[[a]", "a ']'"},
    {"[]", "a key is expected"},
    {"[a]\n[a]", "line 2: a table that stands twice"},
    {"a = {}\n[a]", "a table that stands twice, or is complete"},
    {"a = 1\n[a]", "a table that is a value"},
    {"a = []\n[[a]]", "an array of tables that is something else"},
    {"a = [{}]\n[a.b]", "complete"},
    {"[a]\n[[a]]", "something else"},
};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(parse(bad[i].text, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_true(g_str_has_prefix(error->message, "x.conf: line "));
        if (!strstr(error->message, bad[i].needle))
            g_error("%s: %s", bad[i].text, error->message);
    }
}

static void
test_bytes(void)
{
    static const char nul[] = "a = 1\0";
    g_autoptr(GBytes) with_nul = g_bytes_new_static(nul, sizeof(nul));
    g_autoptr(GBytes) latin = g_bytes_new_static("# \xe9", 3);
    g_autofree char *long_text = g_strnfill(LIMIT + 1, '\n');
    g_autoptr(GError) error = NULL;
    json_t *root = NULL;

    g_assert_false(vt_toml_parse(with_nul, "x.conf", LIMIT, &root, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_false(vt_toml_parse(latin, "x.conf", LIMIT, &root, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_null(parse(long_text, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/toml/good", test_good);
    g_test_add_func("/toml/bad", test_bad);
    g_test_add_func("/toml/bytes", test_bytes);
    return g_test_run();
}
