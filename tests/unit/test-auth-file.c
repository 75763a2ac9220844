/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-auth-file.h"

#include <string.h>

/* u:p:q, v:w, x:y, and an identity token */
#define AUTHS                                                                                      \
    "{\"auths\":{"                                                                                 \
    "\"h.example:5000\":{\"auth\":\"dTpwOnE=\"},"                                                  \
    "\"h.example:5000/golden\":{\"auth\":\"djp3\"},"                                               \
    "\"https://k.example/v1/\":{\"auth\":\"eDp5\"},"                                               \
    "\"t.example\":{\"auth\":\"\",\"identitytoken\":\"tok\"},"                                     \
    "\"bad.example\":{\"auth\":\"bm9jb2xvbg==\"},\"empty.example\":{},"                            \
    "\"both.example\":{\"auth\":\"dTpwOnE=\"}},"                                                   \
    "\"credHelpers\":{\"c.example\":\"secretservice\",\"both.example\":\"x\"},"                    \
    "\"credsStore\":\"pass\"}"

static VtCredentials *
find(const char *host, const char *repository, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(AUTHS, strlen(AUTHS));
    VtCredentials *credentials = NULL;

    if (!vt_auth_file_find(bytes, host, repository, &credentials, error))
        g_assert_null(credentials);
    return credentials;
}

static void
test_find(void)
{
    static const struct {
        const char *host, *repository, *user, *password, *identity;
    } cases[] = {
        {"h.example:5000", "debian-12", "u", "p:q", NULL},
        {"h.example:5000", "golden/debian-12", "v", "w", NULL},
        {"h.example:5000", "goldenx/debian-12", "u", "p:q", NULL},
        {"k.example", "debian-12", "x", "y", NULL},
        {"t.example", "debian-12", "", "", "tok"},
        {"both.example", "debian-12", "u", "p:q", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(VtCredentials) found = find(cases[i].host, cases[i].repository, &error);

        g_assert_no_error(error);
        g_assert_cmpstr(found->user, ==, cases[i].user);
        g_assert_cmpstr(found->password, ==, cases[i].password);
        g_assert_cmpstr(found->identity_token, ==, cases[i].identity);
    }
}

static void
test_none(void)
{
    static const char *const hosts[] = {"h.example", "k.example:1", "example", "k"};

    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(find(hosts[i], "debian-12", &error));
        g_assert_no_error(error);
    }
}

static void
test_bad(void)
{
    static const char *const hosts[] = {"bad.example", "empty.example"};
    static const char *const documents[] = {"",
                                            "[]",
                                            "{\"auths\":3}",
                                            "{\"auths\":{},\"auths\":{}}",
                                            "{\"auths\":{\"h\":{\"auth\" \"c2VjcmV0\"}}}",
                                            "{\"auths\":{\"c2VjcmV0\":1,\"c2VjcmV0\":1}}"};
    VtCredentials *credentials = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(find(hosts[i], "debian-12", &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, hosts[i]));
        g_assert_null(strstr(error->message, "nocolon"));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(documents[i], strlen(documents[i]));
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_auth_file_find(bytes, "h", "r", &credentials, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_null(strstr(error->message, "c2VjcmV0"));
    }
}

static void
test_helpers(void)
{
    static const struct {
        const char *host, *helper;
    } cases[] = {
        {"c.example", "docker-credential-secretservice"},
        {"empty.example", "docker-credential-pass"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(find(cases[i].host, "debian-12", &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, cases[i].helper));
        g_assert_nonnull(strstr(error->message, "skopeo login --authfile"));
    }
}

/* What a process gets that asks one registry */
static void
test_for(void)
{
    static const char *const hosts[] = {"H.example", "url.example", NULL};
    static const char text[] =
        "{\"auths\":{\"h.example\":{\"auth\":\"YTpi\"},\"h.example/golden\":{\"auth\":\"YTpj\"},"
        "\"https://url.example/v1/\":{\"auth\":\"YTpk\"},\"other.example\":{\"auth\":\"YTpl\"},"
        "\"h.example.other\":{\"auth\":\"YTpl\"},\"https://other.example/h.example\":{\"auth\":"
        "\"YTpl\"}},\"credHelpers\":{\"h.example\":\"x\",\"other.example\":\"secret\"}}";
    static const char expected[] =
        "{\"auths\":{\"h.example\":{\"auth\":\"YTpi\"},\"h.example/golden\":{\"auth\":\"YTpj\"},"
        "\"https://url.example/v1/\":{\"auth\":\"YTpk\"}},\"credHelpers\":{\"h.example\":\"x\"}}";
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    g_autoptr(GBytes) bad = g_bytes_new_static("{", 1);
    g_autoptr(GBytes) reduced = vt_auth_file_for(bytes, hosts);
    g_autoptr(GBytes) same = vt_auth_file_for(bad, hosts);
    g_autofree char *got = g_strndup(g_bytes_get_data(reduced, NULL), g_bytes_get_size(reduced));

    g_assert_cmpstr(got, ==, expected);
    g_assert_true(g_bytes_equal(same, bad));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/auth-file/find", test_find);
    g_test_add_func("/auth-file/none", test_none);
    g_test_add_func("/auth-file/bad", test_bad);
    g_test_add_func("/auth-file/helpers", test_helpers);
    g_test_add_func("/auth-file/for", test_for);
    return g_test_run();
}
