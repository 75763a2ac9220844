/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-secrets-load.c: secrets, from YAML: apart, because not everybody who has them reads YAML */
#include "vt-secrets.h"
#include "vt-yaml.h"

#include <string.h>

bool
vt_secrets_load(GBytes *bytes, const char *what, json_t **ret_secrets, GError **error)
{
    json_auto_t *secrets = NULL;
    g_autofree char *text = NULL;

    if (!bytes || g_bytes_get_size(bytes) == 0) {
        *ret_secrets = json_object();
        return true;
    }
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (strlen(text) != g_bytes_get_size(bytes))
        return vt_throw(error, VT_ERROR_INVALID, "%s: a NUL character", what);
    if (!vt_yaml_load(text, what, &secrets, error))
        return false;
    if (!vt_secrets_check(secrets, error)) {
        g_prefix_error(error, "%s: ", what);
        return false;
    }
    *ret_secrets = json_incref(secrets);
    return true;
}
