/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-json.h: JSON from outside: strict, bounded, with errors that name document and field */
#pragma once

#include "vt-digest.h"

#include <jansson.h>
#include <stdint.h>

/* Deepest of our documents has 6 levels; the parser below recurses once for each */
#define VT_JSON_DEPTH_MAX 32
/* A catalog of 16 MiB has about half of this */
#define VT_JSON_VALUES_MAX 1000000
/* os, architecture, format, key names: words that people chose */
#define VT_JSON_WORD_MAX 64

/**
 * VtJson: a value and the way to it, kept on the stack, so that an error can name the field
 * without a path being built for each value that is fine
 * @parent: (nullable): what it is in; %NULL for the document itself
 * @name: name of the document, or of the field; %NULL for an array element
 * @index: place in the array, from 0
 * @value: (transfer none): owned by the document's root
 */
typedef struct VtJson VtJson;
struct VtJson {
    const VtJson *parent;
    const char *name;
    size_t index;
    json_t *value;
};

/**
 * vt_json_parse:
 * @bytes: one JSON object in UTF-8 (RFC 8259), nothing behind it
 * @document: what it is, for messages: `catalog`, or a file name
 * @limit: bytes; more is %VT_ERROR_TOO_LARGE
 * @ret_root: (out) (transfer full): to be freed with json_decref()
 * @error: %VT_ERROR_INVALID: not valid UTF-8, a NUL, a syntax error, a member named twice, nested
 *   deeper than %VT_JSON_DEPTH_MAX, more than %VT_JSON_VALUES_MAX values
 */
bool vt_json_parse(GBytes *bytes, const char *document, size_t limit, json_t **ret_root,
                   GError **error);

/** vt_json_root: Returns: the place of @root in the document called @document */
VtJson vt_json_root(json_t *root, const char *document);

/** vt_json_element: Returns: element @index of @array, which must have it */
VtJson vt_json_element(const VtJson *array, size_t index);

/** vt_json_member: Returns: member @field of @object; its value is %NULL if there is none */
VtJson vt_json_member(const VtJson *object, const char *field);

/** vt_json_throw: Sets %VT_ERROR_INVALID `DOCUMENT: PATH: text`. Returns: false */
bool vt_json_throw(const VtJson *at, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/** vt_json_path: Returns: (transfer full): `templates."debian-12".versions[3]`, "" for the root */
char *vt_json_path(const VtJson *at);

/** vt_json_shown: Returns: (transfer full): @text as ASCII without control characters, cut to a
 *  length that fits a message */
char *vt_json_shown(const char *text);

/** vt_json_exact_fields: Refuses members not in @known (%NULL-terminated), naming them */
bool vt_json_exact_fields(const VtJson *object, const char *const *known, GError **error);

/** vt_json_is_object: Refuses @at if it is not an object; vt_json_is_string() alike */
bool vt_json_is_object(const VtJson *at, GError **error);
bool vt_json_is_string(const VtJson *at, const char **ret_text, GError **error);

/*
 * Typed members. A missing member, or one of another type, is %VT_ERROR_INVALID. Strings are
 * borrowed from the document. The `_if` forms accept a missing member and leave @ret alone then.
 */
bool vt_json_object(const VtJson *object, const char *field, VtJson *ret, GError **error);
bool vt_json_array(const VtJson *object, const char *field, VtJson *ret, GError **error);
bool vt_json_string(const VtJson *object, const char *field, const char **ret, GError **error);
bool vt_json_string_if(const VtJson *object, const char *field, const char **ret, GError **error);
/** vt_json_uint: An integer from 0 to INT64_MAX */
bool vt_json_uint(const VtJson *object, const char *field, uint64_t *ret, GError **error);
/** vt_json_word: A string of 1 to %VT_JSON_WORD_MAX characters [A-Za-z0-9._+-] */
bool vt_json_word(const VtJson *object, const char *field, const char **ret, GError **error);
/** vt_json_time: A string `YYYY-MM-DDTHH:MM:SSZ` (RFC 3339 in UTC): text order is time order */
bool vt_json_time(const VtJson *object, const char *field, const char **ret, GError **error);
/** vt_json_digest: A string `sha256:<hex>` */
bool vt_json_digest(const VtJson *object, const char *field, VtDigest *ret, GError **error);

/** vt_json_is_word: Returns: whether vt_json_word() accepts @text; vt_json_is_time() alike */
bool vt_json_is_word(const char *text);
bool vt_json_is_time(const char *text);

/** vt_json_set_string: Adds a member; bytes of @text that are not UTF-8 become U+FFFD */
void vt_json_set_string(json_t *object, const char *field, const char *text);
/** vt_json_set_uint: @number: at most INT64_MAX */
void vt_json_set_uint(json_t *object, const char *field, uint64_t number);
/** vt_json_set_digest: Adds a member `sha256:<hex>` */
void vt_json_set_digest(json_t *object, const char *field, const VtDigest *digest);

/** vt_json_format: Returns: (transfer full): @root without white space, members in the order in
 *  which they were set: the same value, the same bytes */
GBytes *vt_json_format(const json_t *root);
