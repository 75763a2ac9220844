/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-http-header.h"

#include <string.h>

#define TOKEN_URL "https://a.example/token"

static const struct {
    const char *first, *second;
    VtAuthScheme scheme;
    const char *realm, *service, *scope;
} challenges[] = {
    {"Basic realm=\"x\"", NULL, VT_AUTH_BASIC, "x", NULL, NULL},
    {"basic", NULL, VT_AUTH_BASIC, NULL, NULL, NULL},
    {"BEARER realm=\"" TOKEN_URL "\",service=\"s\",scope=\"repository:a/b:pull,push\"", NULL,
     VT_AUTH_BEARER, TOKEN_URL, "s", "repository:a/b:pull,push"},
    {"Basic realm=\"x\", Bearer realm=\"" TOKEN_URL "\" , service=s", NULL, VT_AUTH_BEARER,
     TOKEN_URL, "s", NULL},
    {"Bearer realm=\"" TOKEN_URL "\"", "Basic realm=\"x\"", VT_AUTH_BEARER, TOKEN_URL, NULL, NULL},
    {"Negotiate YII==, Basic realm=\"a \\\"b\\\", c\"", NULL, VT_AUTH_BASIC, "a \"b\", c", NULL,
     NULL},
    {"Negotiate", "Basic realm=x, realm=y, other=\"1\"", VT_AUTH_BASIC, "x", NULL, NULL},
};

static void
test_challenge(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(challenges); i++) {
        const char *const values[] = {challenges[i].first, challenges[i].second, NULL};
        g_autoptr(VtChallenge) challenge = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(vt_challenge_parse(values, &challenge, &error));
        g_assert_no_error(error);
        g_assert_cmpint(challenge->scheme, ==, challenges[i].scheme);
        g_assert_cmpstr(challenge->realm, ==, challenges[i].realm);
        g_assert_cmpstr(challenge->service, ==, challenges[i].service);
        g_assert_cmpstr(challenge->scope, ==, challenges[i].scope);
    }
}

static const struct {
    const char *text;
    int code;
} bad_challenges[] = {
    {"", VT_ERROR_UNSUPPORTED},
    {"Negotiate", VT_ERROR_UNSUPPORTED},
    {"Digest realm=\"x\", nonce=\"y\"", VT_ERROR_UNSUPPORTED},
    {"Bearer service=\"s\"", VT_ERROR_INVALID},
    {"Bearer realm=\"no end", VT_ERROR_INVALID},
    {"Bearer realm=\"x\" service=\"y\"", VT_ERROR_INVALID},
    {"\"Basic\"", VT_ERROR_INVALID},
    {"Basic realm=;", VT_ERROR_INVALID},
};

static void
test_bad_challenge(void)
{
    g_autofree char *spaces = g_strnfill(VT_CHALLENGE_MAX, ' ');
    g_autofree char *huge = g_strconcat(spaces, "Basic", NULL);
    const char *const too_long[] = {huge, NULL};
    g_autoptr(VtChallenge) challenge = NULL;

    g_assert_false(vt_challenge_parse(too_long, &challenge, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(bad_challenges); i++) {
        const char *const values[] = {bad_challenges[i].text, NULL};
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_challenge_parse(values, &challenge, &error));
        g_assert_error(error, VT_ERROR, bad_challenges[i].code);
        g_assert_null(challenge);
    }
}

static void
test_content_range(void)
{
    static const char *const bad[] = {"",
                                      "bytes",
                                      "bytes 0-9/*",
                                      "bytes */10",
                                      "bytes 0-9",
                                      "bytes 5-4/10",
                                      "bytes 0-10/10",
                                      "bytes 0-9/10 ",
                                      "0-9/10",
                                      "bytes -1-9/10",
                                      "bytes 0-9/99999999999999999999",
                                      "bytes  0-9/10"};
    uint64_t first = 0, last = 0, total = 0;

    g_assert_true(vt_content_range_parse("bytes 3-9/10", &first, &last, &total));
    g_assert_cmpuint(first, ==, 3);
    g_assert_cmpuint(last, ==, 9);
    g_assert_cmpuint(total, ==, 10);
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(vt_content_range_parse(bad[i], &first, &last, &total));
    g_assert_cmpuint(first, ==, 3);
}

static void
test_link(void)
{
    static const struct {
        const char *text, *url;
    } links[] = {
        {"</v2/a/referrers/x?n=2>; rel=\"next\"", "/v2/a/referrers/x?n=2"},
        {"<https://h/x>;rel=next", "https://h/x"},
        {"</x>; rel=\"prev\"", NULL},
        {"</x>; title=\"a, <b>; rel=next\"; rel=\"prev\", </y>; rel=\"next\"", "/y"},
        {"</x>;  title = x ; REL = \"last Next\"", "/x"},
        {"</x>; crossorigin; rel=next", "/x"},
        {"</x>; rel=prev; rel=next", NULL},
        {"</x>; rel=\"nextto\"", NULL},
        {"</x>; rel=\"next", NULL},
        {"</x>; rel=next </y>; rel=next", NULL},
        {"</x", NULL},
        {"/x; rel=\"next\"", NULL},
        {"", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(links); i++) {
        g_autofree char *url = vt_link_next(links[i].text);

        g_assert_cmpstr(url, ==, links[i].url);
    }
}

static void
test_retry_after(void)
{
    g_assert_cmpint(vt_retry_after_parse("0"), ==, 0);
    g_assert_cmpint(vt_retry_after_parse("120"), ==, 120);
    g_assert_cmpint(vt_retry_after_parse("999999999999"), ==, 86400);
    g_assert_cmpint(vt_retry_after_parse("Wed, 21 Oct 2026 07:28:00 GMT"), ==, -1);
    g_assert_cmpint(vt_retry_after_parse("-1"), ==, -1);
    g_assert_cmpint(vt_retry_after_parse(""), ==, -1);
    g_assert_cmpint(vt_retry_after_parse(NULL), ==, -1);
}

static void
test_loopback(void)
{
    static const char *const yes[] = {"localhost", "LOCALHOST:5000", "127.0.0.1", "127.9.9.9:1",
                                      "[::1]:5000"};
    static const char *const no[] = {"localhost.example", "127.example:1", "127.0.0.1.example",
                                     "[::2]:1",           "10.0.0.1",      "notlocalhost"};

    for (gsize i = 0; i < G_N_ELEMENTS(yes); i++)
        g_assert_true(vt_host_is_loopback(yes[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(no); i++)
        g_assert_false(vt_host_is_loopback(no[i]));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/http-header/challenge", test_challenge);
    g_test_add_func("/http-header/bad-challenge", test_bad_challenge);
    g_test_add_func("/http-header/content-range", test_content_range);
    g_test_add_func("/http-header/link", test_link);
    g_test_add_func("/http-header/retry-after", test_retry_after);
    g_test_add_func("/http-header/loopback", test_loopback);
    return g_test_run();
}
