/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-registries.h"

#include <string.h>

static bool
add(VtRegistries *registries, const char *text, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    return vt_registries_add(registries, bytes, "x.conf", error);
}

static const char rules[] =
    "unqualified-search-registries = ['docker.io']\n"
    "[aliases]\n\"debian\" = \"docker.io/library/debian\"\n"
    "[[registry]]\nlocation = 'r.example'\ninsecure = true\n"
    "[[registry]]\nprefix = 'r.example/golden'\nlocation = 'new.example/a/b'\n"
    "[[registry.mirror]]\nlocation = 'm.example:5000'\n"
    "[[registry.mirror]]\nlocation = '[::1]:6000/x'\ninsecure = true\n"
    "pull-from-mirror = 'tag-only'\n"
    "[[registry]]\nprefix = '*.bad.example'\nblocked = true\n";

static const struct {
    const char *host, *repository, *prefix, *place;
} found[] = {
    {"r.example", "other", "r.example", "r.example/other"},
    {"r.example", "golden", "r.example/golden", "new.example/a/b"},
    {"r.example", "golden/debian", "r.example/golden", "new.example/a/b/debian"},
    {"r.example", "goldens/debian", "r.example", "r.example/goldens/debian"},
    {"R.Example", "golden/debian", "r.example/golden", "new.example/a/b/debian"},
    {"a.BAD.example", "x", "*.bad.example", "a.BAD.example/x"},
    {"r.example:5000", "golden", NULL, NULL},
    {"x.r.example", "golden", NULL, NULL},
    {"a.bad.example", "x", "*.bad.example", "a.bad.example/x"},
    {"a.b.bad.example:5000", "x", "*.bad.example", "a.b.bad.example:5000/x"},
    {"bad.example", "x", NULL, NULL},
    {"worse-bad.example", "x", NULL, NULL},
};

static void
assert_one(const VtRegistries *registries, gsize i)
{
    const VtRegistryRule *rule = vt_registries_find(registries, found[i].host, found[i].repository);
    g_autofree char *place = NULL;

    g_assert_cmpstr(rule ? rule->prefix : NULL, ==, found[i].prefix);
    if (rule)
        place = vt_registries_place(rule, rule->location, found[i].host, found[i].repository);
    g_assert_cmpstr(place, ==, found[i].place);
}

static void
assert_found(const VtRegistries *registries)
{
    for (gsize i = 0; i < G_N_ELEMENTS(found); i++)
        assert_one(registries, i);
}

static void
test_find(void)
{
    g_autoptr(VtRegistries) registries = vt_registries_new();
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) hosts = NULL;

    g_assert_true(vt_registries_is_empty(registries));
    g_assert_true(add(registries, rules, &error));
    g_assert_no_error(error);
    g_assert_false(vt_registries_is_empty(registries));
    assert_found(registries);
    hosts = vt_registries_hosts(registries);
    g_assert_cmpuint(g_strv_length(hosts), ==, 3);
    g_assert_true(g_strv_contains((const char *const *)hosts, "m.example:5000"));
    /* for tags only, which are not asked for there */
    g_assert_false(g_strv_contains((const char *const *)hosts, "[::1]:6000"));
}

/* Whatever is asked for at or below a repository, what is found is the same as before */
static void
test_keep(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(found); i++) {
        g_autoptr(VtRegistries) registries = vt_registries_new();
        g_auto(GStrv) hosts = NULL;

        g_assert_true(add(registries, rules, NULL));
        vt_registries_keep(registries, found[i].host, found[i].repository);
        assert_one(registries, i);
        hosts = vt_registries_hosts(registries);
        g_assert_cmpint(g_strv_contains((const char *const *)hosts, "m.example:5000"), ==,
                        g_strcmp0(found[i].prefix, "r.example/golden") == 0);
        g_assert_cmpint(vt_registries_is_empty(registries), ==, found[i].prefix == NULL);
    }
}

/* A rule for a part of a store holds for that part, next to one for all of it */
static void
test_keep_below(void)
{
    static const char *const names[] = {"", "golden", "golden/debian", "other"};
    static const char *const kept[] = {"golden/debian", "golden/debian", "golden/debian", NULL};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(VtRegistries) registries = vt_registries_new();
        const VtRegistryRule *rule;

        g_assert_true(add(registries, rules, NULL));
        g_assert_true(add(registries, "[[registry]]\nprefix = 'r.example/golden/debian'\n", NULL));
        vt_registries_keep(registries, "R.example", names[i]);
        rule = vt_registries_find(registries, "r.example", "golden/debian/x");
        g_assert_cmpstr(rule->prefix, ==, kept[i] ? "r.example/golden/debian" : "r.example");
        rule = vt_registries_find(registries, "r.example", "golden/suse");
        g_assert_cmpint(rule && g_str_equal(rule->prefix, "r.example/golden"), ==, i < 2);
    }
}

