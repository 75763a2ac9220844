/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-scrape.c: what a client of the metrics' socket wants, and what it gets */
#include "vtc-scrape.h"

#include <string.h>
#include <unistd.h>

static const struct {
    const char *head;
    VtcScrape scrape;
} cases[] = {
    {"", VTC_SCRAPE_PLAIN},
    {"\n", VTC_SCRAPE_PLAIN},
    {"hello\n", VTC_SCRAPE_PLAIN},
    {"get /metrics HTTP/1.1\r\n\r\n", VTC_SCRAPE_PLAIN},
    {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", VTC_SCRAPE_METRICS},
    {"GET / HTTP/1.0\r\n\r\n", VTC_SCRAPE_METRICS},
    {"GET /metrics?name=x HTTP/1.1\n\n", VTC_SCRAPE_METRICS},
    {"HEAD /metrics HTTP/1.1\r\n\r\n", VTC_SCRAPE_HEAD},
    {"GET /etc/passwd HTTP/1.1\r\n\r\n", VTC_SCRAPE_NOT_FOUND},
    {"GET /metrics/ HTTP/1.1\r\n\r\n", VTC_SCRAPE_NOT_FOUND},
    {"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", VTC_SCRAPE_METHOD},
    {"GET /metrics HTTP/2\r\n\r\n", VTC_SCRAPE_BAD},
    {"GET /metrics\r\n\r\n", VTC_SCRAPE_BAD},
    {"GET http://localhost/metrics HTTP/1.1\r\n\r\n", VTC_SCRAPE_BAD},
    {"GET  /metrics HTTP/1.1\r\n\r\n", VTC_SCRAPE_BAD},
    {"GET /metrics HTTP/1.1\r\nHost: x", VTC_SCRAPE_BAD},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VTC_SCRAPE_BAD},
};

/* Through a pipe whose writer has gone, as well */
static void
test_read(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const gsize length = strlen(cases[i].head);
        int fds[2];

        g_test_message("%s", cases[i].head);
        g_assert_cmpint(pipe(fds), ==, 0);
        g_assert_cmpint(write(fds[1], cases[i].head, length), ==, length);
        close(fds[1]);
        g_assert_cmpint(vtc_scrape_read(fds[0]), ==, cases[i].scrape);
        close(fds[0]);
    }
}

static void
test_hostile(void)
{
    g_autofree char *endless = g_strnfill(20000, 'A');
    g_autofree char *headers = g_strconcat("GET / HTTP/1.1\r\nA: ", endless, "\r\n\r\n", NULL);
    static const char nul[] = "GET /metrics HTTP/1.1\0\r\n\r\n";
    int fds[2];

    g_assert_cmpint(vtc_scrape_parse(nul, sizeof(nul) - 1, TRUE), ==, VTC_SCRAPE_BAD);
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(write(fds[1], headers, strlen(headers)), ==, strlen(headers));
    g_assert_cmpint(vtc_scrape_read(fds[0]), ==, VTC_SCRAPE_BAD);
    close(fds[0]);
    close(fds[1]);
}

static void
check_answer(VtcScrape scrape, const char *text, const char *failure, const char *expected)
{
    g_autofree char *answer = vtc_scrape_answer(scrape, text, failure);

    g_assert_cmpstr(answer, ==, expected);
}

static void
test_answer(void)
{
    check_answer(VTC_SCRAPE_PLAIN, "a 1\n# EOF\n", NULL, "a 1\n# EOF\n");
    check_answer(VTC_SCRAPE_METRICS, "a 1\n# EOF\n", NULL,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
                 "charset=utf-8\r\nContent-Length: 10\r\nConnection: close\r\n\r\na 1\n# EOF\n");
    check_answer(VTC_SCRAPE_HEAD, "a 1\n# EOF\n", NULL,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
                 "charset=utf-8\r\nContent-Length: 10\r\nConnection: close\r\n\r\n");
    check_answer(VTC_SCRAPE_METRICS, NULL, "it is away",
                 "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Content-Length: 11\r\nConnection: close\r\n\r\nit is away\n");
    check_answer(VTC_SCRAPE_METHOD, NULL, NULL,
                 "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\nContent-Type: text/plain; "
                 "charset=utf-8\r\nContent-Length: 18\r\nConnection: close\r\n\r\n"
                 "only GET and HEAD\n");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scrape/read", test_read);
    g_test_add_func("/scrape/hostile", test_hostile);
    g_test_add_func("/scrape/answer", test_answer);
    return g_test_run();
}
