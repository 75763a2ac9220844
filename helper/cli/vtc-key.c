/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-key.c: the publisher's key, and what it means for trust */
#include "vtc-key.h"

#include "vt-base64.h"
#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* RSA of 8192 bits takes 7 KiB */
#define KEY_FILE_MAX (64u << 10)

static void
warn_if_open(const char *path)
{
    struct stat info;

    if (stat(path, &info) == 0 && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        g_printerr("virt-template: warning: the private key '%s' is open to others; "
                   "'chmod 600 %s'\n",
                   path, path);
}

bool
vtc_key_load(const char *path, VtKey **ret_key, GError **error)
{
    g_autofree char *real = realpath(path, NULL);
    g_autoptr(GBytes) pem = NULL;
    g_autoptr(VtKey) key = NULL;

    if (!real)
        return vt_throw_errno(error, errno,
                              "cannot read the key '%s' ('virt-template key generate' makes one)",
                              path);
    if (!vt_fs_read(AT_FDCWD, real, KEY_FILE_MAX, &pem, error))
        return false;
    if (!vt_key_parse_private(pem, &key, error)) {
        g_prefix_error(error, "key '%s': ", path);
        return false;
    }
    warn_if_open(real);
    *ret_key = g_steal_pointer(&key);
    return true;
}

static bool
open_parent(const char *path, int *ret_fd, GError **error)
{
    g_autofree char *parent = g_path_get_dirname(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open the directory '%s'", parent);
    *ret_fd = fd;
    return true;
}

static bool
check_absent(int dir_fd, const char *name, const char *prefix, GError **error)
{
    if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return vt_throw(error, VT_ERROR_EXISTS,
                        "'%s' exists next to '%s'; a key is never replaced, so choose another "
                        "prefix",
                        name, prefix);
    return true;
}

static bool
write_file(int dir_fd, const char *name, GBytes *bytes, mode_t mode, GError **error)
{
    vt_autofd fd = -1;

    return vt_fs_tmpfile(dir_fd, mode, &fd, error) &&
           vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), name,
                           error) &&
           vt_fs_link_tmpfile(fd, dir_fd, name, error);
}

bool
vtc_key_write_pair(const char *prefix, GBytes *private_pem, GBytes *public_pem, GError **error)
{
    g_autofree char *base = g_path_get_basename(prefix);
    g_autofree char *key_name = g_strconcat(base, ".key", NULL);
    g_autofree char *pub_name = g_strconcat(base, ".pub", NULL);
    vt_autofd dir_fd = -1;

    if (!*prefix || g_str_has_suffix(prefix, "/"))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' is no file name prefix", prefix);
    if (!open_parent(prefix, &dir_fd, error) || !check_absent(dir_fd, key_name, prefix, error) ||
        !check_absent(dir_fd, pub_name, prefix, error))
        return false;
    if (!write_file(dir_fd, key_name, private_pem, 0600, error))
        return false;
    if (!write_file(dir_fd, pub_name, public_pem, 0644, error)) {
        unlinkat(dir_fd, key_name, 0);
        return false;
    }
    return true;
}

/* ---- trust ---- */

/* {"type":"sigstoreSigned","keyData":"<base64>","signedIdentity":{"type":"matchRepository"}} */
static json_t *
signed_by(const VtKey *key)
{
    g_autoptr(GBytes) pem = vt_key_public_pem(key);
    g_autofree char *data = vt_base64_encode(pem);

    return json_pack("[{s:s, s:s, s:{s:s}}]", "type", "sigstoreSigned", "keyData", data,
                     "signedIdentity", "type", "matchRepository");
}

char *
vtc_key_policy_text(const VtKey *key, VtTransport transport, const char *scope)
{
    json_t *root;
    char *dumped, *text;

    root = json_pack("{s:[{s:s}], s:{s:{s:o}}}", "default", "type", "reject", "transports",
                     transport == VT_TRANSPORT_OCI ? "oci" : "docker", scope, signed_by(key));
    dumped = json_dumps(root, JSON_INDENT(2));
    text = g_strdup(dumped);
    free(dumped);
    json_decref(root);
    return text;
}
