/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-profile.c: parameters that a template declares, values for them, and what comes of both
 *
 * An input is two documents with a NUL between them: a template's config, and values.
 */
#include "fuzz.h"
#include "vt-profile.h"

#include <string.h>

static void
check_error(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
}

/* What was accepted once is accepted again, and stays the same */
static void
check_value(const VtParameter *parameter, const json_t *value)
{
    json_t *again = NULL;

    g_assert_true(vt_parameter_read_json(parameter, value, &again, NULL));
    g_assert_true(json_equal((json_t *)value, again));
    json_decref(again);
}

static void
check_values(const VtProfile *profile, const json_t *values)
{
    json_auto_t *expanded = NULL;
    const char *name;
    json_t *value;

    if (vt_profile_expand(profile, values, &expanded, NULL))
        g_assert_true(json_is_object(expanded));
    else
        g_assert_null(expanded);
    json_object_foreach((json_t *)values, name, value)
    {
        const VtParameter *parameter = vt_profile_find(profile, name);

        g_assert_nonnull(parameter);
        check_value(parameter, value);
    }
}

/* Texts for each name, as an instance has them */
static GHashTable *
texts_of(const json_t *object)
{
    GHashTable *given =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)object, name, value)
    {
        GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);

        if (json_is_string(value))
            g_ptr_array_add(texts, g_strdup(json_string_value(value)));
        g_ptr_array_add(texts, NULL);
        g_hash_table_insert(given, g_strdup(name), texts);
    }
    return given;
}

static void
try_values(const VtProfile *profile, const json_t *object)
{
    g_autoptr(GHashTable) given = texts_of(object);
    g_autoptr(GError) error = NULL, error2 = NULL;
    json_auto_t *values = NULL;
    json_auto_t *defaults = NULL;

    if (vt_profile_values(profile, object, NULL, &values, &error))
        check_values(profile, values);
    else
        check_error(error);
    if (vt_profile_values(profile, NULL, given, &defaults, &error2)) {
        g_assert_true(vt_profile_check(profile, given, NULL));
        check_values(profile, defaults);
    } else {
        check_error(error2);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    const size_t first = end ? (size_t)(end - data) : size;
    g_autoptr(GBytes) config = g_bytes_new(data, first);
    g_autoptr(GBytes) rest = g_bytes_new(end ? end + 1 : NULL, end ? size - first - 1 : 0);
    g_autofree char *described = NULL;
    g_autoptr(VtProfile) profile = NULL;
    g_autoptr(GError) error = NULL;
    json_auto_t *root = NULL;
    json_auto_t *values = NULL;
    VtJson at;

    if (!vt_json_parse(config, "config", 1 << 20, &root, NULL))
        return 0;
    at = vt_json_root(root, "config");
    if (!vt_profile_parse(&at, &profile, &error)) {
        check_error(error);
        return 0;
    }
    g_assert_cmpuint(profile->parameters->len, <=, VT_PARAMETERS_MAX);
    described = vt_profile_describe(profile);
    if (vt_json_parse(rest, "values", 1 << 20, &values, NULL))
        try_values(profile, values);
    return 0;
}
