/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-profile.c: what a template says about guests made from it */
#include "vt-profile.h"

#include "vt-secrets.h"

#include <string.h>

#define OPEN    "${"
#define ESCAPED "$${"

void
vt_profile_free(VtProfile *profile)
{
    if (!profile)
        return;
    g_ptr_array_unref(profile->parameters);
    json_decref(profile->user_data);
    json_decref(profile->hardware);
    g_free(profile);
}

const VtParameter *
vt_profile_find(const VtProfile *profile, const char *name)
{
    for (guint i = 0; i < profile->parameters->len; i++) {
        const VtParameter *parameter = profile->parameters->pdata[i];

        if (g_str_equal(parameter->name, name))
            return parameter;
    }
    return NULL;
}

char *
vt_profile_describe(const VtProfile *profile)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < profile->parameters->len; i++) {
        g_autofree char *parameter = vt_parameter_describe(profile->parameters->pdata[i]);

        g_string_append_printf(text, "%s%s", i ? ", " : "", parameter);
    }
    return text->len ? g_string_free(g_steal_pointer(&text), FALSE) : g_strdup("none");
}

/* ---- placeholders ---- */

/* A piece of a string: text up to @length, or a placeholder */
typedef struct {
    size_t length; /* bytes that the piece takes */
    char *name;    /* (nullable): of the placeholder */
    char *text;    /* (nullable): what it stands for if it is none */
} Piece;

static void
piece_clear(Piece *piece)
{
    g_free(piece->name);
    g_free(piece->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Piece, piece_clear)

/* The piece that @text begins with. Returns: false for "${" that is no placeholder */
static bool
next_piece(const char *text, Piece *ret)
{
    const char *end;

    if (g_str_has_prefix(text, ESCAPED)) {
        *ret = (Piece){strlen(ESCAPED), NULL, g_strdup(OPEN)};
        return true;
    }
    if (!g_str_has_prefix(text, OPEN)) {
        /* one '$' that begins nothing, or all up to the next one */
        size_t length = 1 + strcspn(text + 1, "$");

        *ret = (Piece){length, NULL, g_strndup(text, length)};
        return true;
    }
    text += strlen(OPEN);
    end = text + strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    if (end == text || *end != '}')
        return false;
    *ret =
        (Piece){(size_t)(end - text) + strlen("${}"), g_strndup(text, (gsize)(end - text)), NULL};
    return true;
}

/* Returns: (transfer full) (nullable): the name if @text is one placeholder and nothing else */
static char *
whole_placeholder(const char *text)
{
    g_auto(Piece) piece = {0};

    if (!next_piece(text, &piece) || !piece.name || text[piece.length])
        return NULL;
    return g_steal_pointer(&piece.name);
}

/* ---- the document ---- */

static bool
check_string(const VtProfile *profile, const VtJson *at, GError **error)
{
    const char *text = json_string_value(at->value);
    g_autofree char *whole = *text ? whole_placeholder(text) : NULL;

    while (*text) {
        g_auto(Piece) piece = {0};
        const VtParameter *parameter;
        g_autofree char *declared = NULL;

        if (!next_piece(text, &piece))
            return vt_json_throw(
                at, error, "'%.20s' is no placeholder: write ${name}, or $${ for ${ itself", text);
        text += piece.length;
        if (!piece.name)
            continue;
        parameter = vt_profile_find(profile, piece.name);
        declared = vt_profile_describe(profile);
        if (!parameter)
            return vt_json_throw(at, error,
                                 "${%s}: no such parameter is declared; there are: %s; write $${ "
                                 "for ${ itself",
                                 piece.name, declared);
        if (parameter->type == VT_PARAMETER_LIST && !whole)
            return vt_json_throw(at, error, "${%s}: a list has to be a value of its own",
                                 piece.name);
    }
    return true;
}

/* No deeper than vt_json_parse() lets a document be */
static bool
check_placeholders(const VtProfile *profile, const VtJson *at, GError **error)
{
    const char *key;
    json_t *value;

    if (json_is_string(at->value))
        return check_string(profile, at, error);
    for (size_t i = 0; i < json_array_size(at->value); i++) {
        const VtJson element = vt_json_element(at, i);

        if (!check_placeholders(profile, &element, error))
            return false;
    }
    json_object_foreach(at->value, key, value)
    {
        const VtJson member = vt_json_member(at, key);

        if (!check_placeholders(profile, &member, error))
            return false;
    }
    return true;
}

static bool
parse_parameters(const VtJson *root, VtProfile *profile, GError **error)
{
    VtJson array;

    if (!json_object_get(root->value, "parameters"))
        return true;
    if (!vt_json_array(root, "parameters", &array, error))
        return false;
    if (json_array_size(array.value) > VT_PARAMETERS_MAX)
        return vt_json_throw(&array, error, "more than %d parameters", VT_PARAMETERS_MAX);
    for (size_t i = 0; i < json_array_size(array.value); i++) {
        const VtJson element = vt_json_element(&array, i);
        g_autoptr(VtParameter) parameter = NULL;

        if (!vt_parameter_parse(&element, &parameter, error))
            return false;
        if (vt_profile_find(profile, parameter->name))
            return vt_json_throw(&element, error, "'%s' is declared twice", parameter->name);
        g_ptr_array_add(profile->parameters, g_steal_pointer(&parameter));
    }
    return true;
}

static bool
parse_object(const VtJson *root, const char *field, json_t **ret, GError **error)
{
    VtJson object;

    if (!json_object_get(root->value, field))
        return true;
    if (!vt_json_object(root, field, &object, error))
        return false;
    *ret = json_incref(object.value);
    return true;
}

bool
vt_profile_parse(const VtJson *root, VtProfile **ret_profile, GError **error)
{
    g_autoptr(VtProfile) profile = g_new0(VtProfile, 1);
    const VtJson user_data = vt_json_member(root, "user-data");

    profile->parameters = g_ptr_array_new_with_free_func((GDestroyNotify)vt_parameter_free);
    if (!parse_parameters(root, profile, error) ||
        !parse_object(root, "user-data", &profile->user_data, error) ||
        !parse_object(root, "hardware", &profile->hardware, error) ||
        (user_data.value && !check_placeholders(profile, &user_data, error)))
        return false;
    *ret_profile = g_steal_pointer(&profile);
    return true;
}

/* ---- values ---- */

static bool
value_of(const VtParameter *parameter, const json_t *defaults, GHashTable *given, json_t **ret,
         GError **error)
{
    const GPtrArray *texts = given ? g_hash_table_lookup(given, parameter->name) : NULL;
    const json_t *initial = json_object_get(defaults, parameter->name);

    if (texts)
        return vt_parameter_read(parameter, (const char *const *)texts->pdata, ret, error);
    if (!initial) {
        *ret = json_incref(parameter->initial);
        return true;
    }
    if (vt_parameter_read_json(parameter, initial, ret, error))
        return true;
    g_prefix_error(error, "default of the pool: ");
    return false;
}

static bool
check_known(const VtProfile *profile, GHashTable *given, GError **error)
{
    g_autofree char *declared = vt_profile_describe(profile);
    GHashTableIter iter;
    gpointer name;

    g_hash_table_iter_init(&iter, given);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_autofree char *shown = vt_json_shown(name);

        if (!vt_profile_find(profile, name))
            return vt_throw(error, VT_ERROR_INVALID,
                            "the template has no parameter '%s'; it has: %s", shown, declared);
    }
    return true;
}

