/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-name.c: names of templates, their versions, and of the volumes they appear as */
#include "vt-name.h"

#include <string.h>

#define LOWER_ALNUM "abcdefghijklmnopqrstuvwxyz0123456789"
#define IDENTIFIER  LOWER_ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
#define DIGITS      "0123456789"

/* The number of separator characters at @at, 0 if they are not one of "." "_" "__" "-+" */
static size_t
separator_length(const char *at)
{
    size_t dashes = strspn(at, "-");

    if (dashes)
        return dashes;
    if (at[0] == '.')
        return 1;
    if (at[0] == '_')
        return at[1] == '_' ? 2 : 1;
    return 0;
}

static bool
name_error(const char *name, const char *why, GError **error)
{
    g_autofree char *shown = g_strescape(name, NULL);

    return vt_throw(error, VT_ERROR_INVALID,
                    "template name '%.120s': %s; use lower-case letters and digits joined by "
                    "'-', '.' or '_'",
                    shown, why);
}

bool
vt_name_check(const char *name, GError **error)
{
    const char *at = name;

    if (strlen(name) > VT_NAME_MAX)
        return name_error(name, "longer than 100 characters", error);
    if (strcmp(name, VT_CATALOG_NAME) == 0)
        return name_error(name, "reserved for the store's catalog", error);
    for (;;) {
        size_t length = strspn(at, LOWER_ALNUM);

        if (length == 0)
            return name_error(name,
                              *at == '\0' || separator_length(at) > 0
                                  ? "a letter or digit is missing"
                                  : "a character is not allowed",
                              error);
        at += length;
        if (*at == '\0')
            return true;
        length = separator_length(at);
        if (length == 0)
            return name_error(name, "a character is not allowed", error);
        at += length;
    }
}

/* One dot-separated list of identifiers, e.g. "rc.1"; *@at ends behind it */
static bool
skip_identifiers(const char **at, bool strict_numbers)
{
    for (;;) {
        size_t length = strspn(*at, IDENTIFIER);

        if (length == 0)
            return false;
        if (strict_numbers && length > 1 && **at == '0' && strspn(*at, DIGITS) == length)
            return false;
        *at += length;
        if (**at != '.')
            return true;
        (*at)++;
    }
}

/* "1.2.0": three numbers without leading zeros */
static bool
skip_core(const char **at)
{
    for (int i = 0; i < 3; i++) {
        size_t length = strspn(*at, DIGITS);

        if (length == 0 || (length > 1 && **at == '0'))
            return false;
        *at += length;
        if (i < 2 && *(*at)++ != '.')
            return false;
    }
    return true;
}

bool
vt_version_check(const char *version, GError **error)
{
    const char *at = version;
    g_autofree char *shown = NULL;
    bool ok = strlen(version) <= VT_VERSION_MAX && skip_core(&at);

    if (ok && *at == '-') {
        at++;
        ok = skip_identifiers(&at, true);
    }
    if (ok && *at == '+') {
        at++;
        ok = skip_identifiers(&at, false);
    }
    if (ok && *at == '\0')
        return true;
    shown = g_strescape(version, NULL);
    return vt_throw(error, VT_ERROR_INVALID,
                    "version '%.120s' is not a semantic version; write it like 1.2.0 or "
                    "1.2.0-rc.1",
                    shown);
}

/* Numbers of any length, without leading zeros: the longer is greater */
static int
compare_numbers(const char *a, size_t length_a, const char *b, size_t length_b)
{
    if (length_a != length_b)
        return length_a < length_b ? -1 : 1;
    return memcmp(a, b, length_a);
}

static int
compare_identifier(const char *a, size_t length_a, const char *b, size_t length_b)
{
    bool number_a = strspn(a, DIGITS) >= length_a, number_b = strspn(b, DIGITS) >= length_b;
    int order;

    if (number_a && number_b)
        return compare_numbers(a, length_a, b, length_b);
    if (number_a != number_b)
        return number_a ? -1 : 1;
    order = memcmp(a, b, MIN(length_a, length_b));
    return order ? order : (length_a > length_b) - (length_a < length_b);
}

/* Dot-separated identifiers up to @end characters: "1.2.0" or "rc.1" */
static int
compare_lists(const char *a, const char *end_a, const char *b, const char *end_b)
{
    while (a < end_a && b < end_b) {
        size_t length_a = MIN(strcspn(a, "."), (size_t)(end_a - a));
        size_t length_b = MIN(strcspn(b, "."), (size_t)(end_b - b));
        int order = compare_identifier(a, length_a, b, length_b);

        if (order)
            return order;
        a += length_a + 1;
        b += length_b + 1;
    }
    return (a < end_a) - (b < end_b);
}

int
vt_version_compare(const char *a, const char *b)
{
    const char *core_a = a + strcspn(a, "-+"), *core_b = b + strcspn(b, "-+");
    const char *end_a = a + strcspn(a, "+"), *end_b = b + strcspn(b, "+");
    int order = compare_lists(a, core_a, b, core_b);

    if (order)
        return order;
    if ((*core_a == '-') != (*core_b == '-'))
        return *core_a == '-' ? -1 : 1;
    if (*core_a == '-')
        order = compare_lists(core_a + 1, end_a, core_b + 1, end_b);
    return order ? order : strcmp(a, b);
}

bool
vt_reference_parse(const char *text, char **ret_name, char **ret_version, GError **error)
{
    const char *at = strchr(text, '@');
    g_autofree char *name = at ? g_strndup(text, (gsize)(at - text)) : g_strdup(text);

    if (!vt_name_check(name, error))
        return false;
    if (at && !vt_version_check(at + 1, error))
        return false;
    *ret_name = g_steal_pointer(&name);
    *ret_version = at ? g_strdup(at + 1) : NULL;
    return true;
}

char *
vt_volume_name(const char *name, const char *version)
{
    if (!version)
        return g_strconcat(name, VT_VOLUME_SUFFIX, NULL);
    return g_strconcat(name, "@", version, VT_VOLUME_SUFFIX, NULL);
}

bool
vt_volume_name_parse(const char *volume, char **ret_name, char **ret_version, GError **error)
{
    g_autofree char *reference = NULL;

    if (!g_str_has_suffix(volume, VT_VOLUME_SUFFIX))
        return vt_throw(error, VT_ERROR_INVALID, "volume '%.120s' does not end in '%s'", volume,
                        VT_VOLUME_SUFFIX);
    reference = g_strndup(volume, strlen(volume) - strlen(VT_VOLUME_SUFFIX));
    return vt_reference_parse(reference, ret_name, ret_version, error);
}

char *
vt_version_tag(const char *version)
{
    return g_strdelimit(g_strdup(version), "+", '_');
}
