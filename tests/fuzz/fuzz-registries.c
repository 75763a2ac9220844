/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-registries.c: registries.conf and its TOML: what is read passes through JSON unchanged, and
 * says where a repository is */
#include "fuzz.h"
#include "vt-registries.h"
#include "vt-toml.h"

static const char *const asked[][2] = {{"r.example", "golden/debian"},
                                       {"r.example:5000", "web"},
                                       {"a.b.example", "x"},
                                       {"[::1]", "a"}};

static void
check_rule(const VtRegistryRule *rule, const char *host, const char *repository)
{
    g_autofree char *itself = vt_registries_place(rule, NULL, host, repository);
    g_autofree char *same = g_strconcat(host, "/", repository, NULL);
    g_autofree char *place = vt_registries_place(rule, rule->location, host, repository);

    g_assert_cmpstr(itself, ==, same);
    g_assert_nonnull(place);
    for (guint i = 0; i < rule->mirrors->len; i++) {
        const VtMirror *mirror = rule->mirrors->pdata[i];
        g_autofree char *there = vt_registries_place(rule, mirror->location, host, repository);

        g_assert_true(*mirror->location && g_str_has_prefix(there, mirror->location));
    }
}

/* The same, by way of what a worker is told */
static void
check_json(const VtRegistries *registries)
{
    g_autoptr(VtRegistries) again = vt_registries_new();
    json_auto_t *root = vt_registries_to_json(registries);
    json_auto_t *second = NULL;
    g_autoptr(GError) error = NULL;

    vt_registries_read_json(again, root, "again", &error);
    g_assert_no_error(error);
    second = vt_registries_to_json(again);
    g_assert_true(json_equal(root, second));
}

static void
try_toml(GBytes *bytes)
{
    g_autoptr(GError) error = NULL;
    json_auto_t *root = NULL;
    char *text;

    if (!vt_toml_parse(bytes, "fuzz", VT_REGISTRIES_FILE_MAX, &root, &error)) {
        g_assert_true(!root && g_utf8_validate(error->message, -1, NULL));
        return;
    }
    g_assert_true(json_is_object(root));
    text = json_dumps(root, JSON_COMPACT);
    g_assert_nonnull(text);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(data, size);
    g_autoptr(VtRegistries) registries = vt_registries_new();
    g_autoptr(GError) error = NULL;

    try_toml(bytes);
    if (!vt_registries_add(registries, bytes, "fuzz", &error)) {
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    check_json(registries);
    for (size_t i = 0; i < G_N_ELEMENTS(asked); i++) {
        const VtRegistryRule *rule = vt_registries_find(registries, asked[i][0], asked[i][1]);

        if (rule)
            check_rule(rule, asked[i][0], asked[i][1]);
    }
    return 0;
}
