/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-json.c: JSON from outside: strict, bounded, with errors that name document and field
 *
 * Theory of operation. Jansson checks grammar, duplicate members, numbers that do not fit and
 * surrogates, but it recurses once for each level and allocates for each value. So size, UTF-8,
 * nesting and the number of values are checked first, in one pass over the bytes that needs only
 * to know where strings begin and end.
 */
#include "vt-json.h"

#include <stdarg.h>
#include <string.h>

/* What a message shows of a text from outside */
#define SHOWN_MAX 120

#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-"

char *
vt_json_shown(const char *text)
{
    g_autofree char *head = g_strndup(text, SHOWN_MAX);
    g_autofree char *shown = g_strescape(head, "\"\\");

    if (strlen(text) <= SHOWN_MAX)
        return g_steal_pointer(&shown);
    return g_strconcat(shown, "...", NULL);
}

/* The index behind the string that starts with the quote at @at; @length if it does not end */
static size_t
skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length; at++) {
        if (text[at] == '\\')
            at++;
        else if (text[at] == '"')
            return at + 1;
    }
    return length;
}

static bool
check_shape(const char *text, size_t length, const char *document, GError **error)
{
    size_t depth = 0, values = 0, at = 0;

    while (at < length) {
        char c = text[at];

        at = c == '"' ? skip_string(text, length, at) : at + 1;
        if (c == '[' || c == '{')
            depth++;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
        values += c == '[' || c == '{' || c == ',';
        if (depth > VT_JSON_DEPTH_MAX)
            return vt_throw(error, VT_ERROR_INVALID, "%s: nested deeper than %d levels", document,
                            VT_JSON_DEPTH_MAX);
        if (values > VT_JSON_VALUES_MAX)
            return vt_throw(error, VT_ERROR_INVALID, "%s: more than %d values", document,
                            VT_JSON_VALUES_MAX);
    }
    return true;
}

bool
vt_json_parse(GBytes *bytes, const char *document, size_t limit, json_t **ret_root, GError **error)
{
    gsize length = 0;
    const char *text = g_bytes_get_data(bytes, &length);
    g_autofree char *why = NULL;
    json_error_t syntax;
    json_t *root;

    if (length == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s: empty", document);
    if (length > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: %zu bytes, more than %zu", document, length,
                        limit);
    if (memchr(text, '\0', length))
        return vt_throw(error, VT_ERROR_INVALID, "%s: has a NUL byte", document);
    if (!g_utf8_validate_len(text, length, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "%s: not valid UTF-8", document);
    if (!check_shape(text, length, document, error))
        return false;
    root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &syntax);
    if (root && json_is_object(root)) {
        *ret_root = root;
        return true;
    }
    if (root) {
        json_decref(root);
        return vt_throw(error, VT_ERROR_INVALID, "%s: not a JSON object", document);
    }
    why = vt_json_shown(syntax.text);
    return vt_throw(error, VT_ERROR_INVALID, "%s: line %d, column %d: %s", document, syntax.line,
                    syntax.column, why);
}

VtJson
vt_json_root(json_t *root, const char *document)
{
    return (VtJson){.name = document, .value = root};
}

VtJson
vt_json_element(const VtJson *array, size_t index)
{
    return (VtJson){.parent = array, .index = index, .value = json_array_get(array->value, index)};
}

VtJson
vt_json_member(const VtJson *object, const char *field)
{
    return (VtJson){
        .parent = object, .name = field, .value = json_object_get(object->value, field)};
}

static void
append_path(const VtJson *at, GString *path)
{
    g_autofree char *shown = NULL;

    if (!at->parent)
        return;
    append_path(at->parent, path);
    if (!at->name) {
        g_string_append_printf(path, "[%zu]", at->index);
        return;
    }
    shown = vt_json_shown(at->name);
    if (path->len)
        g_string_append_c(path, '.');
    /* keys that are data, "registry.example/golden", are not to be taken for a path */
    if (*shown && strspn(shown, WORD_CHARS) == strlen(shown) && !strchr(shown, '.'))
        g_string_append(path, shown);
    else
        g_string_append_printf(path, "\"%s\"", shown);
}

char *
vt_json_path(const VtJson *at)
{
    g_autoptr(GString) path = g_string_new(NULL);

    append_path(at, path);
    return g_string_free(g_steal_pointer(&path), FALSE);
}

bool
vt_json_throw(const VtJson *at, GError **error, const char *format, ...)
{
    g_autofree char *path = vt_json_path(at), *what = NULL;
    const VtJson *root = at;
    va_list args;

    while (root->parent)
        root = root->parent;
    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    return vt_throw(error, VT_ERROR_INVALID, "%s: %s%s%s", root->name, path, *path ? ": " : "",
                    what);
}

bool
vt_json_exact_fields(const VtJson *object, const char *const *known, GError **error)
{
    const char *key;
    json_t *value;

    json_object_foreach(object->value, key, value)
    {
        if (!g_strv_contains(known, key)) {
            g_autofree char *shown = vt_json_shown(key);

            return vt_json_throw(object, error, "unknown field \"%s\"", shown);
        }
    }
    return true;
}

static bool
check_type(const VtJson *at, json_type type, GError **error)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a number",  [JSON_TRUE] = "a boolean",
        [JSON_FALSE] = "a boolean",    [JSON_NULL] = "null",
    };

    if (!at->value)
        return vt_json_throw(at, error, "missing; it must be %s", names[type]);
    if (json_typeof(at->value) != type)
        return vt_json_throw(at, error, "is %s; it must be %s", names[json_typeof(at->value)],
                             names[type]);
    return true;
}

