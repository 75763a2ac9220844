/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-scrape.c: a client that wants metrics, and may speak HTTP
 *
 * RFC 9112, as little of it as a scraper needs: one request without a body, then the connection is
 * closed. Header fields are not looked at.
 *
 *     GET /metrics?x HTTP/1.1\r\n
 *     Host: localhost\r\n
 *     \r\n
 */
#include "vtc-scrape.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Prometheus sends some hundred bytes */
#define HEAD_MAX 8192
/* Who speaks HTTP speaks first; who says nothing for so long wants the text */
#define FIRST_MS 2000
#define HEAD_MS  5000

static const char *const paths[] = {"/metrics", "/"};

/* Returns: how many bytes came; 0: no more, or not in time */
static gsize
read_some(int fd, char *data, gsize room, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    ssize_t count = 0;

    if (room > 0 && timeout_ms > 0 && poll(&poll_fd, 1, timeout_ms) > 0)
        count = read(fd, data, room);
    return count > 0 ? (gsize)count : 0;
}

VtcScrape
vtc_scrape_read(int fd)
{
    const gint64 end = g_get_monotonic_time() + (gint64)HEAD_MS * 1000;
    char head[HEAD_MAX + 1] = "";
    gboolean complete = FALSE;
    int timeout_ms = FIRST_MS;
    gsize length = 0, count;

    do {
        count = read_some(fd, head + length, HEAD_MAX - length, timeout_ms);
        length += count;
        head[length] = '\0';
        complete = strstr(head, "\r\n\r\n") || strstr(head, "\n\n");
        timeout_ms = (int)((end - g_get_monotonic_time()) / 1000);
        /* What is no HTTP has no end to wait for */
        if (strchr(head, '\n') && vtc_scrape_parse(head, length, TRUE) == VTC_SCRAPE_PLAIN)
            return VTC_SCRAPE_PLAIN;
    } while (count > 0 && !complete);
    return vtc_scrape_parse(head, length, complete);
}

/* "GET /metrics HTTP/1.1" in three parts */
static VtcScrape
judge(char **parts)
{
    const gboolean is_head = g_str_equal(parts[0], "HEAD");
    g_auto(GStrv) target = NULL;

    if (g_strv_length(parts) != 3 || parts[1][0] != '/' || !g_str_has_prefix(parts[2], "HTTP/1."))
        return VTC_SCRAPE_BAD;
    if (!is_head && !g_str_equal(parts[0], "GET"))
        return VTC_SCRAPE_METHOD;
    target = g_strsplit(parts[1], "?", 2);
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (g_str_equal(target[0], paths[i]))
            return is_head ? VTC_SCRAPE_HEAD : VTC_SCRAPE_METRICS;
    }
    return VTC_SCRAPE_NOT_FOUND;
}

VtcScrape
vtc_scrape_parse(const char *head, gsize length, gboolean complete)
{
    const gsize line_length = strcspn(head, "\r\n");
    g_autofree char *line = g_strndup(head, line_length);
    g_auto(GStrv) parts = NULL;

    /* A method is upper case letters and a blank */
    if (strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 0 || !strchr(line, ' '))
        return VTC_SCRAPE_PLAIN;
    if (!complete || strlen(head) != length)
        return VTC_SCRAPE_BAD;
    parts = g_strsplit(line, " ", 0);
    return judge(parts);
}

char *
vtc_scrape_answer(VtcScrape scrape, const char *text, const char *failure)
{
    static const struct {
        const char *status;
        const char *body;
    } answers[] = {
        [VTC_SCRAPE_METRICS] = {"200 OK", NULL},
        [VTC_SCRAPE_HEAD] = {"200 OK", NULL},
        [VTC_SCRAPE_NOT_FOUND] = {"404 Not Found", "the metrics are at /metrics"},
        [VTC_SCRAPE_METHOD] = {"405 Method Not Allowed\r\nAllow: GET, HEAD", "only GET and HEAD"},
        [VTC_SCRAPE_BAD] = {"400 Bad Request", "not a request of HTTP/1.1"},
    };
    const char *body = text ? text : failure;
    const char *status = failure ? "503 Service Unavailable" : answers[scrape].status;
    const char *type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    g_autofree char *line = NULL;

    if (scrape == VTC_SCRAPE_PLAIN)
        return g_strdup(text);
    if (!text) {
        line = g_strdup_printf("%s\n", failure ? failure : answers[scrape].body);
        body = line;
        type = "text/plain; charset=utf-8";
    }
    return g_strdup_printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %" G_GSIZE_FORMAT
                           "\r\nConnection: close\r\n\r\n%s",
                           status, type, strlen(body), scrape == VTC_SCRAPE_HEAD ? "" : body);
}
