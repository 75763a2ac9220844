/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-job.c: waiting for a job of the helper */
#include "vtc-job.h"

#include "vtc-progress.h"
#include "vtc-signals.h"

#include <string.h>

/* As often as the bar is drawn, and as quickly as Ctrl-C is noticed */
#define WAIT_MS 200

const char *
vtc_job_text(GVariant *status, const char *key)
{
    const char *text = "";

    g_variant_lookup(status, key, "&s", &text);
    return text;
}

uint64_t
vtc_job_number(GVariant *status, const char *key)
{
    guint64 number = 0;

    g_variant_lookup(status, key, "t", &number);
    return number;
}

int64_t
vtc_job_elapsed_us(GVariant *status, int64_t now_us)
{
    uint64_t ended = vtc_job_number(status, "ended");
    int64_t end = ended > 0 ? (int64_t)MIN(ended, (uint64_t)G_MAXINT64) : now_us;

    return MAX(end - (int64_t)MIN(vtc_job_number(status, "started"), (uint64_t)G_MAXINT64), 0);
}

bool
vtc_job_judge(GVariant *status, bool *ret_ended, GError **error)
{
    const char *state = vtc_job_text(status, "state");
    const char *message = vtc_job_text(status, "message");

    *ret_ended = strcmp(state, "running") != 0;
    if (strcmp(state, "cancelled") == 0) {
        g_set_error(error, VTC_ERROR, VTC_ERROR_INTERRUPTED, "the job was cancelled");
        return false;
    }
    if (strcmp(state, "failed") == 0)
        return vt_throw(error, vt_error_from_dbus_name(vtc_job_text(status, "error")), "%s",
                        *message ? message : "the job failed");
    return true;
}

static bool
poll_job(VtcClient *client, uint64_t job, GVariant **ret_status, GError **error)
{
    g_autoptr(GVariant) reply = NULL;

    if (!vtc_client_call(client, "JobWait", g_variant_new("(tu)", job, WAIT_MS), "(a{sv})", &reply,
                         error))
        return false;
    g_clear_pointer(ret_status, g_variant_unref);
    *ret_status = g_variant_get_child_value(reply, 0);
    return true;
}

bool
vtc_job_wait(VtcClient *client, uint64_t job, bool progress, GVariant **ret_status, GError **error)
{
    g_autoptr(GVariant) status = NULL;
    g_auto(VtcProgress) bar = {0};
    g_auto(VtcSignals) signals = {0};
    bool ended = false;

    vtc_progress_init(&bar, progress);
    vtc_signals_watch(&signals);
    while (!ended) {
        if (!poll_job(client, job, &status, error) || !vtc_job_judge(status, &ended, error))
            return false;
        if (!ended && vtc_signals_take(&signals) &&
            !vtc_client_call(client, "CancelJob", g_variant_new("(t)", job), "()", NULL, error))
            return false;
        vtc_progress_draw(&bar, vtc_job_text(status, "phase"), vtc_job_number(status, "done"),
                          vtc_job_number(status, "total"));
    }
    *ret_status = g_steal_pointer(&status);
    return true;
}