bool
vt_json_is_object(const VtJson *at, GError **error)
{
    return check_type(at, JSON_OBJECT, error);
}

bool
vt_json_is_string(const VtJson *at, const char **ret_text, GError **error)
{
    if (!check_type(at, JSON_STRING, error))
        return false;
    *ret_text = json_string_value(at->value);
    return true;
}

static bool
get_typed(const VtJson *object, const char *field, json_type type, VtJson *ret, GError **error)
{
    VtJson member = vt_json_member(object, field);

    if (!check_type(&member, type, error))
        return false;
    *ret = member;
    return true;
}

bool
vt_json_object(const VtJson *object, const char *field, VtJson *ret, GError **error)
{
    return get_typed(object, field, JSON_OBJECT, ret, error);
}

bool
vt_json_array(const VtJson *object, const char *field, VtJson *ret, GError **error)
{
    return get_typed(object, field, JSON_ARRAY, ret, error);
}

bool
vt_json_string(const VtJson *object, const char *field, const char **ret, GError **error)
{
    VtJson member;

    if (!get_typed(object, field, JSON_STRING, &member, error))
        return false;
    *ret = json_string_value(member.value);
    return true;
}

bool
vt_json_string_if(const VtJson *object, const char *field, const char **ret, GError **error)
{
    return !json_object_get(object->value, field) || vt_json_string(object, field, ret, error);
}

bool
vt_json_uint(const VtJson *object, const char *field, uint64_t *ret, GError **error)
{
    VtJson member;

    if (!get_typed(object, field, JSON_INTEGER, &member, error))
        return false;
    if (json_integer_value(member.value) < 0)
        return vt_json_throw(&member, error, "is negative");
    *ret = (uint64_t)json_integer_value(member.value);
    return true;
}

bool
vt_json_is_word(const char *text)
{
    return *text && strlen(text) <= VT_JSON_WORD_MAX && !text[strspn(text, WORD_CHARS)];
}

bool
vt_json_word(const VtJson *object, const char *field, const char **ret, GError **error)
{
    VtJson member = vt_json_member(object, field);
    const char *text = NULL;

    if (!vt_json_string(object, field, &text, error))
        return false;
    if (!vt_json_is_word(text))
        return vt_json_throw(&member, error,
                             "is not a word of at most %d characters [A-Za-z0-9._+-]",
                             VT_JSON_WORD_MAX);
    *ret = text;
    return true;
}

/* "2026-11-21T10:00:00Z", the 0 standing for any digit */
bool
vt_json_is_time(const char *text)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    g_autoptr(GDateTime) date = NULL;

    if (strlen(text) != strlen(shape))
        return false;
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == '0' ? !g_ascii_isdigit(text[i]) : text[i] != shape[i])
            return false;
    }
    /* refuses 30 February and 25 o'clock */
    date = g_date_time_new_from_iso8601(text, NULL);
    return date != NULL;
}

bool
vt_json_time(const VtJson *object, const char *field, const char **ret, GError **error)
{
    VtJson member = vt_json_member(object, field);
    const char *text = NULL;

    if (!vt_json_string(object, field, &text, error))
        return false;
    if (!vt_json_is_time(text))
        return vt_json_throw(&member, error, "is not a time like 2026-11-21T10:00:00Z");
    *ret = text;
    return true;
}

bool
vt_json_digest(const VtJson *object, const char *field, VtDigest *ret, GError **error)
{
    VtJson member = vt_json_member(object, field);
    g_autoptr(GError) why = NULL;
    const char *text = NULL;

    if (!vt_json_string(object, field, &text, error))
        return false;
    if (!vt_digest_parse(text, ret, &why)) {
        g_autofree char *shown = vt_json_shown(text);

        return vt_json_throw(&member, error, "\"%s\" is not sha256: and 64 lower-case hex digits",
                             shown);
    }
    return true;
}

void
vt_json_set_string(json_t *object, const char *field, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    int failed = json_object_set_new(object, field, json_string(valid));

    g_assert(failed == 0);
}

void
vt_json_set_uint(json_t *object, const char *field, uint64_t number)
{
    int failed = json_object_set_new(object, field, json_integer((json_int_t)number));

    g_assert(failed == 0 && number <= INT64_MAX);
}

void
vt_json_set_digest(json_t *object, const char *field, const VtDigest *digest)
{
    char text[VT_DIGEST_STRING_MAX];

    vt_json_set_string(object, field, vt_digest_format(digest, text));
}

GBytes *
vt_json_format(const json_t *root)
{
    /* Jansson keeps the order of insertion; what it allocates, g_free() frees */
    char *text = json_dumps(root, JSON_COMPACT);

    g_assert(text);
    return g_bytes_new_take(text, strlen(text));
}
