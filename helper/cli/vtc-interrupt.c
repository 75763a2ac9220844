/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-interrupt.c: Ctrl-C while there is something half made
 *
 * Theory of operation. A call of libvirt cannot be cut short, and a handler of signals could not
 * undo what others have made. So the signals are blocked in all threads but one, which waits for
 * them and sets a flag; who makes something looks at it before each step.
 */
#include "vtc-interrupt.h"

#include <signal.h>
#include <unistd.h>

/* 128 + SIGINT, as shells have it */
#define EXIT_AT_ONCE 130

struct VtcInterrupt {
    sigset_t signals;
    gint noticed; /* atomic */
};

static gpointer
wait_for_signals(gpointer data)
{
    VtcInterrupt *interrupt = data;
    int which;

    sigwait(&interrupt->signals, &which);
    g_atomic_int_set(&interrupt->noticed, 1);
    g_printerr("virt-template: interrupted; ending when libvirt has answered\n");
    sigwait(&interrupt->signals, &which);
    _exit(EXIT_AT_ONCE);
}

VtcInterrupt *
vtc_interrupt_watch(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP};
    VtcInterrupt *interrupt = g_new0(VtcInterrupt, 1);

    sigemptyset(&interrupt->signals);
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++)
        sigaddset(&interrupt->signals, wanted[i]);
    pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
    g_thread_unref(g_thread_new("signals", wait_for_signals, interrupt));
    return interrupt;
}

bool
vtc_interrupt_check(VtcInterrupt *interrupt, GError **error)
{
    if (!g_atomic_int_get(&interrupt->noticed))
        return true;
    g_set_error_literal(error, VTC_ERROR, VTC_ERROR_INTERRUPTED, "interrupted");
    return false;
}
