/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-yaml.c: YAML as a stream of events, checked and changed on its way through */
#include "vt-yaml.h"

#include <stdint.h>
#include <string.h>
#include <yaml.h>

/*
 * A document is read as events and written as the events that follow from them. Nothing is ever
 * pasted into text:
 *
 *     hostname: ${name}   ->   mapping start, scalar "hostname", scalar "web1: #" (quoted), ...
 */

typedef struct {
    bool mapping;
    bool key_next;
    char *anchor;
    uint64_t nodes;
} Level;

typedef struct {
    const char *what;
    VtYamlChange change;
    void *user;
    yaml_parser_t parser;
    yaml_emitter_t emitter;
    GString *output;
    GArray *levels;      /* Level: the collections that are open */
    GHashTable *anchors; /* name -> nodes it stands for, written out */
    uint64_t nodes;
    guint documents;
} Rewriter;

static void
level_clear(gpointer data)
{
    g_free(((Level *)data)->anchor);
}

static int
on_write(void *user, unsigned char *data, size_t size)
{
    g_string_append_len(user, (const char *)data, (gssize)size);
    return 1;
}

static bool
throw_at(const Rewriter *rewriter, const yaml_mark_t *mark, GError **error, const char *problem)
{
    return vt_throw(error, VT_ERROR_INVALID, "%s: line %zu: %s", rewriter->what, mark->line + 1,
                    problem);
}

static Level *
innermost(Rewriter *rewriter)
{
    guint depth = rewriter->levels->len;

    return depth ? &g_array_index(rewriter->levels, Level, depth - 1) : NULL;
}

/* Counts @nodes more in all open collections. Returns: whether the next node is a key */
static bool
count(Rewriter *rewriter, uint64_t nodes)
{
    Level *level = innermost(rewriter);
    bool is_key = level && level->mapping && level->key_next;

    if (level)
        level->key_next = !level->key_next;
    for (guint i = 0; i < rewriter->levels->len; i++)
        g_array_index(rewriter->levels, Level, i).nodes += nodes;
    rewriter->nodes += nodes;
    return is_key;
}

static bool
take_scalar(Rewriter *rewriter, yaml_event_t *event, GError **error)
{
    const char *text = (const char *)event->data.scalar.value;
    g_autofree char *anchor = g_strdup((const char *)event->data.scalar.anchor);
    g_autofree char *changed = NULL;

    if (!innermost(rewriter))
        return throw_at(rewriter, &event->start_mark, error, "not a mapping (key: value)");
    if (strlen(text) != event->data.scalar.length)
        return throw_at(rewriter, &event->start_mark, error, "a NUL character");
    if (anchor)
        g_hash_table_insert(rewriter->anchors, g_strdup(anchor), g_memdup2(&(uint64_t){1}, 8));
    if (count(rewriter, 1) || !rewriter->change)
        return true;
    if (!rewriter->change(rewriter->user, text, &changed, error))
        return false;
    if (!changed)
        return true;
    yaml_event_delete(event);
    yaml_scalar_event_initialize(event, (const yaml_char_t *)anchor,
                                 (const yaml_char_t *)YAML_STR_TAG, (yaml_char_t *)changed,
                                 (int)strlen(changed), 0, 1, YAML_DOUBLE_QUOTED_SCALAR_STYLE);
    return true;
}

static bool
take_alias(Rewriter *rewriter, const yaml_event_t *event, GError **error)
{
    const char *anchor = (const char *)event->data.alias.anchor;
    const uint64_t *nodes = g_hash_table_lookup(rewriter->anchors, anchor);

    /* not seen, or still open: it would hold itself */
    if (!nodes)
        return throw_at(rewriter, &event->start_mark, error, "an alias of what is not there");
    count(rewriter, *nodes);
    return true;
}