static void
test_members(void)
{
    g_autoptr(VtRegistries) registries = vt_registries_new();
    const VtRegistryRule *rule;
    const VtMirror *mirror;

    g_assert_true(add(registries, rules, NULL));
    rule = vt_registries_find(registries, "r.example", "golden");
    g_assert_false(rule->insecure);
    g_assert_false(rule->blocked);
    g_assert_cmpuint(rule->mirrors->len, ==, 2);
    mirror = g_ptr_array_index(rule->mirrors, 0);
    g_assert_cmpstr(mirror->location, ==, "m.example:5000");
    g_assert_false(mirror->insecure || mirror->by_tag_only);
    mirror = g_ptr_array_index(rule->mirrors, 1);
    g_assert_true(mirror->insecure && mirror->by_tag_only);
    g_assert_true(vt_registries_find(registries, "r.example", "x")->insecure);
    g_assert_true(vt_registries_find(registries, "a.bad.example", "x")->blocked);
}

/* A later file's rule takes the place of one with the same prefix */
static void
test_override(void)
{
    g_autoptr(VtRegistries) registries = vt_registries_new();

    g_assert_true(add(registries, rules, NULL));
    g_assert_true(add(registries, "[[registry]]\nprefix = 'r.example'\nblocked = true\n", NULL));
    g_assert_true(vt_registries_find(registries, "r.example", "x")->blocked);
    g_assert_false(vt_registries_find(registries, "r.example", "x")->insecure);
    g_assert_false(vt_registries_find(registries, "r.example", "golden")->blocked);
}

static void
test_json(void)
{
    g_autoptr(VtRegistries) registries = vt_registries_new(), again = vt_registries_new();
    json_t *root, *second;

    g_assert_true(add(registries, rules, NULL));
    root = vt_registries_to_json(registries);
    g_assert_true(vt_registries_read_json(again, root, "x", NULL));
    assert_found(again);
    second = vt_registries_to_json(again);
    g_assert_true(json_equal(root, second));
    json_decref(root);
    json_decref(second);
}

static const struct {
    const char *text, *needle;
    int code;
} bad[] = {
    {"[registries.search]\nregistries = []", "version 1", VT_ERROR_UNSUPPORTED},
    {"registry = 1", "registry", VT_ERROR_INVALID},
    {"registry = [1]", "registry[0]", VT_ERROR_INVALID},
    {"[[registry]]", "neither prefix nor location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 3", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 'https://x'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = '/x'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 'a/'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 'a//b'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 'a b'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = 'a@b/c'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nlocation = '*.a'", "location", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = '*.'", "prefix", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = '*.a/b'", "prefix", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\nblocked = 'yes'", "blocked", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\nblock = true", "block", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\nmirror = 1", "mirror", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\n[[registry.mirror]]", "without its location", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\nmirror = [{location = 'b', x = 1}]", "x", VT_ERROR_INVALID},
    {"[[registry]]\nprefix = 'a'\nmirror = [{location = 'b', pull-from-mirror = 'no'}]", "tag-only",
     VT_ERROR_INVALID},
};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(VtRegistries) registries = vt_registries_new();
        g_autoptr(GError) error = NULL;

        g_assert_false(add(registries, bad[i].text, &error));
        g_assert_error(error, VT_ERROR, bad[i].code);
        g_assert_true(g_str_has_prefix(error->message, "x.conf"));
        if (!strstr(error->message, bad[i].needle))
            g_error("%s: %s", bad[i].text, error->message);
        g_assert_true(vt_registries_is_empty(registries));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/registries/find", test_find);
    g_test_add_func("/registries/keep", test_keep);
    g_test_add_func("/registries/keep-below", test_keep_below);
    g_test_add_func("/registries/members", test_members);
    g_test_add_func("/registries/override", test_override);
    g_test_add_func("/registries/json", test_json);
    g_test_add_func("/registries/bad", test_bad);
    return g_test_run();
}
