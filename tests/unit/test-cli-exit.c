/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vtc-doctor.h"
#include "vtc-exit.h"
#include "vtc-image.h"

#include <gio/gio.h>
#include <string.h>

static bool
is_documented(int status)
{
    for (const VtcExit *row = vtc_exit_table(); row->meaning; row++) {
        if (row->status == status)
            return true;
    }
    return false;
}

/* Every error has a status that the table explains, and none is a success */
static void
test_all(void)
{
    for (int code = 0; code < VT_ERROR_LAST; code++) {
        g_autoptr(GError) error = g_error_new(VT_ERROR, code, "x");

        g_assert_cmpint(vtc_exit_status(error), !=, 0);
        g_assert_true(is_documented(vtc_exit_status(error)));
    }
    for (int code = VTC_ERROR_USAGE; code <= VTC_ERROR_INTERRUPTED; code++) {
        g_autoptr(GError) error = g_error_new(VTC_ERROR, code, "x");

        g_assert_cmpint(vtc_exit_status(error), !=, 0);
        g_assert_true(is_documented(vtc_exit_status(error)));
    }
}

static void
test_values(void)
{
    static const struct {
        int code;
        int status;
    } cases[] = {
        {VT_ERROR_FAILED, 1},
        {VT_ERROR_INVALID, 2},
        {VT_ERROR_NOT_FOUND, 3},
        {VT_ERROR_UNTRUSTED, 4},
        {VT_ERROR_POLICY, 4},
        {VT_ERROR_CORRUPT, 5},
        {VT_ERROR_NETWORK, 6},
        {VT_ERROR_BUSY, 7},
        {VT_ERROR_NO_SPACE, 8},
        {VT_ERROR_EXISTS, 10},
        {VT_ERROR_DENIED, 11},
        {VT_ERROR_LAST, 1},
        {-1, 1},
    };
    g_autoptr(GError) cancelled = g_error_new(G_IO_ERROR, G_IO_ERROR_CANCELLED, "x");
    g_autoptr(GError) usage = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = g_error_new(VT_ERROR, cases[i].code, "x");

        g_assert_cmpint(vtc_exit_status(error), ==, cases[i].status);
    }
    g_assert_cmpint(vtc_exit_status(NULL), ==, 0);
    g_assert_cmpint(vtc_exit_status(cancelled), ==, 130);
    g_assert_false(vtc_usage(&usage, "no %s", "verb"));
    g_assert_cmpstr(usage->message, ==, "no verb");
    g_assert_cmpint(vtc_exit_status(usage), ==, 2);
}

/* CVE-2024-4467 */
static void
test_qemu(void)
{
    static const char *const safe[] = {
        "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)",
        "7.2.9 (Debian 1:7.2+dfsg-7+deb12u7)",
        "7.2.13",
        "8.2.6",
        "9.0.2",
        "9.1.0",
        "10.0.3 (Debian 1:10.0.3+ds-0+deb13u1)",
    };
    static const char *const unsafe[] = {
        "7.2.9 (Debian 1:7.2+dfsg-7+deb12u6)",
        "7.2.12",
        "8.1.9",
        "8.2.5",
        "9.0.1",
        "5.2.0",
        "",
        "unknown",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(safe); i++)
        g_assert_true(vtc_qemu_is_safe(safe[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(unsafe); i++)
        g_assert_false(vtc_qemu_is_safe(unsafe[i]));
}

static void
test_image_format(void)
{
    uint8_t header[512] = {0};

    g_assert_cmpstr(vtc_image_format(header, sizeof(header)), ==, "raw");
    memcpy(header, "QFI\xfb", 4);
    g_assert_cmpstr(vtc_image_format(header, sizeof(header)), ==, "qcow2");
    g_assert_cmpstr(vtc_image_format(header, 4), ==, "qcow2");
    /* shorter than the magic: nothing behind the end is looked at */
    g_assert_cmpstr(vtc_image_format(header, 3), ==, "raw");
    g_assert_cmpstr(vtc_image_format(header, 0), ==, "raw");
    memset(header, 0, sizeof(header));
    memcpy(header + 64, "\x7f\x10\xda\xbe", 4);
    g_assert_cmpstr(vtc_image_format(header, sizeof(header)), ==, "vdi");
    g_assert_cmpstr(vtc_image_format(header, 67), ==, "raw");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli-exit/all", test_all);
    g_test_add_func("/cli-exit/values", test_values);
    g_test_add_func("/cli-doctor/qemu", test_qemu);
    g_test_add_func("/cli-image/format", test_image_format);
    return g_test_run();
}
