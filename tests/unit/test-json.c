/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-json.h"

#include <string.h>

#define LIMIT 4096

static GBytes *
bytes_of(const char *text)
{
    return g_bytes_new_static(text, strlen(text));
}

static void
test_accept(void)
{
    static const char text[] = " {\"n\":9223372036854775807,\"s\":\"a\\u00e9\",\"o\":{},\"a\":[1],"
                               "\"t\":\"2026-02-28T23:59:59Z\",\"w\":\"x86_64\"} \n";
    g_autoptr(GBytes) bytes = bytes_of(text);
    json_auto_t *document = NULL;
    const char *string = NULL, *absent = "untouched";
    uint64_t number = 0;
    VtJson root, child;

    g_assert_true(vt_json_parse(bytes, "doc", LIMIT, &document, NULL));
    root = vt_json_root(document, "doc");
    g_assert_true(vt_json_uint(&root, "n", &number, NULL));
    g_assert_cmpuint(number, ==, INT64_MAX);
    g_assert_true(vt_json_string(&root, "s", &string, NULL));
    g_assert_cmpstr(string, ==, "a\xc3\xa9");
    g_assert_true(vt_json_string_if(&root, "none", &absent, NULL));
    g_assert_cmpstr(absent, ==, "untouched");
    g_assert_true(vt_json_object(&root, "o", &child, NULL));
    g_assert_true(vt_json_array(&root, "a", &child, NULL));
    g_assert_true(vt_json_time(&root, "t", &string, NULL));
    g_assert_true(vt_json_word(&root, "w", &string, NULL));
    g_assert_cmpstr(string, ==, "x86_64");
}

static const struct {
    const char *name, *text, *message;
} bad[] = {
    {"empty", "", "doc: empty"},
    {"array", "[]", "doc: not a JSON object"},
    {"scalar", "1", "doc: line 1"},
    {"cut", "{\"a\":", "doc: line 1"},
    {"trailing", "{} {}", "end of file expected"},
    {"trailing-comma", "{\"a\":1,}", "doc: line 1"},
    {"comment", "/* */{}", "doc: line 1"},
    {"single-quotes", "{'a':1}", "doc: line 1"},
    {"assignment", "var x = {};", "doc: line 1"},
    {"hex", "{\"a\":0x10}", "doc: line 1"},
    {"nan", "{\"a\":NaN}", "doc: line 1"},
    {"leading-zero", "{\"a\":01}", "doc: line 1"},
    {"too-big", "{\"a\":9223372036854775808}", "too big integer"},
    {"duplicate", "{\"a\":1,\n\"a\":2}", "doc: line 2, column 3: duplicate object key"},
    {"duplicate-escaped", "{\"a\":1,\"\\u0061\":2}", "duplicate object key"},
    {"escaped-nul", "{\"a\":\"\\u0000x\"}", "\\u0000"},
    {"escaped-nul-key", "{\"\\u0000x\":1}", "\\u0000"},
    {"surrogate", "{\"a\":\"\\ud800\"}", "doc: line 1"},
    {"bom", "\xef\xbb\xbf{}", "doc: line 1"},
    {"utf-8", "{\"a\":\"\xff\"}", "doc: not valid UTF-8"},
    {"utf-8-overlong", "{\"a\":\"\xc0\x80\"}", "doc: not valid UTF-8"},
    {"control", "{\"a\":\"\n\"}", "doc: line 1"},
};

