/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-oci-name.c: names in an OCI store, as the distribution specification spells them */
#include "vt-oci-name.h"

#include <string.h>

#define TAG_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
#define HEX_CHARS "0123456789abcdef"
#define TAG_START "sha256-"

static bool
name_error(const char *what, const char *text, const char *why, GError **error)
{
    g_autofree char *shown = g_strescape(text, NULL);

    return vt_throw(error, VT_ERROR_INVALID, "%s '%.120s': %s", what, shown, why);
}

/* How long the separator at @at is: '.', '_', '__' or any number of '-'; 0 if it is none */
static size_t
separator_length(const char *at)
{
    if (*at == '.')
        return 1;
    if (*at == '_')
        return at[1] == '_' ? 2 : 1;
    return strspn(at, "-");
}

bool
vt_oci_repository_check(const char *text, GError **error)
{
    const char *at = text;

    if (strlen(text) > VT_OCI_REPOSITORY_MAX)
        return name_error("repository", text, "longer than 255 characters", error);
    /* debian-12 or golden/debian-12: [a-z0-9]+ joined by separators, parts joined by '/' */
    for (;;) {
        size_t run = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789");

        if (run == 0)
            return name_error("repository", text,
                              "not lower-case letters and digits, joined by one '.', one or two "
                              "'_', any number of '-', or '/'",
                              error);
        at += run;
        if (*at == '\0')
            return true;
        at += *at == '/' ? 1 : separator_length(at);
    }
}

bool
vt_oci_tag_check(const char *text, GError **error)
{
    size_t length = strlen(text);

    if (length == 0 || length > VT_OCI_TAG_MAX)
        return name_error("tag", text, "not 1 to 128 characters long", error);
    if (*text == '.' || *text == '-' || strspn(text, TAG_CHARS) != length)
        return name_error("tag", text, "not letters, digits, '_', '.' and '-'", error);
    return true;
}

bool
vt_oci_reference_check(const char *text, GError **error)
{
    VtDigest digest;

    if (strchr(text, ':'))
        return vt_digest_parse(text, &digest, error);
    return vt_oci_tag_check(text, error);
}

char *
vt_oci_fallback_tag(const VtDigest *digest)
{
    char hex[VT_DIGEST_STRING_MAX];

    return g_strconcat(TAG_START, vt_digest_hex(digest, hex), NULL);
}

bool
vt_oci_is_digest_tag(const char *tag)
{
    const char *hex = tag + strlen(TAG_START);
    const size_t digits = (size_t)2 * VT_DIGEST_BYTES;

    return g_str_has_prefix(tag, TAG_START) && strspn(hex, HEX_CHARS) == digits &&
           (hex[digits] == '\0' || hex[digits] == '.');
}
