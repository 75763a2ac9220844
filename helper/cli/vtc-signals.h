/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-signals.h: Ctrl-C while a job of the helper goes on */
#pragma once

#include <glib.h>
#include <stdbool.h>

/**
 * VtcSignals: while it exists, Ctrl-C is noticed, not obeyed, also by a program that was started to
 * ignore it. GLib's sources work whichever thread the signal reaches; GDBus has one of its own.
 * @noticed: seen by the default main context
 */
typedef struct {
    unsigned sources[2];
    bool noticed;
} VtcSignals;

/** vtc_signals_watch: @signals: zeroed, stays where it is */
void vtc_signals_watch(VtcSignals *signals);
void vtc_signals_clear(VtcSignals *signals);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcSignals, vtc_signals_clear)

/** vtc_signals_take: Returns: whether there was one since the last time; does not wait */
bool vtc_signals_take(VtcSignals *signals);
