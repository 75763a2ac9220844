/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-parameter.c: a parameter that a template declares, and the values it takes */
#include "vt-parameter.h"

#include "vt-address.h"
#include "vt-value.h"

#include <string.h>

#define NAME_PATTERN "^[a-z][a-z0-9_-]*$"
#define LINE_PATTERN "^[^[:cntrl:]]*$"

static bool
is_address(const char *text)
{
    VtAddress address;

    return vt_address_parse(text, false, &address);
}

static bool
is_network(const char *text)
{
    VtAddress address;

    return vt_address_parse(text, true, &address);
}

/* What a type takes: a pattern or a function; neither: what is checked by vt_parameter_read() */
static const struct {
    const char *name;
    const char *pattern;
    bool (*check)(const char *text);
    const char *expected;
    bool secret; /* is not shown */
} types[] = {
    [VT_PARAMETER_STRING] = {"string", LINE_PATTERN, NULL, "one line"},
    [VT_PARAMETER_TEXT] = {"text", NULL, NULL, "text"},
    [VT_PARAMETER_INTEGER] = {"integer", NULL, NULL, "a whole number"},
    [VT_PARAMETER_BOOLEAN] = {"boolean", "^(true|false|yes|no)$", NULL, "true or false"},
    [VT_PARAMETER_ENUM] = {"enum", NULL, NULL, "one of its values"},
    [VT_PARAMETER_LIST] = {"list", LINE_PATTERN, NULL, "a list of lines"},
    [VT_PARAMETER_SECRET] = {"secret", LINE_PATTERN, NULL, "one line", true},
    [VT_PARAMETER_SSH_KEY] = {"ssh-key", VT_SSH_KEY_PATTERN, NULL, "an SSH public key"},
    [VT_PARAMETER_PASSWORD_HASH] = {"password-hash", VT_HASH_PATTERN, NULL,
                                    "a hash as in crypt(5): $6$...", true},
    [VT_PARAMETER_IP] = {"ip", NULL, is_address, "an address: 192.0.2.5"},
    [VT_PARAMETER_CIDR] = {"cidr", NULL, is_network, "an address with its prefix: 192.0.2.5/24"},
    [VT_PARAMETER_MAC] = {"mac", VT_MAC_PATTERN, NULL, "a MAC address: 52:54:00:12:34:56"},
};

/* What `provision --set` and <instance> know already; the two could not be told apart */
static const char *const reserved[] = {"address",
                                       "command",
                                       "dns",
                                       "file",
                                       "gateway",
                                       "groups",
                                       "hostname",
                                       "locale",
                                       "package",
                                       "password-hash",
                                       "password-hash-secret",
                                       "password-secret",
                                       "product-key",
                                       "product-key-secret",
                                       "service",
                                       "shell",
                                       "ssh-key",
                                       "sudo",
                                       "timezone",
                                       "user",
                                       NULL};

void
vt_parameter_free(VtParameter *parameter)
{
    if (!parameter)
        return;
    g_free(parameter->name);
    json_decref(parameter->initial);
    g_free(parameter->pattern);
    g_free(parameter->description);
    g_strfreev(parameter->choices);
    g_free(parameter);
}

