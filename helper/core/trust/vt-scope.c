/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-scope.c: the scopes of a trust policy: their grammar, and which ones cover a thing
 *
 *   docker   r.example:5000/golden/web:1.2.0    /srv/golden:web/1.2.0   oci
 *            r.example:5000/golden/web          /srv/golden
 *            r.example:5000/golden              /srv
 *            r.example:5000                     (all)
 *            *.example
 *            (all)
 */
#include "vt-scope.h"

#include <string.h>

#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
#define PATH_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._-/"
#define TAG_CHARS  HOST_CHARS

static bool
all_of(const char *text, const char *chars)
{
    return *text && text[strspn(text, chars)] == '\0';
}

/* An empty, "." or ".." part between slashes; @path does not begin with one */
static bool
has_odd_part(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    return g_strv_contains((const char *const *)parts, "") ||
           g_strv_contains((const char *const *)parts, ".") ||
           g_strv_contains((const char *const *)parts, "..");
}

static const char *
docker_problem(const char *scope)
{
    const char *slash = strchr(scope, '/'), *colon = strrchr(scope, ':');
    g_autofree char *host = slash ? g_strndup(scope, (gsize)(slash - scope)) : g_strdup(scope);
    g_autofree char *path = g_strdup(slash ? slash + 1 : "x");

    if (strchr(scope, '@'))
        return "scopes with a digest are not supported; use the repository or a tag";
    if (g_str_has_prefix(scope, "*."))
        return all_of(scope + 2, HOST_CHARS) ? NULL : "a wildcard has no port and no path";
    if (strstr(scope, "://"))
        return "write it without 'docker://'";
    if (!vt_store_host_check(host))
        return "it does not begin with host[:port]";
    if (slash && colon > slash) {
        path[colon - slash - 1] = '\0';
        if (!all_of(colon + 1, TAG_CHARS))
            return "the tag has a character that no tag has";
    }
    if (!all_of(path, PATH_CHARS) || has_odd_part(path))
        return "what follows the host is not a repository name (lower case, no '/' at the end)";
    return NULL;
}

static const char *
oci_problem(const char *scope)
{
    const char *colon = strchr(scope, ':');
    g_autofree char *path = colon ? g_strndup(scope, (gsize)(colon - scope)) : g_strdup(scope);

    if (*path != '/')
        return "it is not an absolute path";
    if (strcmp(path, "/") == 0)
        return "write \"\" to cover every layout";
    if (has_odd_part(path + 1))
        return "the path has an empty, '.' or '..' part, or a '/' at the end";
    if (colon && (!all_of(colon + 1, TAG_CHARS "+/") || has_odd_part(colon + 1)))
        return "what follows the ':' is not a reference like NAME/TAG";
    return NULL;
}

const char *
vt_scope_problem(VtTransport transport, const char *scope)
{
    if (!*scope)
        return NULL;
    return transport == VT_TRANSPORT_DOCKER ? docker_problem(scope) : oci_problem(scope);
}

/* "*.b.c" and "*.c" for "a.b.c:5000/x": without the port, as containers-policy.json(5) has it; the
 * dot at the end of "a.b.c." has nothing behind it, and what is in brackets is no name */
static void
add_wildcards(GPtrArray *candidates, const char *scope)
{
    g_autofree char *host = g_strndup(scope, *scope == '[' ? 0 : strcspn(scope, ":/"));

    for (const char *dot = strchr(host, '.'); dot && dot[1]; dot = strchr(dot + 1, '.'))
        g_ptr_array_add(candidates, g_strconcat("*", dot, NULL));
}

char **
vt_scope_candidates(VtTransport transport, const char *scope, const char *tag)
{
    g_autoptr(GPtrArray) candidates = g_ptr_array_new();
    g_autofree char *part = g_strdup(scope);

    if (tag)
        g_ptr_array_add(candidates, g_strconcat(scope, ":", tag, NULL));
    while (*part) {
        char *slash = strrchr(part, '/');

        g_ptr_array_add(candidates, g_strdup(part));
        part[slash ? slash - part : 0] = '\0';
    }
    if (transport == VT_TRANSPORT_DOCKER)
        add_wildcards(candidates, scope);
    g_ptr_array_add(candidates, g_strdup(""));
    g_ptr_array_add(candidates, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&candidates), FALSE);
}
