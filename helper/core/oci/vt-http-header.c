/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-header.c: the HTTP header fields that registries answer with */
#include "vt-http-header.h"

#include <string.h>

/* RFC 9110 5.6.2 */
#define TOKEN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
/* Longer waits are of no use to anybody; also keeps the number small */
#define RETRY_AFTER_MAX 86400

void
vt_challenge_free(VtChallenge *challenge)
{
    if (!challenge)
        return;
    g_free(challenge->realm);
    g_free(challenge->service);
    g_free(challenge->scope);
    g_free(challenge);
}

static void
skip_space(const char **at)
{
    *at += strspn(*at, " \t");
}

/* Returns: (nullable) (transfer full) */
static char *
take_token(const char **at)
{
    size_t length = strspn(*at, TOKEN_CHARS);
    char *token = length ? g_strndup(*at, length) : NULL;

    *at += length;
    return token;
}

/* "a \"b\", c"; returns: (nullable) (transfer full) */
static char *
take_quoted(const char **at)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const char *p = *at + 1;

    for (; *p && *p != '"'; p++) {
        if (*p == '\\' && p[1])
            p++;
        g_string_append_c(text, *p);
    }
    if (*p != '"')
        return NULL;
    *at = p + 1;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Takes @value (transfer full) if @name is one of ours; the first one counts */
static void
set_parameter(VtChallenge *challenge, const char *name, char *value)
{
    struct {
        const char *name;
        char **place;
    } known[] = {
        {"realm", &challenge->realm},
        {"service", &challenge->service},
        {"scope", &challenge->scope},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_ascii_strcasecmp(name, known[i].name) == 0 && !*known[i].place) {
            *known[i].place = value;
            return;
        }
    }
    g_free(value);
}

/* name=token or name="text", after which @at is at ',' or the end. @challenge: (nullable) */
static bool
take_parameter(const char **at, const char *name, VtChallenge *challenge)
{
    char *value;

    skip_space(at);
    value = **at == '"' ? take_quoted(at) : take_token(at);
    if (!value)
        return false;
    if (challenge)
        set_parameter(challenge, name, value);
    else
        g_free(value);
    skip_space(at);
    return **at == '\0' || **at == ',';
}

static VtChallenge *
start_challenge(GPtrArray *found, const char *scheme)
{
    static const struct {
        const char *name;
        VtAuthScheme scheme;
    } known[] = {{"basic", VT_AUTH_BASIC}, {"bearer", VT_AUTH_BEARER}};

    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (g_ascii_strcasecmp(scheme, known[i].name) == 0) {
            VtChallenge *challenge = g_new0(VtChallenge, 1);

            challenge->scheme = known[i].scheme;
            g_ptr_array_add(found, challenge);
            return challenge;
        }
    }
    return NULL;
}

/*
 * Basic realm="x", Bearer realm="https://a/token",service="s",scope="repository:b:pull"
 *
 * A token that is followed by '=' is a parameter of the scheme before it, any other one starts a
 * challenge; a token68 (Negotiate YII==) ends in '=' and is passed over.
 */
static bool
take_challenges(const char *text, GPtrArray *found)
{
    VtChallenge *current = NULL;
    const char *at = text;

    for (;;) {
        g_autofree char *word = NULL;

        at += strspn(at, " \t,");
        if (!*at)
            return true;
        word = take_token(&at);
        if (!word)
            return false;
        skip_space(&at);
        if (*at != '=') {
            current = start_challenge(found, word);
            continue;
        }
        at++;
        if (*at == '=' || *at == ',' || *at == '\0')
            at += strspn(at, "=");
        else if (!take_parameter(&at, word, current))
            return false;
    }
}

