/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-scope.h"

static const struct {
    VtTransport transport;
    const char *scope, *tag, *candidates;
} lookups[] = {
    {VT_TRANSPORT_DOCKER, "r.example.com:5000/golden/web", "1.2.0",
     "r.example.com:5000/golden/web:1.2.0 r.example.com:5000/golden/web r.example.com:5000/golden "
     "r.example.com:5000 *.example.com *.com "},
    {VT_TRANSPORT_DOCKER, "localhost/web", NULL, "localhost/web localhost "},
    {VT_TRANSPORT_DOCKER, "r.example./web", NULL, "r.example./web r.example. *.example. "},
    {VT_TRANSPORT_DOCKER, "[::1]:5000/web", NULL, "[::1]:5000/web [::1]:5000 "},
    {VT_TRANSPORT_DOCKER, "[::ffff:192.0.2.1]:5000/web", NULL,
     "[::ffff:192.0.2.1]:5000/web [::ffff:192.0.2.1]:5000 "},
    {VT_TRANSPORT_DOCKER, "[..5]/web", NULL, "[..5]/web [..5] "},
    {VT_TRANSPORT_OCI, "/srv/golden", "web/1.2.0", "/srv/golden:web/1.2.0 /srv/golden /srv "},
    {VT_TRANSPORT_OCI, "/srv", NULL, "/srv "},
};

static void
test_candidates(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(lookups); i++) {
        g_auto(GStrv) candidates =
            vt_scope_candidates(lookups[i].transport, lookups[i].scope, lookups[i].tag);
        g_autofree char *joined = g_strjoinv(" ", candidates);

        g_assert_cmpstr(joined, ==, lookups[i].candidates);
    }
}

/* Each candidate of a lookup may be written in a policy */
static void
test_good(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(lookups); i++) {
        g_auto(GStrv) candidates =
            vt_scope_candidates(lookups[i].transport, lookups[i].scope, lookups[i].tag);

        for (gsize j = 0; candidates[j]; j++)
            g_assert_null(vt_scope_problem(lookups[i].transport, candidates[j]));
    }
}

static const char *const bad_docker[] = {"docker://r.example/x",
                                         "r.example/",
                                         "r.example//x",
                                         "/x",
                                         "r.example/x/",
                                         "r.example/UP",
                                         "r.example/a/../b",
                                         "r.example:port/x",
                                         "r.example:/x",
                                         "*.example/x",
                                         "*.example:5000",
                                         "*.",
                                         "*",
                                         "a*b",
                                         "r.example/x:",
                                         "r.example/x:a b",
                                         "r.example/x@sha256:00",
                                         "r example",
                                         "r.example/x\n"};
static const char *const bad_oci[] = {"srv",       "/",        "/srv/",    "//srv",
                                      "/srv/../x", "/srv/./x", "/srv:",    "/srv:a//b",
                                      "/srv:a b",  "oci:/srv", "/srv:../x"};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad_docker); i++)
        g_assert_nonnull(vt_scope_problem(VT_TRANSPORT_DOCKER, bad_docker[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(bad_oci); i++)
        g_assert_nonnull(vt_scope_problem(VT_TRANSPORT_OCI, bad_oci[i]));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scope/candidates", test_candidates);
    g_test_add_func("/scope/good", test_good);
    g_test_add_func("/scope/bad", test_bad);
    return g_test_run();
}
