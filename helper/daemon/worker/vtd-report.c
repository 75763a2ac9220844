/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-report.c: what a worker that fills a file says to the daemon */
#include "vtd-report.h"

#include "vt-error.h"
#include "vtd-channel.h"

void
vtd_report_send(const VtdUnpackReport *report)
{
    g_autoptr(GError) error = NULL;

    if (!vtd_channel_send(VTD_WORKER_FD, report, sizeof(*report), NULL, &error))
        g_debug("%s", error->message);
}

int
vtd_report_end(VtdUnpackReport *last, bool done, const GError *error)
{
    if (!done) {
        last->code = error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;
        g_strlcpy(last->message, error->message, sizeof(last->message));
    }
    last->ended = 1;
    vtd_report_send(last);
    return done ? 0 : 1;
}
