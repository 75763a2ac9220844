/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-event.c: what the daemon logs, when the journal is not there */
#include "vtd-event.h"

#include <gio/gio.h>

static void
test_line(void)
{
    const uint64_t job = 7;

    if (g_test_subprocess()) {
        g_log_set_writer_func(vtd_event_write, NULL, NULL);
        vtd_event_log(VTD_EVENT_REFUSED,
                      &(const VtdEventFields){.name = "x", .reason = "policy", .job = &job},
                      "the store says: %s",
                      "no\nvirttemplated: all is well\x1b[2J\r\t\x7f\xff ümlaut");
        g_message("a pool\nwith a line");
        g_debug("nobody asked for this");
        /* What GDBus says, with all of the message in hexadecimal */
        g_log_structured("GLib-GIO", G_LOG_LEVEL_WARNING, "MESSAGE",
                         "Error decoding D-Bus message of %d bytes: nobody asked", 33554532);
        g_log_structured("GLib-GIO", G_LOG_LEVEL_WARNING, "MESSAGE", "something else");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("* virttemplated: warning: the store says: no\\x0avirttemplated: "
                              "all is well\\x1b[2J\\x0d\\x09\\x7f* ümlaut\n"
                              "* virttemplated: a pool\\x0awith a line\n"
                              "* virttemplated: warning: something else\n");
    g_test_trap_assert_stderr_unmatched("*nobody asked*");
}

static void
test_reason(void)
{
    static const struct {
        int code;
        const char *reason;
        bool refusal;
    } cases[] = {
        {VT_ERROR_FAILED, "failed", false},          {VT_ERROR_INVALID, "invalid", true},
        {VT_ERROR_UNTRUSTED, "untrusted", true},     {VT_ERROR_POLICY, "policy", true},
        {VT_ERROR_CORRUPT, "corrupt", true},         {VT_ERROR_NETWORK, "network", false},
        {VT_ERROR_NO_SPACE, "no-space", false},      {VT_ERROR_NOT_FOUND, "not-found", false},
        {VT_ERROR_TOO_LARGE, "too-large", true},     {VT_ERROR_BUSY, "busy", false},
        {VT_ERROR_DENIED, "denied", false},          {VT_ERROR_EXISTS, "exists", false},
        {VT_ERROR_UNSUPPORTED, "unsupported", true},
    };
    g_autoptr(GError) other = g_error_new(G_IO_ERROR, G_IO_ERROR_FAILED, "of somebody else");

    G_STATIC_ASSERT(G_N_ELEMENTS(cases) == VT_ERROR_LAST);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = g_error_new(VT_ERROR, cases[i].code, "x");

        g_assert_cmpstr(vtd_event_reason(error), ==, cases[i].reason);
        g_assert_true(vtd_event_is_refusal(error) == cases[i].refusal);
    }
    g_assert_cmpstr(vtd_event_reason(other), ==, "failed");
    g_assert_false(vtd_event_is_refusal(other));
    g_assert_false(vtd_event_is_refusal(NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event/line", test_line);
    g_test_add_func("/event/reason", test_reason);
    return g_test_run();
}
