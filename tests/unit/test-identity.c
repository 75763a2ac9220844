/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-identity.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER  "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const repositories[] = {"r.example/web", "r.example:5000/golden/web",
                                           "localhost/golden/web", "[::1]:5000/g/web"};
static const char *const not_repositories[] = {"",
                                               "web",
                                               "golden/web",
                                               "r.example",
                                               "r.example/",
                                               "r.example//web",
                                               "/web",
                                               "r.example/Web",
                                               "r.example/web:1",
                                               ("r.example/web@" DIGEST),
                                               "r.e/w b"};
static const char *const references[] = {"r.example/web:1.0.0", "r.example:5000/web@" DIGEST,
                                         "r.example/web:1.0.0@" DIGEST};
static const char *const not_references[] = {"",
                                             "r.example/web",
                                             "r.example:5000/web",
                                             "web:1.0.0",
                                             "r.example/web:",
                                             "r.example/web:a b",
                                             "r.example/web@sha256:00",
                                             "r.example/web@",
                                             "r.example/web:1:2"};

static void
test_forms(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(repositories); i++)
        g_assert_true(vt_identity_is_repository(repositories[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(not_repositories); i++)
        g_assert_false(vt_identity_is_repository(not_repositories[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(references); i++)
        g_assert_true(vt_identity_is_reference(references[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(not_references); i++)
        g_assert_false(vt_identity_is_reference(not_references[i]));
    g_assert_true(vt_identity_is_prefix("r.example:5000"));
    g_assert_true(vt_identity_is_prefix("r.example/golden"));
    g_assert_false(vt_identity_is_prefix("r.example/golden/"));
    g_assert_false(vt_identity_is_prefix("golden"));
    g_assert_false(vt_identity_is_prefix(""));
}

#define R "r.example/golden/web"

/* The thing is R, tag 1.0.0, DIGEST */
static const struct {
    VtIdentityMatch match;
    const char *value, *signed_prefix, *signed_reference;
    bool accepted;
} cases[] = {
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R, true},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R ":2.0.0", true},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R "@" OTHER, true},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, "r.example/golden", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R "x", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R "/x", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, "R.example/golden/web", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R ":", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, R "@sha256:0", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, "", false},
    {VT_IDENTITY_REPO_DIGEST_OR_EXACT, NULL, NULL, "golden/web", false},
    {VT_IDENTITY_REPOSITORY, NULL, NULL, R, true},
    {VT_IDENTITY_REPOSITORY, NULL, NULL, R ":9", true},
    {VT_IDENTITY_REPOSITORY, NULL, NULL, "evil.example/golden/web", false},
    {VT_IDENTITY_EXACT, NULL, NULL, R ":1.0.0", true},
    {VT_IDENTITY_EXACT, NULL, NULL, R "@" DIGEST, true},
    {VT_IDENTITY_EXACT, NULL, NULL, R, false},
    {VT_IDENTITY_EXACT, NULL, NULL, R ":1.0.1", false},
    {VT_IDENTITY_EXACT, NULL, NULL, R "@" OTHER, false},
    {VT_IDENTITY_EXACT_REFERENCE, "r.e/x:1", NULL, "r.e/x:1", true},
    {VT_IDENTITY_EXACT_REFERENCE, "r.e/x:1", NULL, "r.e/x:2", false},
    {VT_IDENTITY_EXACT_REFERENCE, "r.e/x:1", NULL, R ":1.0.0", false},
    {VT_IDENTITY_EXACT_REPOSITORY, "r.e/x", NULL, "r.e/x", true},
    {VT_IDENTITY_EXACT_REPOSITORY, "r.e/x", NULL, "r.e/x:7", true},
    {VT_IDENTITY_EXACT_REPOSITORY, "r.e/x", NULL, R, false},
    {VT_IDENTITY_REMAP, "r.example", "up.example", "up.example/golden/web", true},
    {VT_IDENTITY_REMAP, "r.example/golden", "up.example/x/y", "up.example/x/y/web", true},
    {VT_IDENTITY_REMAP, R, "up.example/z", "up.example/z", true},
    {VT_IDENTITY_REMAP, "r.example", "up.example", R, false},
    {VT_IDENTITY_REMAP, "r.exam", "up.exam", "up.example/golden/web", false},
    {VT_IDENTITY_REMAP, "other.example", "up.example", R, true},
    {VT_IDENTITY_REMAP, "other.example", "up.example", "up.example/golden/web", false},
    {VT_IDENTITY_DIGEST_ONLY, NULL, NULL, "anything", true},
};

static void
test_match(void)
{
    VtDigest digest;
    VtIdentity identity = {.repository = R, .tag = "1.0.0", .digest = &digest};

    g_assert_true(vt_digest_parse(DIGEST, &digest, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        VtRequirement requirement = {.identity = cases[i].match,
                                     .identity_value = (char *)cases[i].value,
                                     .identity_signed = (char *)cases[i].signed_prefix};
        g_autoptr(GError) error = NULL;

        g_test_message("%zu: %s", i, cases[i].signed_reference);
        g_assert_cmpint(
            vt_identity_match(&requirement, &identity, cases[i].signed_reference, &error), ==,
            cases[i].accepted);
        g_assert_cmpint(error == NULL, ==, cases[i].accepted);
    }
}

/* Without a version, "matchExact" has only the digest to go by */
static void
test_no_tag(void)
{
    VtDigest digest;
    VtIdentity identity = {.repository = R, .tag = NULL, .digest = &digest};
    VtRequirement requirement = {.identity = VT_IDENTITY_EXACT};

    g_assert_true(vt_digest_parse(DIGEST, &digest, NULL));
    g_assert_true(vt_identity_match(&requirement, &identity, R "@" DIGEST, NULL));
    g_assert_false(vt_identity_match(&requirement, &identity, R ":(no tag)", NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/identity/forms", test_forms);
    g_test_add_func("/identity/match", test_match);
    g_test_add_func("/identity/no-tag", test_no_tag);
    return g_test_run();
}
