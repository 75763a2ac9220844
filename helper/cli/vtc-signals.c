/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-signals.c: Ctrl-C while a job of the helper goes on */
#include "vtc-signals.h"

#include <glib-unix.h>
#include <signal.h>

static gboolean
notice(gpointer user)
{
    ((VtcSignals *)user)->noticed = true;
    return G_SOURCE_CONTINUE;
}

void
vtc_signals_watch(VtcSignals *signals)
{
    static const int wanted[] = {SIGINT, SIGTERM};

    G_STATIC_ASSERT(G_N_ELEMENTS(wanted) == G_N_ELEMENTS(signals->sources));
    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++)
        signals->sources[i] = g_unix_signal_add(wanted[i], notice, signals);
}

void
vtc_signals_clear(VtcSignals *signals)
{
    for (gsize i = 0; i < G_N_ELEMENTS(signals->sources); i++)
        g_clear_handle_id(&signals->sources[i], g_source_remove);
}

bool
vtc_signals_take(VtcSignals *signals)
{
    bool noticed;

    while (g_main_context_iteration(NULL, FALSE))
        ;
    noticed = signals->noticed;
    signals->noticed = false;
    return noticed;
}
