/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-secrets.c: secrets of a guest, on their way from a file to virttemplated */
#include "vtc-secrets.h"

#include "vt-secrets.h"

bool
vtc_secrets_read(FILE *file, const char *what, json_t **ret_secrets, GError **error)
{
    g_autofree char *text = g_malloc(VT_SECRETS_BYTES_MAX);
    const gsize size = fread(text, 1, VT_SECRETS_BYTES_MAX, file);
    g_autoptr(GBytes) bytes = NULL;
    json_auto_t *secrets = NULL;

    if (ferror(file))
        return vt_throw(error, VT_ERROR_INVALID, "cannot read %s", what);
    if (size == VT_SECRETS_BYTES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %u bytes", what,
                        VT_SECRETS_BYTES_MAX);
    bytes = g_bytes_new_static(text, size);
    if (!vt_secrets_load(bytes, what, &secrets, error))
        return false;
    if (json_object_size(secrets) == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s: there is no secret (KEY: \"VALUE\")", what);
    *ret_secrets = json_incref(secrets);
    return true;
}

bool
vtc_secrets_send(VtcClient *client, const char *path, const char *owner, const json_t *secrets,
                 GError **error)
{
    GVariantBuilder values;
    const char *key;
    json_t *value;

    g_variant_builder_init(&values, G_VARIANT_TYPE("a{ss}"));
    json_object_foreach((json_t *)secrets, key, value)
        g_variant_builder_add(&values, "{ss}", key, json_string_value(value));
    return vtc_client_call(client, "SetSecrets", g_variant_new("(ssa{ss})", path, owner, &values),
                           "()", NULL, error);
}
