/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-policy-file.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *
write_policy(const char *directory, const char *text)
{
    char *path = g_build_filename(directory, "policy.json", NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void
check_refused(const char *path, const char *message)
{
    g_autoptr(GError) error = NULL;
    VtPolicy *policy = NULL;

    g_assert_false(vt_policy_load(path, &policy, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_POLICY);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_nonnull(strstr(error->message, "everything is rejected"));
    g_assert_nonnull(strstr(error->message, message));
    g_assert_null(policy);
}

/* The example in the message is itself a policy that is accepted */
static void
test_absent(void)
{
    g_autofree char *directory = g_dir_make_tmp("vt-policy-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "none.json", NULL), *written = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(VtPolicy) policy = NULL, none = NULL;
    const char *begin, *end;
    g_autofree char *example = NULL;

    check_refused(path, "virt-template-policy(5)");
    g_assert_false(vt_policy_load(path, &none, &error));
    begin = strchr(error->message, '{');
    end = strrchr(error->message, '}');
    example = g_strndup(begin, (gsize)(end - begin) + 1);
    written = write_policy(directory, example);
    g_assert_true(vt_policy_load(written, &policy, NULL));
    g_assert_cmpint(
        ((VtRequirement *)vt_policy_lookup(policy, VT_TRANSPORT_OCI, "/srv/golden", NULL)->pdata[0])
            ->type,
        ==, VT_REQUIREMENT_SIGSTORE_SIGNED);
    g_assert_cmpint(g_unlink(written), ==, 0);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

static void
test_refuse(void)
{
    g_autofree char *directory = g_dir_make_tmp("vt-policy-XXXXXX", NULL);
    g_autofree char *path = write_policy(directory, "{\"default\":[]}");
    g_autofree char *link = g_build_filename(directory, "link.json", NULL);

    check_refused(path, "default: is empty");
    check_refused(directory, "regular file");
    g_assert_cmpint(symlink(path, link), ==, 0);
    check_refused(link, "regular file");
    g_assert_cmpint(truncate(path, VT_POLICY_MAX + 1), ==, 0);
    check_refused(path, "more than");
    g_assert_cmpint(g_unlink(link), ==, 0);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(directory), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy-file/absent", test_absent);
    g_test_add_func("/policy-file/refuse", test_refuse);
    return g_test_run();
}
