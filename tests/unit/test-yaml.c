/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-yaml.h"

#include <stdint.h>
#include <string.h>

static bool
replace(void *user, const char *text, char **ret_text, GError **error)
{
    const char *value = user;

    if (g_str_equal(text, "${missing}"))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "no value for 'missing'");
    if (g_str_equal(text, "${value}"))
        *ret_text = g_strdup(value);
    return true;
}

/* Whatever a value holds, it stays the one value that it was */
static void
test_values(void)
{
    static const char *const values[] = {
        "plain",           "",       "yes",     "0644", "null",     "a: b",    "x\ny: z\n",
        "# no comment",    "- item", "{}[]!&*", "\"",   "'",        "*alias",  "&anchor",
        "!!python/object", "%YAML",  "---",     "\t",   "\xc3\xa9", "${value}"};

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *once = NULL, *twice = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(vt_yaml_rewrite("a: ${value}\nb: [1, \"${value}\"]\n${value}: key\n", "doc",
                                      replace, (void *)(uintptr_t)values[i], &once, &error));
        g_assert_no_error(error);
        /* the result is read again: three keys, and no value but the two is the value */
        g_assert_true(vt_yaml_rewrite(once, "result", NULL, NULL, &twice, &error));
        g_assert_cmpstr(once, ==, twice);
        g_assert_nonnull(strstr(once, "key"));
        if (!g_str_equal(values[i], "${value}"))
            g_assert_null(strstr(strstr(once, "a:"), "a: ${value}"));
    }
}

static void
test_types(void)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    /* what nobody changes keeps its style, and with it its type */
    g_assert_true(vt_yaml_rewrite("mode: 0644\non: yes\ns: '0644'\nl: |\n  one\n  two\n", "doc",
                                  replace, NULL, &text, &error));
    g_assert_no_error(error);
    g_assert_nonnull(strstr(text, "mode: 0644\n"));
    g_assert_nonnull(strstr(text, "on: yes\n"));
    g_assert_nonnull(strstr(text, "s: '0644'\n"));
    g_assert_nonnull(strstr(text, "|\n"));
}

static const struct {
    const char *name, *text, *message;
} bad[] = {
    {"empty", "", "not a mapping"},
    {"comment", "#cloud-config\n", "not a mapping"},
    {"list", "- a\n- b\n", "line 1: not a mapping"},
    {"scalar", "hello", "line 1: not a mapping"},
    {"syntax", "a: [1, 2\nb: 3\n", "doc: line 2"},
    {"tab", "a:\n\tb: 1\n", "doc: line 2"},
    {"two", "a: 1\n---\nb: 2\n", "a second document"},
    {"alias", "a: *nothing\n", "an alias of what is not there"},
    {"self", "a: &x [*x]\n", "an alias of what is not there"},
    {"key", "? [a, b]\n: c\n", "a key that is not a word"},
    {"nul", "a: \"x\\0y\"\n", "NUL"},
    {"utf8", "a: \xff\n", "UTF-8"},
    {"change", "a: ${missing}\n", "no value for 'missing'"},
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;

        g_test_message("%s", bad[i].name);
        g_assert_false(vt_yaml_rewrite(bad[i].text, "doc", replace, NULL, &text, &error));
        g_assert_null(text);
        g_assert_cmpstr(error->message, !=, "");
        g_assert_nonnull(strstr(error->message, bad[i].message));
    }
}

static void
refuse_large(const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_yaml_rewrite(text, "doc", NULL, NULL, NULL, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
}

static void
test_limits(void)
{
    g_autoptr(GString) laughs = g_string_new("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    g_autoptr(GString) deep = g_string_new("a: "), large = g_string_new("a: ");

    for (int i = 1; i < 10; i++) {
        g_string_append_printf(laughs, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            g_string_append_printf(laughs, "%s*a%d", j ? ", " : "", i - 1);
        g_string_append(laughs, "]\n");
    }
    refuse_large(laughs->str);
    for (int i = 0; i < 200000; i++)
        g_string_append_c(deep, '[');
    refuse_large(deep->str);
    for (int i = 0; i < 10 << 20; i++)
        g_string_append_c(large, 'x');
    refuse_large(large->str);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/yaml/values", test_values);
    g_test_add_func("/yaml/types", test_types);
    g_test_add_func("/yaml/refuse", test_refuse);
    g_test_add_func("/yaml/limits", test_limits);
    return g_test_run();
}