bool
vt_challenge_parse(const char *const *values, VtChallenge **ret_challenge, GError **error)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)vt_challenge_free);
    int best = -1;

    for (gsize i = 0; values[i]; i++) {
        if (strlen(values[i]) > VT_CHALLENGE_MAX || !take_challenges(values[i], found))
            return vt_throw(error, VT_ERROR_INVALID,
                            "the registry's WWW-Authenticate header is malformed: '%.200s'",
                            values[i]);
    }
    for (guint i = 0; i < found->len; i++) {
        const VtChallenge *challenge = g_ptr_array_index(found, i);

        if (challenge->scheme == VT_AUTH_BEARER && !challenge->realm)
            return vt_throw(error, VT_ERROR_INVALID,
                            "the registry asks for a Bearer token, but names no realm to get one");
        if (best < 0 || (challenge->scheme == VT_AUTH_BEARER &&
                         ((VtChallenge *)found->pdata[best])->scheme != VT_AUTH_BEARER))
            best = (int)i;
    }
    if (best < 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "the registry asks for an authentication other than Basic and Bearer");
    *ret_challenge = g_ptr_array_steal_index(found, (guint)best);
    return true;
}

static bool
take_number(const char **at, uint64_t *ret)
{
    const char *start = *at;
    size_t digits = strspn(start, "0123456789");

    /* 2^63 has 19 digits */
    if (digits == 0 || digits > 18)
        return false;
    *ret = g_ascii_strtoull(start, NULL, 10);
    *at += digits;
    return true;
}

bool
vt_content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                       uint64_t *ret_total)
{
    const char *at = text + strlen("bytes ");
    uint64_t first, last, total;

    if (g_ascii_strncasecmp(text, "bytes ", strlen("bytes ")) != 0 || !take_number(&at, &first) ||
        *at++ != '-' || !take_number(&at, &last) || *at++ != '/' || !take_number(&at, &total) ||
        *at != '\0' || first > last || last >= total)
        return false;
    *ret_first = first;
    *ret_last = last;
    *ret_total = total;
    return true;
}

/* "prev next": relations are words */
static bool
has_relation(const char *value, const char *relation)
{
    g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);

    for (gsize i = 0; words[i]; i++) {
        if (g_ascii_strcasecmp(words[i], relation) == 0)
            return true;
    }
    return false;
}

/* ; rel="next"; title=x, after which @at is at ',' or the end. The first `rel` counts. */
static bool
take_link_parameters(const char **at, bool *ret_next)
{
    bool has_rel = false;

    *ret_next = false;
    for (skip_space(at); **at == ';'; skip_space(at)) {
        g_autofree char *name = NULL, *value = NULL;

        ++*at;
        skip_space(at);
        name = take_token(at);
        skip_space(at);
        if (!name || **at != '=')
            continue;
        ++*at;
        skip_space(at);
        value = **at == '"' ? take_quoted(at) : take_token(at);
        if (!value)
            return false;
        if (!has_rel && g_ascii_strcasecmp(name, "rel") == 0) {
            has_rel = true;
            *ret_next = has_relation(value, "next");
        }
    }
    return **at == '\0' || **at == ',';
}

char *
vt_link_next(const char *text)
{
    const char *at = text;

    for (;;) {
        const char *url, *end;
        bool next;

        at += strspn(at, " \t,");
        end = *at == '<' ? strchr(at, '>') : NULL;
        if (!end)
            return NULL;
        url = at + 1;
        at = end + 1;
        if (!take_link_parameters(&at, &next))
            return NULL;
        if (next)
            return g_strndup(url, (gsize)(end - url));
    }
}

int
vt_retry_after_parse(const char *text)
{
    const char *at = text;
    uint64_t seconds;

    if (!text || !take_number(&at, &seconds) || *at != '\0')
        return -1;
    return (int)MIN(seconds, RETRY_AFTER_MAX);
}

char *
vt_host_name(const char *host)
{
    const char *end = *host == '[' ? strchr(host, ']') : strchr(host, ':');
    gsize length = end ? (gsize)(end - host) + (*host == '[') : strlen(host);

    return g_ascii_strdown(host, (gssize)length);
}

bool
vt_host_is_loopback(const char *host)
{
    g_autofree char *name = vt_host_name(host);

    if (g_str_equal(name, "localhost") || g_str_equal(name, "[::1]"))
        return true;
    /* 127.0.0.1, but not 127.example */
    return g_str_has_prefix(name, "127.") && g_hostname_is_ip_address(name);
}
