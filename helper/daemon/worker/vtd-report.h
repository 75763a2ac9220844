/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-report.h: what a worker that fills a file says to the daemon */
#pragma once

#include "vtd-worker-protocol.h"

#include <glib.h>
#include <stdbool.h>

/** vtd_report_send: A daemon that is gone ends the process, so this cannot fail */
void vtd_report_send(const VtdUnpackReport *report);

/**
 * vtd_report_end:
 * @last: what was reported last
 * @done: whether the file is complete
 * @error: why it is not
 *
 * Returns: the exit status
 */
int vtd_report_end(VtdUnpackReport *last, bool done, const GError *error);
