/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-identity.c: does the name in a signature fit the thing it is shown for? */
#include "vt-identity.h"

#include "vt-json.h"

#include <string.h>

#define HOST_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
#define PATH_CHARS "abcdefghijklmnopqrstuvwxyz0123456789._-/"
#define TAG_CHARS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
/* distribution-spec */
#define TAG_MAX 128

/* Without a '.' or ':' it would be a namespace of Docker Hub, "debian" or "library/debian" */
static bool
is_host(const char *text, size_t length)
{
    g_autofree char *host = g_strndup(text, length);

    return length > 0 && strspn(host, HOST_CHARS) == length &&
           (strpbrk(host, ".:") || strcmp(host, "localhost") == 0);
}

static bool
is_path(const char *text)
{
    return *text && !text[strspn(text, PATH_CHARS)] && *text != '/' &&
           !g_str_has_suffix(text, "/") && !strstr(text, "//");
}

bool
vt_identity_is_repository(const char *text)
{
    const char *slash = strchr(text, '/');

    return slash && is_host(text, (size_t)(slash - text)) && is_path(slash + 1);
}

bool
vt_identity_is_prefix(const char *text)
{
    return strchr(text, '/') ? vt_identity_is_repository(text) : is_host(text, strlen(text));
}

/* "r.example:5000/golden/web:1.2.0@sha256:..." without tag and digest; %NULL if it is not one */
static char *
repository_of(const char *reference)
{
    const char *at = strchr(reference, '@');
    g_autofree char *rest =
        at ? g_strndup(reference, (gsize)(at - reference)) : g_strdup(reference);
    char *slash = strrchr(rest, '/'), *colon = slash ? strchr(slash, ':') : NULL;
    VtDigest digest;

    if (at && !vt_digest_parse(at + 1, &digest, NULL))
        return NULL;
    if (colon) {
        const char *tag = colon + 1;

        if (!*tag || tag[strspn(tag, TAG_CHARS)] || strlen(tag) > TAG_MAX)
            return NULL;
        *colon = '\0';
    }
    return vt_identity_is_repository(rest) ? g_steal_pointer(&rest) : NULL;
}

bool
vt_identity_is_reference(const char *text)
{
    g_autofree char *repository = repository_of(text);

    return repository && strcmp(repository, text) != 0;
}

static bool
mismatch(const char *signed_reference, const char *expected, GError **error)
{
    g_autofree char *shown = vt_json_shown(signed_reference);

    return vt_throw(error, VT_ERROR_UNTRUSTED, "it is for \"%s\", not for \"%s\"", shown, expected);
}

static bool
match_repository(const char *signed_reference, const char *expected, GError **error)
{
    g_autofree char *repository = repository_of(signed_reference);

    return g_strcmp0(repository, expected) == 0 || mismatch(signed_reference, expected, error);
}

static bool
match_reference(const char *signed_reference, const VtIdentity *identity, GError **error)
{
    g_autofree char *tagged =
        g_strconcat(identity->repository, ":", identity->tag ? identity->tag : "(no tag)", NULL);
    char digest[VT_DIGEST_STRING_MAX];
    g_autofree char *pinned =
        g_strconcat(identity->repository, "@", vt_digest_format(identity->digest, digest), NULL);

    return (identity->tag && strcmp(signed_reference, tagged) == 0) ||
           strcmp(signed_reference, pinned) == 0 || mismatch(signed_reference, tagged, error);
}

/* "mirror.example/golden/web" is "r.example/golden/web" when "mirror.example" was remapped */
static bool
match_remapped(const VtRequirement *requirement, const char *signed_reference,
               const char *repository, GError **error)
{
    const char *prefix = requirement->identity_value;
    const char *rest = repository + strlen(prefix);
    g_autofree char *expected = NULL;

    if (!g_str_has_prefix(repository, prefix) || (*rest && *rest != '/'))
        return match_repository(signed_reference, repository, error);
    expected = g_strconcat(requirement->identity_signed, rest, NULL);
    return match_repository(signed_reference, expected, error);
}

bool
vt_identity_match(const VtRequirement *requirement, const VtIdentity *identity,
                  const char *signed_reference, GError **error)
{
    const char *value = requirement->identity_value;

    switch (requirement->identity) {
    case VT_IDENTITY_REPO_DIGEST_OR_EXACT:
    case VT_IDENTITY_REPOSITORY:
        return match_repository(signed_reference, identity->repository, error);
    case VT_IDENTITY_EXACT:
        return match_reference(signed_reference, identity, error);
    case VT_IDENTITY_EXACT_REFERENCE:
        return strcmp(signed_reference, value) == 0 || mismatch(signed_reference, value, error);
    case VT_IDENTITY_EXACT_REPOSITORY:
        return match_repository(signed_reference, value, error);
    case VT_IDENTITY_REMAP:
        return match_remapped(requirement, signed_reference, identity->repository, error);
    case VT_IDENTITY_DIGEST_ONLY:
        return true;
    }
    return vt_throw(error, VT_ERROR_UNTRUSTED, "no rule for its identity");
}
