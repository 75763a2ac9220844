/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-yaml.c: YAML of operators and publishers: checked, and read as JSON values */
#include "vt-yaml.h"

#include <stdint.h>
#include <string.h>
#include <yaml.h>

/*
 * A document is read as events; the collections that are open are on a stack:
 *
 *     users: [anna]   ->   mapping start, scalar "users", sequence start, scalar "anna", ends
 */

/* yaml.org/type/int.html and PyYAML; what looks like base 60 (12:30, a MAC address) is a string */
#define INTEGER_PATTERN "^[-+]?(0|[1-9][0-9]*)$"
#define OCTAL_PATTERN   "^0[0-7]+$"
#define HEX_PATTERN     "^0x[0-9a-fA-F]+$"
#define REAL_PATTERN    "^[-+]?[0-9]+\\.[0-9]*([eE][-+][0-9]+)?$"
#define NULL_PATTERN    "^(~|null|Null|NULL|)$"
#define TRUE_PATTERN    "^(yes|Yes|YES|true|True|TRUE|on|On|ON)$"
#define FALSE_PATTERN   "^(no|No|NO|false|False|FALSE|off|Off|OFF)$"

/* What all of them begin with, but for the empty text */
#define TYPED_START "+-0123456789~nNyYtTfFoO"

typedef struct {
    bool mapping;
    bool key_next;
    char *anchor;
    uint64_t nodes;
    json_t *value; /* (nullable): of vt_yaml_load() */
    char *key;     /* of the value that comes next */
} Level;

/* What an alias stands for */
typedef struct {
    uint64_t nodes;
    json_t *value;
} Anchor;

typedef struct {
    const char *what;
    bool builds;
    yaml_parser_t parser;
    GArray *levels;      /* Level */
    GHashTable *anchors; /* name -> Anchor */
    uint64_t nodes;
    guint documents;
    json_t *root;
} Reader;

static void
level_clear(gpointer data)
{
    Level *level = data;

    g_free(level->anchor);
    g_free(level->key);
    json_decref(level->value);
}

static void
anchor_free(gpointer data)
{
    Anchor *anchor = data;

    json_decref(anchor->value);
    g_free(anchor);
}

static bool
throw_at(const Reader *reader, const yaml_mark_t *mark, GError **error, const char *problem)
{
    return vt_throw(error, VT_ERROR_INVALID, "%s: line %zu: %s", reader->what, mark->line + 1,
                    problem);
}

static Level *
innermost(Reader *reader)
{
    guint depth = reader->levels->len;

    return depth ? &g_array_index(reader->levels, Level, depth - 1) : NULL;
}

/* Counts @nodes more in all open collections. Returns: whether the next node is a key */
static bool
count(Reader *reader, uint64_t nodes)
{
    Level *level = innermost(reader);
    bool is_key = level && level->mapping && level->key_next;

    if (level)
        level->key_next = !level->key_next;
    for (guint i = 0; i < reader->levels->len; i++)
        g_array_index(reader->levels, Level, i).nodes += nodes;
    reader->nodes += nodes;
    return is_key;
}

static void
remember(Reader *reader, const char *name, uint64_t nodes, json_t *value)
{
    Anchor *anchor = g_new(Anchor, 1);

    *anchor = (Anchor){nodes, json_incref(value)};
    g_hash_table_replace(reader->anchors, g_strdup(name), anchor);
}

/* Puts @value, which it takes, where the stream is: into the innermost collection */
static void
put(Reader *reader, json_t *value)
{
    Level *level = innermost(reader);

    if (!level)
        reader->root = value;
    else if (level->mapping)
        json_object_set_new(level->value, level->key, value);
    else
        json_array_append_new(level->value, value);
}

/* ---- scalars ---- */

