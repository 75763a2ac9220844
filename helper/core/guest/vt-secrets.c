/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-secrets.c: values for a guest that do not stand in its domain's XML, which everybody reads */
#include "vt-secrets.h"

#include <stdint.h>
#include <string.h>

/* The text that is written:
 *
 *     "admin-password": "P\"ss\\w\xf6rd"
 *     "token": "one\x0atwo"
 */

static bool
check_one(size_t number, const char *key, const json_t *value, GError **error)
{
    if (!g_regex_match_simple(VT_SECRET_KEY_PATTERN, key, G_REGEX_DOLLAR_ENDONLY, 0))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the key of secret number %zu is not at most %d small letters, digits, '-' "
                        "and '_', with a letter in front",
                        number, VT_SECRET_KEY_MAX);
    if (!json_is_string(value))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the secret '%s' is not a string: write it in quotes", key);
    if (json_string_length(value) == 0)
        return vt_throw(error, VT_ERROR_INVALID, "the secret '%s' is empty", key);
    return json_string_length(value) <= VT_SECRET_VALUE_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE,
                    "the secret '%s' has %zu bytes, at most %d are allowed", key,
                    json_string_length(value), VT_SECRET_VALUE_MAX);
}

bool
vt_secrets_check(const json_t *secrets, GError **error)
{
    size_t number = 0;
    const char *key;
    json_t *value;

    if (json_object_size(secrets) > VT_SECRETS_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%zu secrets, at most %d are allowed",
                        json_object_size(secrets), VT_SECRETS_MAX);
    json_object_foreach((json_t *)secrets, key, value)
    {
        if (!check_one(++number, key, value, error))
            return false;
    }
    return true;
}

/* yaml.org/spec/1.1, "Escape sequences": those that name a character by its number */
static void
append_character(GString *text, gunichar character)
{
    if (character == '"' || character == '\\')
        g_string_append_printf(text, "\\%c", (int)character);
    else if (character >= ' ' && character < 0x7f)
        g_string_append_c(text, (char)character);
    else if (character <= 0xff)
        g_string_append_printf(text, "\\x%02x", character);
    else if (character <= 0xffff)
        g_string_append_printf(text, "\\u%04x", character);
    else
        g_string_append_printf(text, "\\U%08x", character);
}

static void
append_string(GString *text, const char *string)
{
    g_string_append_c(text, '"');
    for (; *string; string = g_utf8_next_char(string))
        append_character(text, g_utf8_get_char(string));
    g_string_append_c(text, '"');
}

static int
compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool
vt_secrets_format(const json_t *secrets, GBytes **ret_bytes, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    g_autoptr(GString) text = g_string_new(NULL);
    const char *key;
    json_t *value;

    if (!vt_secrets_check(secrets, error))
        return false;
    json_object_foreach((json_t *)secrets, key, value)
        g_ptr_array_add(keys, (gpointer)(uintptr_t)key);
    g_ptr_array_sort(keys, compare_keys);
    for (guint i = 0; i < keys->len; i++) {
        append_string(text, keys->pdata[i]);
        g_string_append(text, ": ");
        append_string(text, json_string_value(json_object_get(secrets, keys->pdata[i])));
        g_string_append_c(text, '\n');
    }
    if (text->len > VT_SECRETS_BYTES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the secrets together are larger than %u bytes",
                        VT_SECRETS_BYTES_MAX);
    *ret_bytes = g_string_free_to_bytes(g_steal_pointer(&text));
    return true;
}
