/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-ca.c: which certification authorities a registry's certificate may come from */
#include "vt-http-ca.h"

#define CERTS_DIR "/etc/containers/certs.d"
#define PEM_START "-----BEGIN CERTIFICATE-----"

static bool
add_file(GString *pem, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) local = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, &local))
        return vt_throw(error, VT_ERROR_FAILED, "cannot read the CA file '%s': %s", path,
                        local->message);
    if (!g_strstr_len(text, (gssize)length, PEM_START))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the CA file '%s' has no certificate in PEM form (" PEM_START ")", path);
    g_string_append_len(pem, text, (gssize)length);
    g_string_append_c(pem, '\n');
    return true;
}

static bool
add_directory(GString *pem, const char *host, GError **error)
{
    g_autofree char *path = g_build_filename(CERTS_DIR, host, NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        if (g_str_has_suffix(name, ".crt") && !add_file(pem, file, error))
            return false;
    }
    return true;
}

bool
vt_http_ca_read(const char *system, const char *host, const char *ca_file, GBytes **ret_pem,
                GError **error)
{
    g_autoptr(GString) pem = g_string_new(NULL);

    if (!add_directory(pem, host, error) || (ca_file && !add_file(pem, ca_file, error)))
        return false;
    if (pem->len > 0 && system && g_file_test(system, G_FILE_TEST_EXISTS) &&
        !add_file(pem, system, error))
        return false;
    *ret_pem = pem->len ? g_string_free_to_bytes(g_steal_pointer(&pem)) : NULL;
    return true;
}