char *
vt_parameter_describe(const VtParameter *parameter)
{
    char *initial =
        parameter->initial ? json_dumps(parameter->initial, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *text = g_strdup_printf("%s (%s%s%s%s)", parameter->name, types[parameter->type].name,
                                 initial ? ", default " : "", initial ? initial : "",
                                 parameter->required ? ", required" : "");

    free(initial);
    return text;
}

/* ---- values ---- */

static bool
throw_value(const VtParameter *parameter, const char *text, GError **error, const char *expected)
{
    g_autofree char *shown =
        types[parameter->type].secret ? g_strdup("what was given") : vt_json_shown(text);
    const char *quote = types[parameter->type].secret ? "" : "'";

    return vt_throw(error, VT_ERROR_INVALID, "parameter '%s': %s%s%s is not %s", parameter->name,
                    quote, shown, quote, expected);
}

static bool
matches(const char *pattern, const char *text)
{
    return g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

static bool
matches_declared(const VtParameter *parameter, const char *text, GError **error)
{
    g_autofree char *whole = g_strdup_printf("^(?:%s)$", parameter->pattern);
    g_autofree char *expected =
        g_strdup_printf("what its pattern allows: %.200s", parameter->pattern);

    return matches(whole, text) || throw_value(parameter, text, error, expected);
}

static bool
check_text(const VtParameter *parameter, const char *text, GError **error)
{
    const VtParameterType type = parameter->type;
    const size_t most = type == VT_PARAMETER_TEXT ? VT_PARAMETER_TEXT_MAX : VT_PARAMETER_LINE_MAX;

    if (strlen(text) > most)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "parameter '%s' has %zu bytes; at most %zu are allowed", parameter->name,
                        strlen(text), most);
    if ((types[type].pattern && !matches(types[type].pattern, text)) ||
        (types[type].check && !types[type].check(text)))
        return throw_value(parameter, text, error, types[type].expected);
    return !parameter->pattern || matches_declared(parameter, text, error);
}

static bool
read_integer(const VtParameter *parameter, const char *text, json_t **ret, GError **error)
{
    gint64 number;

    if (!g_ascii_string_to_signed(text, 10, parameter->minimum, parameter->maximum, &number,
                                  NULL)) {
        g_autofree char *expected =
            g_strdup_printf("a whole number from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT,
                            parameter->minimum, parameter->maximum);

        return throw_value(parameter, text, error, expected);
    }
    *ret = json_integer(number);
    return true;
}

static bool
read_choice(const VtParameter *parameter, const char *text, json_t **ret, GError **error)
{
    g_autofree char *all = g_strjoinv(", ", parameter->choices);
    g_autofree char *expected = g_strconcat("one of: ", all, NULL);

    if (!g_strv_contains((const char *const *)parameter->choices, text))
        return throw_value(parameter, text, error, expected);
    *ret = json_string(text);
    return true;
}

static bool
read_one(const VtParameter *parameter, const char *text, json_t **ret, GError **error)
{
    g_autofree char *line = NULL;

    /* key files end with a newline */
    if (parameter->type == VT_PARAMETER_SSH_KEY)
        text = line = g_strstrip(g_strdup(text));
    if (!g_utf8_validate(text, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "parameter '%s' is not UTF-8", parameter->name);
    if (!check_text(parameter, text, error))
        return false;
    if (parameter->type == VT_PARAMETER_INTEGER)
        return read_integer(parameter, text, ret, error);
    if (parameter->type == VT_PARAMETER_ENUM)
        return read_choice(parameter, text, ret, error);
    *ret = parameter->type == VT_PARAMETER_BOOLEAN ? json_boolean(*text == 't' || *text == 'y')
                                                   : json_string(text);
    return true;
}

static bool
read_list(const VtParameter *parameter, const char *const *texts, json_t **ret, GError **error)
{
    json_auto_t *list = json_array();

    for (size_t i = 0; texts[i]; i++) {
        json_t *item = NULL;

        if (i == VT_PARAMETER_ITEMS_MAX)
            return vt_throw(error, VT_ERROR_TOO_LARGE, "parameter '%s' has more than %d items",
                            parameter->name, VT_PARAMETER_ITEMS_MAX);
        if (!read_one(parameter, texts[i], &item, error))
            return false;
        json_array_append_new(list, item);
    }
    *ret = json_incref(list);
    return true;
}

bool
vt_parameter_read(const VtParameter *parameter, const char *const *texts, json_t **ret_value,
                  GError **error)
{
    if (parameter->type == VT_PARAMETER_LIST)
        return read_list(parameter, texts, ret_value, error);
    if (!texts[0] || texts[1])
        return vt_throw(error, VT_ERROR_INVALID,
                        "parameter '%s' is given %u times; it takes one value", parameter->name,
                        g_strv_length((char **)(uintptr_t)texts));
    return read_one(parameter, texts[0], ret_value, error);
}

/* Returns: (transfer full) (nullable): %NULL for what is no text, number or boolean */
static char *
scalar_text(const json_t *value)
{
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "true" : "false");
    return NULL;
}

bool
vt_parameter_read_json(const VtParameter *parameter, const json_t *value, json_t **ret_value,
                       GError **error)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    const bool list = json_is_array(value);

    for (size_t i = 0; i < (list ? json_array_size(value) : 1); i++) {
        char *text = scalar_text(list ? json_array_get(value, i) : value);

        if (!text)
            return vt_throw(error, VT_ERROR_INVALID,
                            "parameter '%s': a value must be a string, a whole number or a "
                            "boolean%s",
                            parameter->name, list ? "; so must the items of a list" : "");
        g_ptr_array_add(texts, text);
    }
    g_ptr_array_add(texts, NULL);
    return vt_parameter_read(parameter, (const char *const *)texts->pdata, ret_value, error);
}

/* ---- declarations ---- */

static bool
parse_name(const VtJson *at, VtParameter *parameter, GError **error)
{
    const char *name = NULL;
    g_autofree char *shown = NULL;

    if (!vt_json_string(at, "name", &name, error))
        return false;
    shown = vt_json_shown(name);
    if (!matches(NAME_PATTERN, name) || strlen(name) > VT_PARAMETER_NAME_MAX)
        return vt_json_throw(at, error,
                             "name '%s': a name is at most %d small letters, digits, '-' and '_', "
                             "and begins with a letter",
                             shown, VT_PARAMETER_NAME_MAX);
    if (g_strv_contains(reserved, name))
        return vt_json_throw(at, error,
                             "name '%s' means something else for every guest; take "
                             "another one",
                             shown);
    parameter->name = g_strdup(name);
    return true;
}

