/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-http-header.c: no line of a registry's answer makes the readers of header fields go wrong */
#include "fuzz.h"
#include "vt-http-header.h"

#include <string.h>

/* A header of more lines is not needed to find what one does */
#define LINES_MAX 16

static void
try_challenges(const char *const *values)
{
    g_autoptr(VtChallenge) challenge = NULL;
    g_autoptr(GError) error = NULL;

    if (vt_challenge_parse(values, &challenge, &error)) {
        g_assert_true(challenge->scheme == VT_AUTH_BASIC || challenge->realm);
        return;
    }
    g_assert_null(challenge);
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    /* it is shown on a terminal */
    for (const char *at = error->message; *at; at++)
        g_assert_true(*at == '\n' || !g_ascii_iscntrl(*at));
}

static void
try_line(const char *line)
{
    g_autofree char *link = vt_link_next(line), *host = vt_host_name(line);
    uint64_t first = 1, last = 2, total = 3;
    const int seconds = vt_retry_after_parse(line);

    if (link)
        g_assert_true(!strchr(link, '>') && strlen(link) < strlen(line));
    g_assert_cmpuint(strlen(host), <=, strlen(line));
    vt_host_is_loopback(line);
    g_assert_true(seconds >= -1 && seconds <= 86400);
    if (vt_content_range_parse(line, &first, &last, &total))
        g_assert_true(first <= last && last < total && total < UINT64_C(1) << 60);
    else
        g_assert_true(first == 1 && last == 2 && total == 3);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup(size ? (const char *)data : "", size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", LINES_MAX);

    try_challenges((const char *const *)lines);
    for (char **line = lines; *line; line++)
        try_line(*line);
    return 0;
}
