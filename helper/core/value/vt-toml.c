/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-toml.c: TOML 1.0, as far as the files of containers-registries.conf(5) use it
 *
 *     unqualified-search-registries = ["docker.io"]
 *     [[registry]]
 *     prefix = "registry.example/golden"      # a comment
 *     [[registry.mirror]]
 *     location = 'mirror.example'
 *     [aliases]
 *     "debian" = "docker.io/library/debian"
 *
 * Theory of operation. One pass with one cursor. A header walks from the root to the table that the
 * next keys go into; in an array of tables that is its last one. Values are Jansson's. Each array
 * and inline table that was written as a value is closed: a header must not add to it, which a set
 * of them tells.
 */
#include "vt-toml.h"

#include <string.h>

/* registries.conf has arrays of inline tables: 3 */
#define DEPTH_MAX 8
/* Parts of a dotted key, too */
#define PARTS_MAX DEPTH_MAX

typedef struct {
    const char *document;
    const char *at;
    unsigned line;
    json_t *root;
    json_t *table;       /* (transfer none): where keys go */
    GHashTable *defined; /* json_t: tables that a [header] named, and values that are closed */
    GError **error;
} Toml;

static bool
fail(const Toml *toml, const char *why)
{
    return vt_throw(toml->error, VT_ERROR_INVALID, "%s: line %u: %s", toml->document, toml->line,
                    why);
}

static void
skip_blank(Toml *toml)
{
    toml->at += strspn(toml->at, " \t");
}

/* Blanks, line ends and comments, where a value may go on over several lines */
static void
skip_lines(Toml *toml)
{
    for (;;) {
        skip_blank(toml);
        if (*toml->at == '#')
            toml->at += strcspn(toml->at, "\n");
        if (*toml->at == '\r' && toml->at[1] == '\n')
            toml->at++;
        if (*toml->at != '\n')
            return;
        toml->at++;
        toml->line++;
    }
}

/* ---- strings ---- */

static bool
take_unicode(Toml *toml, unsigned digits, GString *text)
{
    gunichar code = 0;

    for (unsigned i = 0; i < digits; i++, toml->at++) {
        const int digit = g_ascii_xdigit_value(*toml->at);

        if (digit < 0)
            return fail(toml, "a \\u without its hexadecimal digits");
        code = code << 4 | (gunichar)digit;
    }
    if (code == 0 || !g_unichar_validate(code))
        return fail(toml, "a \\u that is no character");
    g_string_append_unichar(text, code);
    return true;
}

static bool
take_escape(Toml *toml, GString *text)
{
    static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
    const char *found;

    if (*toml->at == 'u' || *toml->at == 'U')
        return take_unicode(toml, *toml->at++ == 'u' ? 4 : 8, text);
    found = *toml->at ? strchr(from, *toml->at) : NULL;
    if (!found)
        return fail(toml, "an unknown escape in a string");
    g_string_append_c(text, to[found - from]);
    toml->at++;
    return true;
}

/* "basic" or 'literal'; @toml is at the quote. @ret: (transfer full) */
static bool
take_string(Toml *toml, char **ret)
{
    const char quote = *toml->at++;
    g_autoptr(GString) text = g_string_new(NULL);

    if (*toml->at == quote && toml->at[1] == quote)
        return fail(toml, "strings over several lines are not read here");
    while (*toml->at != quote) {
        if (*toml->at == '\0' || *toml->at == '\n')
            return fail(toml, "a string without its end");
        if (g_ascii_iscntrl(*toml->at) && *toml->at != '\t')
            return fail(toml, "a control character in a string");
        if (*toml->at == '\\' && quote == '"') {
            toml->at++;
            if (!take_escape(toml, text))
                return false;
        } else {
            g_string_append_c(text, *toml->at++);
        }
    }
    toml->at++;
    *ret = g_string_free(g_steal_pointer(&text), FALSE);
    return true;
}

/* ---- keys ---- */

static bool
take_part(Toml *toml, char **ret)
{
    const size_t length = strspn(toml->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                           "0123456789_-");

    if (*toml->at == '"' || *toml->at == '\'')
        return take_string(toml, ret);
    if (length == 0)
        return fail(toml, "a key is expected here");
    *ret = g_strndup(toml->at, length);
    toml->at += length;
    return true;
}