static void
test_refuse(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = bytes_of(bad[i].text);
        g_autoptr(GError) error = NULL;
        json_t *document = NULL;

        g_test_message("%s", bad[i].name);
        g_assert_false(vt_json_parse(bytes, "doc", LIMIT, &document, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_null(document);
    }
}

static void
check_refused(GBytes *bytes, size_t limit, int code, const char *message)
{
    g_autoptr(GError) error = NULL;
    json_t *document = NULL;

    g_assert_false(vt_json_parse(bytes, "doc", limit, &document, &error));
    g_assert_error(error, VT_ERROR, code);
    g_assert_nonnull(strstr(error->message, message));
}

static GBytes *
nested(size_t depth, const char *open, const char *close)
{
    g_autoptr(GString) text = g_string_new("{\"a\":");

    for (size_t i = 0; i < depth; i++)
        g_string_append(text, open);
    for (size_t i = 0; i < depth && close; i++)
        g_string_append(text, close);
    if (close)
        g_string_append_c(text, '}');
    return g_string_free_to_bytes(g_steal_pointer(&text));
}

static void
test_limits(void)
{
    g_autoptr(GBytes) raw_nul = g_bytes_new_static("{\"a\":\"\0\"}", 9);
    g_autoptr(GBytes) brackets = nested(200000, "[", NULL);
    g_autoptr(GBytes) braces = nested(200000, "{\"a\":", NULL);
    g_autoptr(GBytes) deepest = nested(VT_JSON_DEPTH_MAX - 1, "[", "]");
    g_autoptr(GBytes) too_deep = nested(VT_JSON_DEPTH_MAX, "[", "]");
    g_autoptr(GBytes) in_string = bytes_of("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"}");
    g_autoptr(GBytes) values = nested(VT_JSON_VALUES_MAX + 1, ",", NULL);
    json_auto_t *document = NULL;
    json_auto_t *strings = NULL;

    check_refused(raw_nul, LIMIT, VT_ERROR_INVALID, "NUL");
    check_refused(brackets, 1 << 20, VT_ERROR_INVALID, "nested deeper than 32");
    check_refused(braces, 1 << 20, VT_ERROR_INVALID, "nested deeper than 32");
    check_refused(too_deep, LIMIT, VT_ERROR_INVALID, "nested deeper than 32");
    check_refused(values, 4 << 20, VT_ERROR_INVALID, "more than 1000000 values");
    check_refused(deepest, 10, VT_ERROR_TOO_LARGE, "more than 10");
    g_assert_true(vt_json_parse(deepest, "doc", LIMIT, &document, NULL));
    g_assert_true(vt_json_parse(in_string, "doc", LIMIT, &strings, NULL));
}

typedef bool (*Getter)(const VtJson *object, const char *field, const char **ret, GError **error);

static const struct {
    Getter get;
    const char *field, *message;
} wrong[] = {
    {vt_json_string, "none", "doc: none: missing; it must be a string"},
    {vt_json_string, "int", "doc: int: is an integer; it must be a string"},
    {vt_json_string_if, "int", "doc: int: is an integer; it must be a string"},
    {vt_json_word, "space", "doc: space: is not a word"},
    {vt_json_word, "void", "doc: void: is not a word"},
    {vt_json_word, "long", "doc: long: is not a word"},
    {vt_json_time, "space", "doc: space: is not a time"},
    {vt_json_time, "february", "doc: february: is not a time"},
    {vt_json_time, "offset", "doc: offset: is not a time"},
};

static void
test_types(void)
{
    g_autoptr(GBytes) bytes =
        bytes_of("{\"int\":-1,\"real\":1.0,\"space\":\"a b\",\"void\":\"\",\"long\":\""
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
                 "\"february\":\"2026-02-30T00:00:00Z\",\"offset\":\"2026-01-01T00:00:00+1\"}");
    json_auto_t *document = NULL;
    const char *text = "untouched";
    VtDigest digest;
    uint64_t number = 7;
    VtJson root, child;

    g_assert_true(vt_json_parse(bytes, "doc", LIMIT, &document, NULL));
    root = vt_json_root(document, "doc");
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(wrong[i].get(&root, wrong[i].field, &text, &error));
        g_assert_true(g_str_has_prefix(error->message, wrong[i].message));
        g_assert_cmpstr(text, ==, "untouched");
    }
    g_assert_false(vt_json_uint(&root, "int", &number, NULL));
    g_assert_false(vt_json_uint(&root, "real", &number, NULL));
    g_assert_cmpuint(number, ==, 7);
    g_assert_false(vt_json_object(&root, "int", &child, NULL));
    g_assert_false(vt_json_array(&root, "int", &child, NULL));
    g_assert_false(vt_json_digest(&root, "space", &digest, NULL));
}

static void
test_path(void)
{
    static const char *const known[] = {"known", NULL};
    g_autoptr(GBytes) bytes = bytes_of("{\"t\":{\"r.example/a\":[{\"b\\u001b\":1}]}}");
    json_auto_t *document = NULL;
    g_autoptr(GError) error = NULL;
    VtJson root, t, scope, element;

    g_assert_true(vt_json_parse(bytes, "doc", LIMIT, &document, NULL));
    root = vt_json_root(document, "doc");
    g_assert_true(vt_json_object(&root, "t", &t, NULL));
    g_assert_true(vt_json_array(&t, "r.example/a", &scope, NULL));
    element = vt_json_element(&scope, 0);
    g_assert_true(vt_json_is_object(&element, NULL));
    g_assert_false(vt_json_exact_fields(&element, known, &error));
    g_assert_cmpstr(error->message, ==, "doc: t.\"r.example/a\"[0]: unknown field \"b\\033\"");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/accept", test_accept);
    g_test_add_func("/json/refuse", test_refuse);
    g_test_add_func("/json/limits", test_limits);
    g_test_add_func("/json/types", test_types);
    g_test_add_func("/json/path", test_path);
    return g_test_run();
}