static bool
matches(const char *pattern, const char *text)
{
    return g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

static bool
read_integer(const Reader *reader, const yaml_event_t *event, int base, json_t **ret,
             GError **error)
{
    const char *text = (const char *)event->data.scalar.value;
    gint64 number;

    if (base == 16)
        text += strlen("0x");
    if (!g_ascii_string_to_signed(text + (*text == '+'), (guint)base, INT64_MIN, INT64_MAX, &number,
                                  NULL))
        return throw_at(reader, &event->start_mark, error,
                        "a number that is too large; write it in quotes");
    *ret = json_integer(number);
    return true;
}

/* What each alias of a scalar adds */
static uint64_t
nodes_of(const yaml_event_t *scalar)
{
    return 1 + scalar->data.scalar.length / VT_YAML_NODE_BYTES;
}

/* The type that a plain scalar has by its looks */
static bool
read_plain(const Reader *reader, const yaml_event_t *event, json_t **ret, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;

    /* what begins with none of these, or the end, is a string, as most are */
    if (!strchr(TYPED_START, *text)) {
        *ret = json_string(text);
        return true;
    }
    if (matches(INTEGER_PATTERN, text))
        return read_integer(reader, event, 10, ret, error);
    if (matches(OCTAL_PATTERN, text))
        return read_integer(reader, event, 8, ret, error);
    if (matches(HEX_PATTERN, text))
        return read_integer(reader, event, 16, ret, error);
    if (matches(NULL_PATTERN, text))
        *ret = json_null();
    else if (matches(TRUE_PATTERN, text))
        *ret = json_true();
    else if (matches(FALSE_PATTERN, text))
        *ret = json_false();
    else if (matches(REAL_PATTERN, text))
        *ret = json_real(g_ascii_strtod(text, NULL));
    else
        *ret = json_string(text);
    return *ret || throw_at(reader, &event->start_mark, error, "a number out of range");
}

static bool
build_key(Reader *reader, const yaml_event_t *event, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;
    Level *level = innermost(reader);

    if (g_str_equal(text, "<<"))
        return throw_at(reader, &event->start_mark, error,
                        "merge keys (<<) are not read here; write the values out");
    if (json_object_get(level->value, text))
        return throw_at(reader, &event->start_mark, error, "a key that is there twice");
    g_free(level->key);
    level->key = g_strdup(text);
    return true;
}

static bool
build_scalar(Reader *reader, const yaml_event_t *event, bool is_key, GError **error)
{
    const char *anchor = (const char *)event->data.scalar.anchor;
    json_t *value = NULL;

    if (event->data.scalar.tag)
        return throw_at(reader, &event->start_mark, error,
                        "tags (!!x) are not read here; write a string in quotes");
    if (is_key)
        return build_key(reader, event, error);
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        value = json_string((const char *)event->data.scalar.value);
    else if (!read_plain(reader, event, &value, error))
        return false;
    if (anchor)
        remember(reader, anchor, nodes_of(event), value);
    put(reader, value);
    return true;
}

static bool
take_scalar(Reader *reader, const yaml_event_t *event, GError **error)
{
    const char *anchor = (const char *)event->data.scalar.anchor;
    bool is_key;

    if (!innermost(reader))
        return throw_at(reader, &event->start_mark, error, "not a mapping (key: value)");
    if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
        return throw_at(reader, &event->start_mark, error, "a NUL character");
    is_key = count(reader, nodes_of(event));
    if (reader->builds)
        return build_scalar(reader, event, is_key, error);
    if (anchor)
        remember(reader, anchor, nodes_of(event), NULL);
    return true;
}

/* ---- collections ---- */

static bool
take_alias(Reader *reader, const yaml_event_t *event, GError **error)
{
    const Anchor *anchor =
        g_hash_table_lookup(reader->anchors, (const char *)event->data.alias.anchor);
    bool is_key;

    /* not seen, or still open: it would hold itself */
    if (!anchor)
        return throw_at(reader, &event->start_mark, error, "an alias of what is not there");
    is_key = count(reader, anchor->nodes);
    if (!reader->builds)
        return true;
    if (is_key)
        return throw_at(reader, &event->start_mark, error, "a key that is not a word");
    /* checked here, too, because the copy is what takes room */
    if (reader->nodes <= VT_YAML_NODES_MAX)
        put(reader, json_deep_copy(anchor->value));
    return true;
}

static bool
open_level(Reader *reader, const yaml_event_t *event, GError **error)
{
    const bool mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    const yaml_char_t *tag =
        mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    Level level = {.mapping = mapping, .key_next = mapping};

    if (reader->levels->len == 0 && !mapping)
        return throw_at(reader, &event->start_mark, error, "not a mapping (key: value)");
    if (reader->levels->len == VT_YAML_DEPTH_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: line %zu: more than %d levels",
                        reader->what, event->start_mark.line + 1, VT_YAML_DEPTH_MAX);
    if (count(reader, 1))
        return throw_at(reader, &event->start_mark, error, "a key that is not a word");
    if (reader->builds && tag)
        return throw_at(reader, &event->start_mark, error, "tags (!!x) are not read here");
    level.anchor = g_strdup((const char *)anchor);
    if (reader->builds)
        level.value = mapping ? json_object() : json_array();
    g_array_append_val(reader->levels, level);
    return true;
}

static bool
close_level(Reader *reader, const yaml_event_t *event, GError **error)
{
    Level *level = innermost(reader);
    json_t *value;

    /* libyaml pairs them, which the compiler cannot see */
    if (!level)
        return throw_at(reader, &event->start_mark, error, "an end without a beginning");
    value = g_steal_pointer(&level->value);
    if (level->anchor)
        remember(reader, level->anchor, level->nodes + 1, value);
    g_array_set_size(reader->levels, reader->levels->len - 1);
    if (reader->builds)
        put(reader, value);
    return true;
}

static bool
take_event(Reader *reader, const yaml_event_t *event, GError **error)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event, error);
    case YAML_ALIAS_EVENT:
        return take_alias(reader, event, error);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_level(reader, event, error);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_level(reader, event, error);
    case YAML_DOCUMENT_START_EVENT:
        return reader->documents++ == 0 ||
               throw_at(reader, &event->start_mark, error, "a second document");
    default:
        return true;
    }
}

