/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-auth-file.c: finding a registry's credentials in a containers-auth.json(5) document */
#include "vt-auth-file.h"

#include "vt-json.h"

#include <string.h>

void
vt_credentials_free(VtCredentials *credentials)
{
    if (!credentials)
        return;
    g_free(credentials->user);
    g_free(credentials->password);
    g_free(credentials->identity_token);
    g_free(credentials);
}

/* {"auth":"dXNlcjpwYXNzd29yZA==","identitytoken":"..."}; the user ends at the first ':' */
static bool
read_entry(const json_t *entry, const char *key, VtCredentials **ret_credentials, GError **error)
{
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    const char *identity = json_string_value(json_object_get(entry, "identitytoken"));
    g_autofree char *pair = NULL;
    g_autoptr(VtCredentials) credentials = g_new0(VtCredentials, 1);
    const char *colon;
    gsize length = 0;

    if (auth && *auth)
        pair = (char *)g_base64_decode(auth, &length);
    colon = pair ? memchr(pair, ':', length) : NULL;
    if (!identity && !colon)
        return vt_throw(error, VT_ERROR_INVALID,
                        "auth file: the entry '%s' has no \"auth\" that is base64 of "
                        "user:password; log in again",
                        key);
    if (memchr(pair ? pair : "", '\0', length))
        return vt_throw(error, VT_ERROR_INVALID, "auth file: a NUL in the entry '%s'", key);
    credentials->user = colon ? g_strndup(pair, (gsize)(colon - pair)) : g_strdup("");
    credentials->password =
        colon ? g_strndup(colon + 1, length - (gsize)(colon + 1 - pair)) : g_strdup("");
    credentials->identity_token = identity && *identity ? g_strdup(identity) : NULL;
    *ret_credentials = g_steal_pointer(&credentials);
    return true;
}

/* Docker's own form of a key: https://host/v1/ */
static const json_t *
find_url_key(const json_t *auths, const char *host)
{
    const char *key;
    json_t *entry;

    json_object_foreach((json_t *)auths, key, entry)
    {
        const char *start = strstr(key, "://");
        size_t length = strlen(host);

        if (start && g_ascii_strncasecmp(start + 3, host, length) == 0 &&
            (start[3 + length] == '/' || start[3 + length] == '\0'))
            return entry;
    }
    return NULL;
}

/* "credHelpers":{"host":"NAME"}, or "credsStore":"NAME" with an empty entry in "auths".
 * Returns: (nullable): the helper that keeps what the file does not */
static const char *
find_helper(const json_t *root, const char *host, const json_t *entry)
{
    const char *helper =
        json_string_value(json_object_get(json_object_get(root, "credHelpers"), host));

    if (!helper && entry && json_object_size(entry) == 0)
        helper = json_string_value(json_object_get(root, "credsStore"));
    return helper && *helper ? helper : NULL;
}

static bool
find_entry(const json_t *root, const char *host, const char *repository,
           VtCredentials **ret_credentials, GError **error)
{
    const json_t *auths = json_object_get(root, "auths");
    g_autofree char *key = g_strconcat(host, "/", repository, NULL);
    const char *helper;
    const json_t *entry = json_object_get(auths, key);
    char *slash;

    while (!entry && (slash = strrchr(key, '/'))) {
        *slash = '\0';
        entry = json_object_get(auths, key);
    }
    if (!entry)
        entry = find_url_key(auths, host);
    helper = find_helper(root, host, entry);
    if (helper && json_object_size(entry) == 0) {
        g_autofree char *shown = vt_json_shown(helper);

        return vt_throw(error, VT_ERROR_INVALID,
                        "auth file: the password for '%s' is kept by the program "
                        "'docker-credential-%s', which is not run here; write it into the file "
                        "with 'skopeo login --authfile FILE %s'",
                        host, shown, host);
    }
    if (!entry) {
        *ret_credentials = NULL;
        return true;
    }
    return read_entry(entry, key, ret_credentials, error);
}

bool
vt_auth_file_find(GBytes *bytes, const char *host, const char *repository,
                  VtCredentials **ret_credentials, GError **error)
{
    json_t *root = NULL, *auths;
    bool ok;

    /* its own error shows what it stumbled over, which may be a password */
    if (!vt_json_parse(bytes, "auth file", VT_AUTH_FILE_MAX, &root, NULL))
        return vt_throw(error, VT_ERROR_INVALID,
                        "auth file: not one JSON object of at most %u bytes in which each member "
                        "has a name of its own; log in again",
                        VT_AUTH_FILE_MAX);
    auths = json_object_get(root, "auths");
    if (auths && !json_is_object(auths))
        ok = vt_throw(error, VT_ERROR_INVALID, "auth file: \"auths\" is not an object");
    else
        ok = find_entry(root, host, repository, ret_credentials, error);
    json_decref(root);
    return ok;
}

/* "host/golden", "https://host/v1/" */
static bool
is_for(const char *key, const char *const *hosts)
{
    const char *scheme = strstr(key, "://");
    const char *start = scheme ? scheme + strlen("://") : key;
    g_autofree char *host = g_strndup(start, strcspn(start, "/"));

    for (gsize i = 0; hosts[i]; i++) {
        if (g_ascii_strcasecmp(host, hosts[i]) == 0)
            return true;
    }
    return false;
}

static void
drop_others(json_t *object, const char *const *hosts)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, key, value)
    {
        if (!is_for(key, hosts))
            json_object_del(object, key);
    }
}

GBytes *
vt_auth_file_for(GBytes *bytes, const char *const *hosts)
{
    json_t *root = NULL;
    GBytes *reduced;

    if (!vt_json_parse(bytes, "auth file", VT_AUTH_FILE_MAX, &root, NULL))
        return g_bytes_ref(bytes);
    drop_others(json_object_get(root, "auths"), hosts);
    drop_others(json_object_get(root, "credHelpers"), hosts);
    reduced = vt_json_format(root);
    json_decref(root);
    return reduced;
}