static bool
parse_type(const VtJson *at, VtParameter *parameter, GError **error)
{
    g_autoptr(GString) known = g_string_new(NULL);
    const char *type = NULL;

    if (!vt_json_string(at, "type", &type, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_str_equal(types[i].name, type)) {
            parameter->type = (VtParameterType)i;
            return true;
        }
        g_string_append_printf(known, "%s%s", i ? ", " : "", types[i].name);
    }
    return vt_json_throw(at, error, "unknown type; known: %s", known->str);
}

static bool
parse_pattern(const VtJson *at, VtParameter *parameter, GError **error)
{
    g_autoptr(GRegex) regex = NULL;
    g_autoptr(GError) local = NULL;
    const char *pattern = NULL;

    if (!vt_json_string_if(at, "pattern", &pattern, error))
        return false;
    if (!pattern)
        return true;
    regex = g_regex_new(pattern, 0, 0, &local);
    if (!regex)
        return vt_json_throw(at, error, "pattern: %s", local->message);
    parameter->pattern = g_strdup(pattern);
    return true;
}

static bool
parse_choices(const VtJson *at, VtParameter *parameter, GError **error)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const bool wanted = parameter->type == VT_PARAMETER_ENUM;
    VtJson choices;

    if (wanted != (json_object_get(at->value, "values") != NULL))
        return vt_json_throw(at, error,
                             wanted ? "an enum needs 'values'" : "'values' is for the type enum");
    if (!wanted)
        return true;
    if (!vt_json_array(at, "values", &choices, error))
        return false;
    for (size_t i = 0; i < json_array_size(choices.value); i++) {
        const VtJson element = vt_json_element(&choices, i);
        const char *text = NULL;

        if (!vt_json_is_string(&element, &text, error))
            return false;
        g_strv_builder_add(builder, text);
    }
    parameter->choices = g_strv_builder_end(builder);
    return parameter->choices[0] || vt_json_throw(&choices, error, "is empty");
}

static bool
parse_bounds(const VtJson *at, VtParameter *parameter, GError **error)
{
    struct {
        const char *field;
        json_int_t *number;
    } bounds[] = {{"minimum", &parameter->minimum}, {"maximum", &parameter->maximum}};

    parameter->minimum = INT64_MIN;
    parameter->maximum = INT64_MAX;
    for (size_t i = 0; i < G_N_ELEMENTS(bounds); i++) {
        const json_t *value = json_object_get(at->value, bounds[i].field);

        if (!value)
            continue;
        if (parameter->type != VT_PARAMETER_INTEGER || !json_is_integer(value))
            return vt_json_throw(at, error, "'%s' is a whole number, for the type integer",
                                 bounds[i].field);
        *bounds[i].number = json_integer_value(value);
    }
    return parameter->minimum <= parameter->maximum ||
           vt_json_throw(at, error, "'minimum' is above 'maximum'");
}

static bool
parse_default(const VtJson *at, VtParameter *parameter, GError **error)
{
    const json_t *required = json_object_get(at->value, "required");
    const json_t *initial = json_object_get(at->value, "default");
    g_autoptr(GError) local = NULL;

    if (required && !json_is_boolean(required))
        return vt_json_throw(at, error, "'required' is true or false");
    parameter->required = json_is_true(required);
    if (!initial)
        return true;
    if (parameter->required)
        return vt_json_throw(at, error, "has a default, and is required: leave one of them out");
    if (types[parameter->type].secret)
        return vt_json_throw(at, error, "a secret has no default: everyone can read a template");
    return vt_parameter_read_json(parameter, initial, &parameter->initial, &local) ||
           vt_json_throw(at, error, "'default': %s", local->message);
}

bool
vt_parameter_parse(const VtJson *at, VtParameter **ret_parameter, GError **error)
{
    static const char *const fields[] = {"name",   "type",    "required", "default",     "pattern",
                                         "values", "minimum", "maximum",  "description", NULL};
    g_autoptr(VtParameter) parameter = g_new0(VtParameter, 1);
    const char *description = "";

    if (!vt_json_is_object(at, error) || !vt_json_exact_fields(at, fields, error) ||
        !parse_name(at, parameter, error) || !parse_type(at, parameter, error) ||
        !parse_pattern(at, parameter, error) || !parse_choices(at, parameter, error) ||
        !parse_bounds(at, parameter, error) || !parse_default(at, parameter, error) ||
        !vt_json_string_if(at, "description", &description, error))
        return false;
    parameter->description = g_strdup(description);
    *ret_parameter = g_steal_pointer(&parameter);
    return true;
}