/* a . "b" . c; @ret: (transfer full) (element-type utf8): at least one */
static bool
take_key(Toml *toml, GPtrArray **ret)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new_with_free_func(g_free);

    for (;;) {
        char *part = NULL;

        skip_blank(toml);
        if (parts->len == PARTS_MAX)
            return fail(toml, "a key of too many parts");
        if (!take_part(toml, &part))
            return false;
        g_ptr_array_add(parts, part);
        skip_blank(toml);
        if (*toml->at != '.')
            break;
        toml->at++;
    }
    *ret = g_steal_pointer(&parts);
    return true;
}

/* The table that @name of @from is, made if it is not there; of an array of tables the last one */
static bool
step_into(Toml *toml, json_t *from, const char *name, json_t **ret)
{
    json_t *next = json_object_get(from, name);

    if (!next) {
        next = json_object();
        json_object_set_new(from, name, next);
    } else if (g_hash_table_contains(toml->defined, next) && json_is_array(next)) {
        return fail(toml, "a table in an array that is complete");
    } else if (json_is_array(next)) {
        next = json_array_get(next, json_array_size(next) - 1);
    }
    if (!json_is_object(next))
        return fail(toml, "a table that is a value already");
    *ret = next;
    return true;
}

static bool
walk(Toml *toml, json_t *from, const GPtrArray *parts, guint count, json_t **ret)
{
    for (guint i = 0; i < count; i++) {
        if (!step_into(toml, from, g_ptr_array_index(parts, i), &from))
            return false;
    }
    *ret = from;
    return true;
}

/* ---- values ---- */

static bool take_value(Toml *toml, unsigned depth, json_t **ret);

/* KEY = VALUE into @table */
static bool
take_pair(Toml *toml, json_t *table, unsigned depth)
{
    g_autoptr(GPtrArray) parts = NULL;
    json_t *value = NULL;
    const char *name;

    if (!take_key(toml, &parts))
        return false;
    name = g_ptr_array_index(parts, parts->len - 1);
    if (*toml->at != '=')
        return fail(toml, "a '=' is expected behind a key");
    toml->at++;
    if (!walk(toml, table, parts, parts->len - 1, &table))
        return false;
    if (json_object_get(table, name))
        return fail(toml, "a key that stands twice");
    skip_blank(toml);
    if (!take_value(toml, depth, &value))
        return false;
    json_object_set_new(table, name, value);
    return true;
}

/* [1, 2,] over any number of lines; @toml is behind the '[' */
static bool
fill_array(Toml *toml, json_t *array, unsigned depth)
{
    for (;;) {
        json_t *value = NULL;

        skip_lines(toml);
        if (*toml->at == ']')
            break;
        if (!take_value(toml, depth, &value))
            return false;
        json_array_append_new(array, value);
        skip_lines(toml);
        if (*toml->at == ',')
            toml->at++;
        else if (*toml->at != ']')
            return fail(toml, "a ',' or ']' is expected in an array");
    }
    toml->at++;
    return true;
}

/* { a = 1, b = 2 } on one line; @toml is behind the '{' */
static bool
fill_inline_table(Toml *toml, json_t *table, unsigned depth)
{
    skip_blank(toml);
    while (*toml->at != '}') {
        if (!take_pair(toml, table, depth))
            return false;
        skip_blank(toml);
        if (*toml->at == '}')
            break;
        if (*toml->at != ',')
            return fail(toml, "a ',' or '}' is expected in a table");
        toml->at++;
        skip_blank(toml);
        if (*toml->at == '}')
            return fail(toml, "a table that ends with ','");
    }
    toml->at++;
    return true;
}

static bool
take_container(Toml *toml, unsigned depth, json_t **ret)
{
    const bool is_array = *toml->at++ == '[';
    json_t *value = is_array ? json_array() : json_object();

    if (depth >= DEPTH_MAX) {
        json_decref(value);
        return fail(toml, "nested too deeply");
    }
    if (!(is_array ? fill_array : fill_inline_table)(toml, value, depth + 1)) {
        json_decref(value);
        return false;
    }
    g_hash_table_add(toml->defined, value);
    *ret = value;
    return true;
}

