/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-name.h"

#include <string.h>

static const char *const good_names[] = {"a", "debian-12", "a.b_c__d---e", "0", NULL};
static const char *const bad_names[] = {"",        "A",     "a/b", "..",   "a..b", "-a",
                                        "a-",      "a___b", "a:b", "a\nb", "a@b",  "caf\303\251",
                                        "catalog", ".a",    "a b", NULL};

static void
test_names(void)
{
    g_autofree char *longest = g_strnfill(VT_NAME_MAX, 'a');
    g_autofree char *too_long = g_strnfill(300, 'a');

    for (int i = 0; good_names[i]; i++)
        g_assert_true(vt_name_check(good_names[i], NULL));
    g_assert_true(vt_name_check(longest, NULL));
    g_assert_false(vt_name_check(too_long, NULL));
    for (int i = 0; bad_names[i]; i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_name_check(bad_names[i], &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

static const char *const good_versions[] = {"0.0.0",   "1.2.0",     "10.20.30-rc.1+build.5",
                                            "1.0.0--", "1.0.0+001", NULL};
static const char *const bad_versions[] = {"",       "1",      "1.2",      "01.2.0",
                                           "1.2.0-", "1.2.0+", "1.2.0-01", "1.2.0-a..b",
                                           "1.2.0/", "v1.2.0", "1.2.0 ",   NULL};

static void
test_versions(void)
{
    for (int i = 0; good_versions[i]; i++)
        g_assert_true(vt_version_check(good_versions[i], NULL));
    for (int i = 0; bad_versions[i]; i++)
        g_assert_false(vt_version_check(bad_versions[i], NULL));
}

/* SemVer 2.0.0 section 11's own list, and what it leaves open */
static const char *const ascending[] = {
    "0.9.9",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
    "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0",      "1.0.0+a",      "1.0.0+b",       "1.0.1",
    "1.2.0",      "1.10.0",       "2.0.0",         "10.0.0",
    NULL};

static void
test_order(void)
{
    for (int i = 0; ascending[i]; i++) {
        g_assert_cmpint(vt_version_compare(ascending[i], ascending[i]), ==, 0);
        for (int j = i + 1; ascending[j]; j++) {
            g_assert_cmpint(vt_version_compare(ascending[i], ascending[j]), <, 0);
            g_assert_cmpint(vt_version_compare(ascending[j], ascending[i]), >, 0);
        }
    }
}

static void
test_volume(void)
{
    g_autofree char *name = NULL, *version = NULL, *alias = NULL, *none = NULL, *tag = NULL;
    g_autofree char *volume = vt_volume_name("debian-12", "1.2.0+b1");

    g_assert_cmpstr(volume, ==, "debian-12@1.2.0+b1.qcow2");
    g_assert_true(vt_volume_name_parse(volume, &name, &version, NULL));
    g_assert_cmpstr(name, ==, "debian-12");
    g_assert_cmpstr(version, ==, "1.2.0+b1");
    g_assert_true(vt_volume_name_parse("debian-12.qcow2", &alias, &none, NULL));
    g_assert_cmpstr(alias, ==, "debian-12");
    g_assert_null(none);
    g_assert_false(vt_volume_name_parse("debian-12@1.2.0", &alias, &none, NULL));
    g_assert_false(vt_volume_name_parse("../x@1.2.0.qcow2", &alias, &none, NULL));
    tag = vt_version_tag(version);
    g_assert_cmpstr(tag, ==, "1.2.0_b1");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/name/names", test_names);
    g_test_add_func("/name/versions", test_versions);
    g_test_add_func("/name/order", test_order);
    g_test_add_func("/name/volume", test_volume);
    return g_test_run();
}