bool
vt_profile_check(const VtProfile *profile, GHashTable *given, GError **error)
{
    GHashTableIter iter;
    gpointer name, texts;

    if (!check_known(profile, given, error))
        return false;
    g_hash_table_iter_init(&iter, given);
    while (g_hash_table_iter_next(&iter, &name, &texts)) {
        const char *const *values = (const char *const *)((GPtrArray *)texts)->pdata;
        json_t *value = NULL;

        if (!vt_parameter_read(vt_profile_find(profile, name), values, &value, error))
            return false;
        json_decref(value);
    }
    return true;
}

bool
vt_profile_check_open(const VtProfile *profile, GHashTable *given, GError **error)
{
    for (guint i = 0; given && i < profile->parameters->len; i++) {
        const VtParameter *parameter = profile->parameters->pdata[i];

        if (parameter->type == VT_PARAMETER_SECRET && g_hash_table_contains(given, parameter->name))
            return vt_throw(error, VT_ERROR_INVALID,
                            "parameter '%s' is a secret, and everybody can read the domain's "
                            "XML: " VT_SECRETS_ADVICE,
                            parameter->name);
    }
    return true;
}

bool
vt_profile_is_empty(const VtProfile *profile)
{
    return profile->parameters->len == 0 && !profile->user_data;
}

static bool
throw_missing(const VtProfile *profile, const VtParameter *parameter, GError **error)
{
    g_autofree char *declared = vt_profile_describe(profile);

    return vt_throw(error, VT_ERROR_INVALID,
                    "the parameter '%s' has no value%s; the template has: %s", parameter->name,
                    parameter->type == VT_PARAMETER_SECRET ? ": " VT_SECRETS_ADVICE : "", declared);
}

