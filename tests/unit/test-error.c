/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-error.h"

#include <errno.h>

static void
test_names(void)
{
    for (int code = 0; code < VT_ERROR_LAST; code++)
        g_assert_cmpint(vt_error_from_dbus_name(vt_error_dbus_name(code)), ==, code);
    g_assert_cmpstr(vt_error_dbus_name(VT_ERROR_LAST), ==, "virttemplate.Error.Failed");
    g_assert_cmpint(vt_error_from_dbus_name("org.freedesktop.DBus.Error.NoReply"), ==,
                    VT_ERROR_FAILED);
}

static void
test_errno(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_throw_errno(&error, EDQUOT, "cannot write '%s'", "a"));
    g_assert_error(error, VT_ERROR, VT_ERROR_NO_SPACE);
    g_assert_true(g_str_has_prefix(error->message, "cannot write 'a': "));
    /* the first error is the one that counts */
    g_assert_false(vt_throw(&error, VT_ERROR_BUSY, "later"));
    g_assert_error(error, VT_ERROR, VT_ERROR_NO_SPACE);
    g_assert_false(vt_throw(NULL, VT_ERROR_BUSY, "nobody listens"));
}

static const struct {
    const char *given, *shown;
} messages[] = {
    {"plain", "plain"},
    {"two\nlines", "two\nlines"},
    /* a character that was cut, and bytes that never were one */
    {"K\xc3\xb6ln K\xc3", "K\xc3\xb6ln K\xef\xbf\xbd"},
    {"\xff", "\xef\xbf\xbd"},
    /* ESC ]0; sets the title of a terminal; U+009B is CSI in one character */
    {"a\x1b]0;b\x07", "a?]0;b?"},
    {"a\xc2\x9b"
     "2J\x7f\r",
     "a??2J??"},
};

static void
test_message(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(messages); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_throw(&error, VT_ERROR_FAILED, "%s", messages[i].given));
        g_assert_cmpstr(error->message, ==, messages[i].shown);
    }
}

static const struct {
    int number, code;
} numbers[] = {
    {ENOSPC, VT_ERROR_NO_SPACE}, {EDQUOT, VT_ERROR_NO_SPACE}, {ENOENT, VT_ERROR_NOT_FOUND},
    {EEXIST, VT_ERROR_EXISTS},   {EACCES, VT_ERROR_DENIED},   {EPERM, VT_ERROR_DENIED},
    {EIO, VT_ERROR_FAILED},
};

static void
test_numbers(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_throw_errno(&error, numbers[i].number, "it"));
        g_assert_error(error, VT_ERROR, numbers[i].code);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/names", test_names);
    g_test_add_func("/error/errno", test_errno);
    g_test_add_func("/error/numbers", test_numbers);
    g_test_add_func("/error/message", test_message);
    return g_test_run();
}