static bool
open_level(Rewriter *rewriter, const yaml_event_t *event, GError **error)
{
    const bool mapping = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    Level level = {.mapping = mapping, .key_next = mapping};

    if (rewriter->levels->len == 0 && !mapping)
        return throw_at(rewriter, &event->start_mark, error, "not a mapping (key: value)");
    if (rewriter->levels->len == VT_YAML_DEPTH_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: line %zu: more than %d levels",
                        rewriter->what, event->start_mark.line + 1, VT_YAML_DEPTH_MAX);
    if (count(rewriter, 1))
        return throw_at(rewriter, &event->start_mark, error, "a key that is not a word");
    level.anchor = g_strdup((const char *)anchor);
    g_array_append_val(rewriter->levels, level);
    return true;
}

static bool
close_level(Rewriter *rewriter)
{
    Level *level = &g_array_index(rewriter->levels, Level, rewriter->levels->len - 1);

    if (level->anchor)
        g_hash_table_insert(rewriter->anchors, g_steal_pointer(&level->anchor),
                            g_memdup2(&(uint64_t){level->nodes + 1}, 8));
    g_array_set_size(rewriter->levels, rewriter->levels->len - 1);
    return true;
}

static bool
take_event(Rewriter *rewriter, yaml_event_t *event, GError **error)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(rewriter, event, error);
    case YAML_ALIAS_EVENT:
        return take_alias(rewriter, event, error);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return open_level(rewriter, event, error);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_level(rewriter);
    case YAML_DOCUMENT_START_EVENT:
        if (rewriter->documents++)
            return throw_at(rewriter, &event->start_mark, error, "a second document");
        return true;
    default:
        return true;
    }
}

/* One event from the reader to the writer, which frees it; @ret_end: it was the last */
static bool
step(Rewriter *rewriter, bool *ret_end, GError **error)
{
    yaml_event_t event;

    if (!yaml_parser_parse(&rewriter->parser, &event))
        return throw_at(rewriter, &rewriter->parser.problem_mark, error,
                        rewriter->parser.problem ? rewriter->parser.problem : "not YAML");
    *ret_end = event.type == YAML_STREAM_END_EVENT;
    if (!take_event(rewriter, &event, error)) {
        yaml_event_delete(&event);
        return false;
    }
    if (rewriter->nodes > VT_YAML_NODES_MAX) {
        yaml_event_delete(&event);
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %d values with its aliases",
                        rewriter->what, VT_YAML_NODES_MAX);
    }
    if (!yaml_emitter_emit(&rewriter->emitter, &event))
        return vt_throw(error, VT_ERROR_INVALID, "%s: cannot be written again: %s", rewriter->what,
                        rewriter->emitter.problem ? rewriter->emitter.problem : "unknown");
    return true;
}

bool
vt_yaml_rewrite(const char *text, const char *what, VtYamlChange change, void *user,
                char **ret_text, GError **error)
{
    Rewriter rewriter = {.what = what, .change = change, .user = user};
    const size_t size = strlen(text);
    bool ok = true, end = false;

    if (size > VT_YAML_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s has %zu bytes, at most %u are allowed", what,
                        size, VT_YAML_MAX);
    if (!g_utf8_validate(text, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "%s is not UTF-8", what);
    if (!yaml_parser_initialize(&rewriter.parser) || !yaml_emitter_initialize(&rewriter.emitter))
        g_error("out of memory"); /* as GLib */
    rewriter.output = g_string_new(NULL);
    rewriter.levels = g_array_new(false, false, sizeof(Level));
    g_array_set_clear_func(rewriter.levels, level_clear);
    rewriter.anchors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    yaml_parser_set_input_string(&rewriter.parser, (const unsigned char *)text, size);
    yaml_emitter_set_output(&rewriter.emitter, on_write, rewriter.output);
    yaml_emitter_set_unicode(&rewriter.emitter, 1);
    while (ok && !end)
        ok = step(&rewriter, &end, error);
    if (ok && rewriter.nodes == 0)
        ok = vt_throw(error, VT_ERROR_INVALID, "%s: not a mapping (key: value)", what);
    yaml_parser_delete(&rewriter.parser);
    yaml_emitter_delete(&rewriter.emitter);
    g_array_unref(rewriter.levels);
    g_hash_table_unref(rewriter.anchors);
    if (ok && ret_text)
        *ret_text = g_string_free(g_steal_pointer(&rewriter.output), false);
    if (rewriter.output)
        g_string_free(rewriter.output, true);
    return ok;
}
