/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-store-url.h"

static const struct {
    const char *text, *canonical, *repository, *scope, *identity;
} good[] = {
    {"oci:/srv/golden", "oci:/srv/golden", "web", "/srv/golden", "localhost/golden/web"},
    {"oci:/srv/golden/", "oci:/srv/golden", "web", "/srv/golden", "localhost/golden/web"},
    {"docker://r.example/a/b", "docker://r.example/a/b", "a/b/web", "r.example/a/b/web",
     "r.example/a/b/web"},
    {"docker://127.0.0.1:5000/", "docker://127.0.0.1:5000", "web", "127.0.0.1:5000/web",
     "127.0.0.1:5000/web"},
    {"docker://[::1]:5000/g", "docker://[::1]:5000/g", "g/web", "[::1]:5000/g/web",
     "[::1]:5000/g/web"},
};

static void
test_good(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(VtStoreUrl) url = NULL;
        g_autofree char *text = NULL, *repository = NULL, *scope = NULL, *identity = NULL;

        g_assert_true(vt_store_url_parse(good[i].text, &url, NULL));
        text = vt_store_url_format(url);
        g_assert_cmpstr(text, ==, good[i].canonical);
        repository = vt_store_url_repository(url, "web");
        g_assert_cmpstr(repository, ==, good[i].repository);
        scope = vt_store_url_scope(url, "web");
        g_assert_cmpstr(scope, ==, good[i].scope);
        identity = vt_store_url_identity(url, "web");
        g_assert_cmpstr(identity, ==, good[i].identity);
    }
}

static const char *const bad[] = {"",
                                  "/srv/golden",
                                  "oci:srv",
                                  "oci:/",
                                  "oci:/a/../b",
                                  "oci:/a//b",
                                  "oci:/a:b",
                                  "oci:/a\nb",
                                  "docker://",
                                  "docker:///x",
                                  "docker://h x",
                                  "docker://h:",
                                  "docker://h:port/x",
                                  "docker://h:123456/x",
                                  "docker://h:5000:5001/x",
                                  "docker://[::1/x",
                                  "docker://[h]/x",
                                  "docker://::1/x",
                                  "docker://h/UP",
                                  "docker://h/a//b",
                                  "docker://h/..",
                                  "docker://h//",
                                  "docker://h/a//",
                                  "http://h/x",
                                  "docker://u@h/x"};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(VtStoreUrl) url = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_store_url_parse(bad[i], &url, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_null(url);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store-url/good", test_good);
    g_test_add_func("/store-url/bad", test_bad);
    return g_test_run();
}