/* true, false, or a decimal integer */
static bool
take_word(Toml *toml, json_t **ret)
{
    const size_t length = strcspn(toml->at, " \t\r\n,]}#");
    g_autofree char *word = g_strndup(toml->at, length);
    gint64 number = 0;

    if (g_str_equal(word, "true") || g_str_equal(word, "false"))
        *ret = json_boolean(*word == 't');
    else if (g_ascii_string_to_signed(word, 10, G_MININT64, G_MAXINT64, &number, NULL))
        *ret = json_integer(number);
    else
        return fail(toml, "a value is expected here: a string, true, false, an integer, an array "
                          "or a table");
    toml->at += length;
    return true;
}

static bool
take_value(Toml *toml, unsigned depth, json_t **ret)
{
    g_autofree char *text = NULL;

    if (*toml->at == '[' || *toml->at == '{')
        return take_container(toml, depth, ret);
    if (*toml->at != '"' && *toml->at != '\'')
        return take_word(toml, ret);
    if (!take_string(toml, &text))
        return false;
    *ret = json_string(text);
    return true;
}

/* ---- lines ---- */

static bool
open_table(Toml *toml, const GPtrArray *parts)
{
    if (!walk(toml, toml->root, parts, parts->len, &toml->table))
        return false;
    return g_hash_table_add(toml->defined, toml->table) ||
           fail(toml, "a table that stands twice, or is complete");
}

static bool
open_array_of_tables(Toml *toml, const GPtrArray *parts)
{
    const char *name = g_ptr_array_index(parts, parts->len - 1);
    json_t *parent = NULL, *array;

    if (!walk(toml, toml->root, parts, parts->len - 1, &parent))
        return false;
    array = json_object_get(parent, name);
    if (!array) {
        array = json_array();
        json_object_set_new(parent, name, array);
    }
    if (!json_is_array(array) || g_hash_table_contains(toml->defined, array))
        return fail(toml, "an array of tables that is something else already");
    toml->table = json_object();
    json_array_append_new(array, toml->table);
    return true;
}

/* [a.b] or [[a.b]] */
static bool
take_header(Toml *toml)
{
    const bool is_array = toml->at[1] == '[';
    g_autoptr(GPtrArray) parts = NULL;

    toml->at += is_array ? 2 : 1;
    if (!take_key(toml, &parts))
        return false;
    if (strncmp(toml->at, is_array ? "]]" : "]", is_array ? 2 : 1) != 0)
        return fail(toml, "a ']' is expected behind the name of a table");
    toml->at += is_array ? 2 : 1;
    return (is_array ? open_array_of_tables : open_table)(toml, parts);
}

static bool
take_lines(Toml *toml)
{
    for (;;) {
        unsigned line;

        skip_lines(toml);
        if (!*toml->at)
            return true;
        if (!(*toml->at == '[' ? take_header(toml) : take_pair(toml, toml->table, 0)))
            return false;
        line = toml->line;
        skip_lines(toml);
        if (*toml->at && toml->line == line)
            return fail(toml, "something stands behind a value or a name on its line");
    }
}

bool
vt_toml_parse(GBytes *bytes, const char *document, gsize limit, json_t **ret_root, GError **error)
{
    gsize length = 0;
    const char *data = g_bytes_get_data(bytes, &length);
    g_autofree char *text = NULL;
    Toml toml = {.document = document, .line = 1, .error = error};
    bool ok;

    if (length > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s has %zu bytes, more than %zu", document,
                        length, limit);
    if (length > 0 && !g_utf8_validate_len(data, length, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "%s is not UTF-8 text", document);
    text = g_strndup(length ? data : "", length);
    toml.at = text;
    toml.root = toml.table = json_object();
    toml.defined = g_hash_table_new(NULL, NULL);
    ok = take_lines(&toml);
    g_hash_table_unref(toml.defined);
    if (ok)
        *ret_root = toml.root;
    else
        json_decref(toml.root);
    return ok;
}
