/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-document.c: documents that people write, in files */
#include "vtc-document.h"

#include "vt-json.h"
#include "vt-yaml.h"

#include <string.h>

bool
vtc_document_load(const char *path, json_t **ret_root, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *name = g_path_get_basename(path);
    char *content = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &content, &length, &local))
        return vtc_usage(error, "%s", local->message);
    bytes = g_bytes_new_take(content, length);
    if (g_str_has_suffix(path, ".json"))
        return vt_json_parse(bytes, name, VT_YAML_MAX, ret_root, error);
    if (strlen(content) != length)
        return vt_throw(error, VT_ERROR_INVALID, "%s: has a NUL byte", name);
    return vt_yaml_load(content, name, ret_root, error);
}
