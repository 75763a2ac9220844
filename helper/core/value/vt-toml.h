/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-toml.h: TOML 1.0, as far as the files of containers-registries.conf(5) use it */
#pragma once

#include "vt-error.h"

#include <jansson.h>

/**
 * vt_toml_parse:
 * @bytes: a document in UTF-8
 * @document: its name, for messages
 * @limit: bytes; more is %VT_ERROR_TOO_LARGE
 * @ret_root: (out) (transfer full): tables as objects, arrays of tables as arrays of objects
 * @error: %VT_ERROR_INVALID `DOCUMENT: line N: reason`; also for a key that stands twice, and for
 *   what is TOML but not read here: dates, floats, strings over several lines
 */
bool vt_toml_parse(GBytes *bytes, const char *document, gsize limit, json_t **ret_root,
                   GError **error);
