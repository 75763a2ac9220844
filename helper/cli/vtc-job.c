/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-job.c: waiting for a job of the helper */
#include "vtc-job.h"

#include "vtc-progress.h"

#include <glib-unix.h>
#include <signal.h>
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

/* ---- Ctrl-C ---- */

/**
 * Interrupts: while it exists, Ctrl-C is noticed, not obeyed, so that the job can be cancelled.
 * GLib's signal sources work whichever thread the signal reaches; GDBus has one of its own.
 */
typedef struct {
    unsigned sources[2];
    bool noticed;
} Interrupts;

static gboolean
notice(gpointer user)
{
    ((Interrupts *)user)->noticed = true;
    return G_SOURCE_CONTINUE;
}

static void
interrupts_watch(Interrupts *interrupts)
{
    static const int signals[] = {SIGINT, SIGTERM};

    G_STATIC_ASSERT(G_N_ELEMENTS(signals) == G_N_ELEMENTS(interrupts->sources));
    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
        interrupts->sources[i] = g_unix_signal_add(signals[i], notice, interrupts);
}

static void
interrupts_clear(Interrupts *interrupts)
{
    for (size_t i = 0; i < G_N_ELEMENTS(interrupts->sources); i++) {
        if (interrupts->sources[i] > 0)
            g_source_remove(interrupts->sources[i]);
    }
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Interrupts, interrupts_clear)

/* Returns: whether there was one since the last time */
static bool
interrupts_take(Interrupts *interrupts)
{
    bool noticed;

    while (g_main_context_iteration(NULL, FALSE))
        ;
    noticed = interrupts->noticed;
    interrupts->noticed = false;
    return noticed;
}

/* ---- the job ---- */

/* Returns: whether @status is that of a job that is done; *@ret_ended also when it failed */
static bool
judge(GVariant *status, bool *ret_ended, GError **error)
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
    g_auto(Interrupts) interrupts = {0};
    bool ended = false;

    vtc_progress_init(&bar, progress);
    interrupts_watch(&interrupts);
    while (!ended) {
        if (!poll_job(client, job, &status, error) || !judge(status, &ended, error))
            return false;
        if (!ended && interrupts_take(&interrupts) &&
            !vtc_client_call(client, "CancelJob", g_variant_new("(t)", job), "()", NULL, error))
            return false;
        vtc_progress_draw(&bar, vtc_job_text(status, "phase"), vtc_job_number(status, "done"),
                          vtc_job_number(status, "total"));
    }
    *ret_status = g_steal_pointer(&status);
    return true;
}
