/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-user-data.h"
#include "vt-yaml.h"

#include <string.h>

static char *
load(const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *value = NULL;
    char *json, *copy;

    g_assert_true(vt_yaml_load(text, "doc", &value, &error));
    g_assert_no_error(error);
    json = json_dumps(value, JSON_COMPACT);
    copy = g_strdup(json);
    free(json);
    json_decref(value);
    return copy;
}

static const struct {
    const char *yaml, *json;
} values[] = {
    {"a: 1\nb: [x, y]\nc: {d: e}\n", "{\"a\":1,\"b\":[\"x\",\"y\"],\"c\":{\"d\":\"e\"}}"},
    {"a: 0644\nb: 0x1A4\nc: -7\ne: +7\n", "{\"a\":420,\"b\":420,\"c\":-7,\"e\":7}"},
    {"a: yes\nb: Off\nc: 'no'\ne: \"true\"\n",
     "{\"a\":true,\"b\":false,\"c\":\"no\",\"e\":\"true\"}"},
    {"a: ~\nb:\nc: null\ne: ''\n", "{\"a\":null,\"b\":null,\"c\":null,\"e\":\"\"}"},
    {"a: 1.5\nb: 1.2.3\nc: 52:54:00:12:34:56\ne: 12:30\n",
     "{\"a\":1.5,\"b\":\"1.2.3\",\"c\":\"52:54:00:12:34:56\",\"e\":\"12:30\"}"},
    {"a: 09\nb: 2026-11-21\nc: 0o17\n", "{\"a\":\"09\",\"b\":\"2026-11-21\",\"c\":\"0o17\"}"},
    {"a: |\n  one\n  two\nb: >\n  x\n  y\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"x y\\n\"}"},
    {"a: &x [1, {b: 2}]\nc: *x\nf: &y z\ne: [*y]\n",
     "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"f\":\"z\",\"e\":[\"z\"]}"},
    {"on: 1\nyes: 2\n5: 3\n", "{\"on\":1,\"yes\":2,\"5\":3}"},
    {"#cloud-config\n---\na: {}\nb: []\n...\n", "{\"a\":{},\"b\":[]}"},
};

static void
test_values(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *json = load(values[i].yaml);

        g_assert_cmpstr(json, ==, values[i].json);
    }
}

/* What only cloud-init has to understand is let through, and refused where JSON is made of it */
static const struct {
    const char *text, *message;
} unread[] = {
    {"a: 1\na: 2\n", "line 2: a key that is there twice"},
    {"x: &x {a: 1}\nb:\n  <<: *x\n", "line 3: merge keys"},
    {"a: !!binary aGVsbG8=\n", "line 1: tags"},
    {"a: !!set {b: null}\n", "line 1: tags"},
    {"x: &x a\n*x : b\n", "line 2: a key that is not a word"},
    {"a: 99999999999999999999\n", "line 1: a number that is too large; write it in quotes"},
};

static void
test_unread(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(unread); i++) {
        g_autoptr(GError) error = NULL, unexpected = NULL;
        json_t *value = NULL;

        g_assert_true(vt_yaml_check(unread[i].text, "doc", &unexpected));
        g_assert_no_error(unexpected);
        g_assert_false(vt_yaml_load(unread[i].text, "doc", &value, &error));
        g_assert_null(value);
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, unread[i].message));
    }
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
};

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL, loading = NULL;
        json_t *value = NULL;

        g_test_message("%s", bad[i].name);
        g_assert_false(vt_yaml_check(bad[i].text, "doc", &error));
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_false(vt_yaml_load(bad[i].text, "doc", &value, &loading));
        g_assert_null(value);
        g_assert_cmpstr(loading->message, ==, error->message);
    }
}

static void
refuse_large(const char *text)
{
    g_autoptr(GError) error = NULL, loading = NULL;
    json_t *value = NULL;

    g_assert_false(vt_yaml_check(text, "doc", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_assert_false(vt_yaml_load(text, "doc", &value, &loading));
    g_assert_error(loading, VT_ERROR, VT_ERROR_TOO_LARGE);
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
    /* 50 GB of text, in a document that is small enough */
    g_string_assign(large, "a: &a ");
    for (int i = 0; i < 512 << 10; i++)
        g_string_append_c(large, 'x');
    g_string_append(large, "\nb:\n");
    for (int i = 0; i < 99000; i++)
        g_string_append(large, "- *a\n");
    g_assert_cmpuint(large->len, <, VT_YAML_MAX);
    refuse_large(large->str);
}

static const struct {
    const char *text;
    int code;
} user_data[] = {
    {"#cloud-config\na: b\n", -1},
    {"#!/bin/sh\n: [\n", -1},
    {"## template: jinja\n#cloud-config\na: {{ b }}\n", -1},
    {"#cloud-config\na: [\n", VT_ERROR_INVALID},
    {" #cloud-config\n", VT_ERROR_INVALID},
    {"", VT_ERROR_INVALID},
};

static void
test_user_data(void)
{
    g_autofree char *large = g_strnfill(VT_YAML_MAX + 1, '#');
    g_autoptr(GError) too_large = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(user_data); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_cmpint(vt_user_data_check(user_data[i].text, "it", &error), ==,
                        user_data[i].code < 0);
        if (user_data[i].code >= 0)
            g_assert_error(error, VT_ERROR, user_data[i].code);
    }
    g_assert_false(vt_user_data_check(large, "it", &too_large));
    g_assert_error(too_large, VT_ERROR, VT_ERROR_TOO_LARGE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/yaml/values", test_values);
    g_test_add_func("/yaml/unread", test_unread);
    g_test_add_func("/yaml/refuse", test_refuse);
    g_test_add_func("/yaml/limits", test_limits);
    g_test_add_func("/yaml/user-data", test_user_data);
    return g_test_run();
}
