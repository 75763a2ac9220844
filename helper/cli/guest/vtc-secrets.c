/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-secrets.c: secrets of a guest, on their way from a file to virttemplated */
#include "vtc-secrets.h"

#include "vt-secrets.h"
#include "vt-yaml.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDIN "-"

static bool
read_bytes(FILE *file, const char *what, GBytes **ret_bytes, GError **error)
{
    g_autofree char *text = g_malloc(VT_SECRETS_BYTES_MAX);
    const gsize size = fread(text, 1, VT_SECRETS_BYTES_MAX, file);

    if (ferror(file))
        return vt_throw(error, VT_ERROR_INVALID, "cannot read %s", what);
    if (size == VT_SECRETS_BYTES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %u bytes", what,
                        VT_SECRETS_BYTES_MAX);
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&text), size);
    return true;
}

bool
vtc_secrets_read(FILE *file, const char *what, json_t **ret_secrets, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    json_auto_t *secrets = NULL;

    if (!read_bytes(file, what, &bytes, error) || !vt_secrets_load(bytes, what, &secrets, error))
        return false;
    if (json_object_size(secrets) == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s: there is no secret (KEY: \"VALUE\")", what);
    *ret_secrets = json_incref(secrets);
    return true;
}

/* ---- files ---- */

static void
close_file(FILE *file)
{
    if (file != stdin)
        fclose(file);
}

/* What is in a pipe, nobody else can open */
static bool
check_private(FILE *file, const char *path, GError **error)
{
    struct stat st;

    if (fstat(fileno(file), &st) < 0)
        return vt_throw_errno(error, errno, "--secrets %s", path);
    if (!S_ISREG(st.st_mode))
        return true;
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return vt_throw(error, VT_ERROR_DENIED,
                        "--secrets %s: it belongs to user %u, who can read and change it: "
                        "'chown' it to who runs this, or send it through a pipe ('-')",
                        path, st.st_uid);
    return (st.st_mode & (S_IRWXG | S_IRWXO)) == 0 ||
           vt_throw(error, VT_ERROR_DENIED,
                    "--secrets %s: its mode %04o lets others than its owner use it: 'chmod 600' "
                    "it, and take new secrets if somebody may have read these",
                    path, st.st_mode & 07777);
}

static bool
open_file(const char *path, FILE **ret_file, GError **error)
{
    const bool is_stdin = g_str_equal(path, STDIN);
    FILE *file = is_stdin ? stdin : fopen(path, "re");

    if (!file)
        return vtc_usage(error, "--secrets %s: %s", path, g_strerror(errno));
    if (!is_stdin && !check_private(file, path, error)) {
        close_file(file);
        return false;
    }
    *ret_file = file;
    return true;
}

static const char *
name_of(const char *path)
{
    return g_str_equal(path, STDIN) ? "stdin" : path;
}

bool
vtc_secrets_load(const char *path, json_t **ret_secrets, GError **error)
{
    FILE *file = NULL;
    bool ok;

    if (!open_file(path, &file, error))
        return false;
    ok = vtc_secrets_read(file, name_of(path), ret_secrets, error);
    close_file(file);
    return ok;
}

static bool
check_members(const json_t *members, const char *what, GError **error)
{
    size_t number = 0;
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)members, key, value)
    {
        number++;
        if (!json_is_object(value))
            return vt_throw(error, VT_ERROR_INVALID,
                            "%s: number %zu is not the name of an instance with its secrets below",
                            what, number);
        if (!vt_secrets_check(value, error)) {
            g_prefix_error(error, "%s: number %zu: ", what, number);
            return false;
        }
    }
    return true;
}

bool
vtc_secrets_load_members(const char *path, json_t **ret_members, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *text = NULL;
    json_auto_t *members = NULL;
    FILE *file = NULL;
    bool ok;

    if (!open_file(path, &file, error))
        return false;
    ok = read_bytes(file, name_of(path), &bytes, error);
    close_file(file);
    if (!ok)
        return false;
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (strlen(text) != g_bytes_get_size(bytes))
        return vt_throw(error, VT_ERROR_INVALID, "%s: a NUL character", name_of(path));
    if (!vt_yaml_load(text, name_of(path), &members, error) ||
        !check_members(members, name_of(path), error))
        return false;
    *ret_members = json_incref(members);
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
