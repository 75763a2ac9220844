/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-document.h: documents that people write, in files */
#pragma once

#include "vtc-exit.h"

#include <jansson.h>

/**
 * vtc_document_load:
 * @path: JSON if its name ends with `.json`, else YAML
 * @ret_root: (out) (transfer full): an object
 * @error: %VTC_ERROR_USAGE if it cannot be read; %VT_ERROR_INVALID, %VT_ERROR_TOO_LARGE
 */
bool vtc_document_load(const char *path, json_t **ret_root, GError **error);
