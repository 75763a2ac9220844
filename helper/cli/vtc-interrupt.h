/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-interrupt.h: Ctrl-C while there is something half made */
#pragma once

#include "vtc-exit.h"

typedef struct VtcInterrupt VtcInterrupt;

/**
 * vtc_interrupt_watch: Before any other thread is made. From now on SIGINT, SIGTERM and SIGHUP are
 * noticed, not obeyed; a second one ends the process at once.
 *
 * Returns: (transfer none): lives as long as the process
 */
VtcInterrupt *vtc_interrupt_watch(void);

/** vtc_interrupt_check: Any thread. @error: %VTC_ERROR_INTERRUPTED */
bool vtc_interrupt_check(VtcInterrupt *interrupt, GError **error);
