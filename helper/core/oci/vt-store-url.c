/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store-url.c: where a store is, in the form of containers-transports(5) */
#include "vt-store-url.h"

#include <string.h>

/* PATH_MAX less room for blobs/sha256/<hex> below it */
#define STORE_PATH_MAX 3900
/* OCI distribution-spec: host and repository name together */
#define STORE_HOST_PREFIX_MAX 255

#define HOST_PATTERN "^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$"
#define PREFIX_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._-/"

static bool
store_error(const char *text, const char *why, GError **error)
{
    g_autofree char *shown = g_strescape(text, NULL);

    return vt_throw(error, VT_ERROR_INVALID,
                    "store URL '%.200s': %s; write oci:/absolute/path or "
                    "docker://host[:port]/prefix",
                    shown, why);
}

static bool
has_dot_part(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    return g_strv_contains((const char *const *)parts, ".") ||
           g_strv_contains((const char *const *)parts, "..");
}

static bool
parse_oci(const char *text, VtStoreUrl *url, GError **error)
{
    const char *path = text + strlen("oci:");
    g_autofree char *trimmed = g_strdup(path);
    size_t length = strlen(trimmed);

    while (length > 1 && trimmed[length - 1] == '/')
        trimmed[--length] = '\0';
    if (*path != '/')
        return store_error(text, "the path is not absolute", error);
    if (length < 2 || length > STORE_PATH_MAX)
        return store_error(text, "the path is '/' or too long", error);
    if (has_dot_part(path) || strstr(path, "//"))
        return store_error(text, "the path has an empty, '.' or '..' part", error);
    for (const char *at = path; *at; at++) {
        if (g_ascii_iscntrl(*at) || *at == ':')
            return store_error(text, "the path has a ':' or control character", error);
    }
    url->transport = VT_TRANSPORT_OCI;
    url->path = g_steal_pointer(&trimmed);
    return true;
}

bool
vt_store_host_check(const char *host)
{
    return g_regex_match_simple(HOST_PATTERN, host, G_REGEX_DOLLAR_ENDONLY, 0);
}

static bool
parse_docker(const char *text, VtStoreUrl *url, GError **error)
{
    const char *start = text + strlen("docker://");
    size_t length = strcspn(start, "/");
    const char *prefix = start + length + (start[length] == '/');
    g_autofree char *host = g_strndup(start, length), *trimmed = g_strdup(prefix);

    if (!vt_store_host_check(host))
        return store_error(text, "it has no host[:port]", error);
    if (g_str_has_suffix(trimmed, "/"))
        trimmed[strlen(trimmed) - 1] = '\0';
    if (strspn(trimmed, PREFIX_CHARS) != strlen(trimmed) || has_dot_part(trimmed) ||
        strstr(prefix, "//") || *prefix == '/')
        return store_error(text, "the prefix is not a repository name", error);
    if (length + strlen(trimmed) > STORE_HOST_PREFIX_MAX)
        return store_error(text, "host and prefix are longer than 255 characters", error);
    url->transport = VT_TRANSPORT_DOCKER;
    url->host = g_steal_pointer(&host);
    url->prefix = g_steal_pointer(&trimmed);
    return true;
}

bool
vt_store_url_parse(const char *text, VtStoreUrl **ret_url, GError **error)
{
    g_autoptr(VtStoreUrl) url = g_new0(VtStoreUrl, 1);
    bool ok;

    if (g_str_has_prefix(text, "docker://"))
        ok = parse_docker(text, url, error);
    else if (g_str_has_prefix(text, "oci:"))
        ok = parse_oci(text, url, error);
    else
        ok = store_error(text, "unknown transport", error);
    if (ok)
        *ret_url = g_steal_pointer(&url);
    return ok;
}

char *
vt_store_url_format(const VtStoreUrl *url)
{
    if (url->transport == VT_TRANSPORT_OCI)
        return g_strconcat("oci:", url->path, NULL);
    return g_strconcat("docker://", url->host, *url->prefix ? "/" : "", url->prefix, NULL);
}

char *
vt_store_url_repository(const VtStoreUrl *url, const char *name)
{
    if (url->transport == VT_TRANSPORT_OCI || !*url->prefix)
        return g_strdup(name);
    return g_strconcat(url->prefix, "/", name, NULL);
}

char *
vt_store_url_scope(const VtStoreUrl *url, const char *name)
{
    g_autofree char *repository = NULL;

    if (url->transport == VT_TRANSPORT_OCI)
        return g_strdup(url->path);
    repository = vt_store_url_repository(url, name);
    return g_strconcat(url->host, "/", repository, NULL);
}

char *
vt_store_url_identity(const VtStoreUrl *url, const char *name)
{
    if (url->transport == VT_TRANSPORT_OCI)
        return g_strconcat("localhost", strrchr(url->path, '/'), "/", name, NULL);
    return vt_store_url_scope(url, name);
}

void
vt_store_url_free(VtStoreUrl *url)
{
    if (!url)
        return;
    g_free(url->path);
    g_free(url->host);
    g_free(url->prefix);
    g_free(url);
}