bool
vt_profile_values(const VtProfile *profile, const json_t *defaults, GHashTable *given,
                  json_t **ret_values, GError **error)
{
    json_auto_t *values = json_object();

    if (given && !check_known(profile, given, error))
        return false;
    for (guint i = 0; i < profile->parameters->len; i++) {
        const VtParameter *parameter = profile->parameters->pdata[i];
        json_t *value = NULL;

        if (!value_of(parameter, defaults, given, &value, error))
            return false;
        if (value)
            json_object_set_new(values, parameter->name, value);
        else if (parameter->required)
            return throw_missing(profile, parameter, error);
    }
    *ret_values = json_incref(values);
    return true;
}

/* ---- expanding ---- */

/**
 * Expansion:
 * @left: bytes that may still be made; once there are none, nothing is
 */
typedef struct {
    const json_t *values;
    size_t left;
} Expansion;

/* About as many as @value, of a parameter, takes as text */
static size_t
size_of(const json_t *value)
{
    size_t size = sizeof("-9223372036854775808");

    for (size_t i = 0; i < json_array_size(value); i++)
        size += size_of(json_array_get(value, i));
    return size + json_string_length(value);
}

/* Returns: whether there is room for @size bytes more */
static bool
take_room(Expansion *expansion, size_t size)
{
    const bool fits = size < expansion->left;

    expansion->left = fits ? expansion->left - size : 0;
    return fits;
}

static void
append_value(GString *text, const json_t *value)
{
    if (json_is_string(value))
        g_string_append(text, json_string_value(value));
    else if (json_is_integer(value))
        g_string_append_printf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        g_string_append(text, json_is_true(value) ? "true" : "false");
}

static char *
expand_pieces(Expansion *expansion, const char *text)
{
    GString *result = g_string_new(NULL);

    while (*text) {
        g_auto(Piece) piece = {0};
        const json_t *value;

        /* vt_profile_parse() has seen that it is one */
        if (!next_piece(text, &piece))
            break;
        text += piece.length;
        value = piece.name ? json_object_get(expansion->values, piece.name) : NULL;
        if (!take_room(expansion, piece.name ? size_of(value) : strlen(piece.text)))
            break;
        if (piece.name)
            append_value(result, value);
        else
            g_string_append(result, piece.text);
    }
    return g_string_free(result, FALSE);
}

/* Returns: (transfer full) (nullable): %NULL: there is no value for it */
static json_t *
expand_string(Expansion *expansion, const char *text)
{
    g_autofree char *whole = *text ? whole_placeholder(text) : NULL;
    const json_t *value = whole ? json_object_get(expansion->values, whole) : NULL;
    g_autofree char *result = NULL;

    if (whole)
        return take_room(expansion, size_of(value)) ? json_deep_copy(value) : NULL;
    result = expand_pieces(expansion, text);
    return json_string(result);
}

static json_t *expand(Expansion *expansion, const json_t *value);

static json_t *
expand_array(Expansion *expansion, const json_t *array)
{
    json_t *result = json_array();
    json_t *item;
    size_t i;

    json_array_foreach((json_t *)array, i, item)
    {
        json_t *expanded = expand(expansion, item);

        if (json_is_string(item) && json_is_array(expanded)) {
            json_array_extend(result, expanded);
            json_decref(expanded);
        } else if (expanded) {
            json_array_append_new(result, expanded);
        }
    }
    return result;
}

static json_t *
expand(Expansion *expansion, const json_t *value)
{
    const char *key;
    json_t *member, *result;

    if (json_is_string(value))
        return expand_string(expansion, json_string_value(value));
    if (json_is_array(value))
        return expand_array(expansion, value);
    if (!json_is_object(value))
        return json_deep_copy(value);
    result = json_object();
    json_object_foreach((json_t *)value, key, member)
    {
        json_t *expanded = expand(expansion, member);

        if (expanded)
            json_object_set_new(result, key, expanded);
    }
    return result;
}

bool
vt_profile_expand(const VtProfile *profile, const json_t *values, json_t **ret_config,
                  GError **error)
{
    Expansion expansion = {values, VT_PROFILE_EXPANDED_MAX};
    json_t *config = profile->user_data ? expand(&expansion, profile->user_data) : json_object();

    if (expansion.left == 0) {
        json_decref(config);
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "the template's user-data has more than %u bytes with the values of its "
                        "parameters: give shorter ones",
                        VT_PROFILE_EXPANDED_MAX);
    }
    *ret_config = config;
    return true;
}