/* ---- the document ---- */

static bool
step(Reader *reader, bool *ret_end, GError **error)
{
    yaml_event_t event;
    bool ok;

    if (!yaml_parser_parse(&reader->parser, &event))
        return throw_at(reader, &reader->parser.problem_mark, error,
                        reader->parser.problem ? reader->parser.problem : "not YAML");
    *ret_end = event.type == YAML_STREAM_END_EVENT;
    ok = take_event(reader, &event, error);
    yaml_event_delete(&event);
    if (ok && reader->nodes > VT_YAML_NODES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %d values with its aliases",
                        reader->what, VT_YAML_NODES_MAX);
    return ok;
}

static bool
read_all(Reader *reader, GError **error)
{
    bool end = false;

    while (!end) {
        if (!step(reader, &end, error))
            return false;
    }
    return reader->nodes > 0 ||
           vt_throw(error, VT_ERROR_INVALID, "%s: not a mapping (key: value)", reader->what);
}

static bool
read_text(const char *text, const char *what, json_t **ret_value, GError **error)
{
    Reader reader = {.what = what, .builds = ret_value != NULL};
    const size_t size = strlen(text);
    bool ok;

    if (size > VT_YAML_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s has %zu bytes, at most %u are allowed", what,
                        size, VT_YAML_MAX);
    if (!g_utf8_validate(text, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "%s is not UTF-8", what);
    if (!yaml_parser_initialize(&reader.parser))
        g_error("out of memory"); /* as GLib */
    reader.levels = g_array_new(false, false, sizeof(Level));
    g_array_set_clear_func(reader.levels, level_clear);
    reader.anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, anchor_free);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    ok = read_all(&reader, error);
    yaml_parser_delete(&reader.parser);
    g_array_unref(reader.levels);
    g_hash_table_unref(reader.anchors);
    if (ok && ret_value)
        *ret_value = g_steal_pointer(&reader.root);
    json_decref(reader.root);
    return ok;
}

bool
vt_yaml_check(const char *text, const char *what, GError **error)
{
    return read_text(text, what, NULL, error);
}

bool
vt_yaml_load(const char *text, const char *what, json_t **ret_value, GError **error)
{
    return read_text(text, what, ret_value, error);
}
