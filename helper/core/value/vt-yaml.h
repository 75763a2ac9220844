/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-yaml.h: YAML of operators and publishers: checked, and read as JSON values */
#pragma once

#include "vt-error.h"

#include <jansson.h>

/* cloud-init's own documents are a few KiB; what is larger belongs into the image or a package */
#define VT_YAML_MAX (1u << 20)
/* Levels; PyYAML recurses for each */
#define VT_YAML_DEPTH_MAX 64
/* Nodes with all aliases written out: ten aliases of ten aliases of ... grow without bound */
#define VT_YAML_NODES_MAX 100000
/* Bytes of a scalar that count as one node more: 100,000 aliases of one that fills the document
 * would be 50 GB */
#define VT_YAML_NODE_BYTES 1024

/**
 * vt_yaml_check:
 * @text: one YAML 1.1 document, a mapping, in UTF-8, within the limits above
 * @what: what it is, for messages
 * @error: %VT_ERROR_INVALID naming the line, %VT_ERROR_TOO_LARGE
 */
bool vt_yaml_check(const char *text, const char *what, GError **error);

/**
 * vt_yaml_load:
 * @ret_value: (out) (transfer full): the mapping as a JSON object. Plain scalars have the types
 *   that cloud-init's reader (PyYAML) gives them: null, booleans (also yes, no, on, off), integers
 *   (also 0644 and 0x1a4) and decimal fractions; all others are strings
 * @error: as vt_yaml_check(); and what JSON has not: keys that are no strings or are there twice,
 *   merge keys (<<), tags
 */
bool vt_yaml_load(const char *text, const char *what, json_t **ret_value, GError **error);
