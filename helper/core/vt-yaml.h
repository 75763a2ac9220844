/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-yaml.h: YAML of operators and templates: bounded, and changed value by value */
#pragma once

#include "vt-error.h"

/* cloud-init's own documents are a few KiB; what is larger belongs into the image or a package */
#define VT_YAML_MAX (1u << 20)
/* Levels; PyYAML recurses for each */
#define VT_YAML_DEPTH_MAX 64
/* Nodes with all aliases written out: ten aliases of ten aliases of ... grow without bound */
#define VT_YAML_NODES_MAX 100000

/**
 * VtYamlChange:
 * @text: a scalar that is a value, not a key
 * @ret_text: (out) (transfer full): what it becomes, or %NULL to keep it
 */
typedef bool (*VtYamlChange)(void *user, const char *text, char **ret_text, GError **error);

/**
 * vt_yaml_rewrite:
 * @text: one YAML 1.1 document, a mapping, in UTF-8
 * @what: what it is, for messages
 * @change: (nullable): sees each scalar value. What it returns is written as a quoted scalar, so no
 *   value can become YAML of another shape or type
 * @ret_text: (out) (optional): the document with its changes; comments are not kept
 * @error: %VT_ERROR_INVALID naming the line, %VT_ERROR_TOO_LARGE
 */
bool vt_yaml_rewrite(const char *text, const char *what, VtYamlChange change, void *user,
                     char **ret_text, GError **error);
