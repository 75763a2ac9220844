/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-follow.c: shows jobs while they go on */
#include "vtc-follow.h"

#include "vtc-job.h"
#include "vtc-print.h"
#include "vtc-signals.h"

#include <stdio.h>

/* @result: why @job failed; @over: whether there is nothing to wait for */
typedef struct {
    uint64_t job;
    bool json;
    bool over;
    GError *result;
} Follow;

/* {"event": "progress", "job": {...}} */
static void
print_json_line(const char *event, GVariant *status)
{
    json_t *root = json_pack("{s:s, s:o}", "event", event, "job", vtc_print_variant(status));
    char *text = json_dumps(root, JSON_COMPACT);

    g_print("%s\n", text);
    free(text);
    json_decref(root);
}

static char *
describe_running(GVariant *status)
{
    const uint64_t done = vtc_job_number(status, "done"), total = vtc_job_number(status, "total");
    g_autofree char *received = vtc_print_size(vtc_job_number(status, "received"));
    const char *phase = vtc_job_text(status, "phase");

    if (total == 0)
        return g_strdup(*phase ? phase : "running");
    return g_strdup_printf("%s %d%%, %s received", phase,
                           (int)((double)MIN(done, total) / (double)total * 100), received);
}

static char *
describe_ended(GVariant *status)
{
    g_autofree char *received = vtc_print_size(vtc_job_number(status, "received"));
    g_autofree char *time = vtc_print_duration(vtc_job_elapsed_us(status, 0));
    const char *message = vtc_job_text(status, "message");

    return g_strdup_printf("%s after %s, %s received%s%s", vtc_job_text(status, "state"), time,
                           received, *message ? ": " : "", message);
}

/* 7  fetch debian@1.0.0  transfer 45%, 4.4 MiB received */
static void
print_line(GVariant *status, bool ended)
{
    g_autofree char *text = ended ? describe_ended(status) : describe_running(status);
    const char *version = vtc_job_text(status, "version");
    g_autofree char *line =
        g_strdup_printf("%" G_GUINT64_FORMAT "  %s %s%s%s  %s", vtc_job_number(status, "id"),
                        vtc_job_text(status, "kind"), vtc_job_text(status, "name"),
                        *version ? "@" : "", version, text);
    g_autofree char *plain = vtc_print_plain(line);

    g_print("%s\n", plain);
}

static void
show(Follow *follow, const char *event, GVariant *status)
{
    const bool mine = follow->job == vtc_job_number(status, "id");
    bool ended = false;
    g_autoptr(GError) failure = NULL;

    if (follow->over || (follow->job != 0 && !mine))
        return;
    (void)vtc_job_judge(status, &ended, &failure);
    if (follow->json)
        print_json_line(event, status);
    else
        print_line(status, ended);
    /* Who reads this may have gone: head(1) */
    follow->over = (mine && ended) || ferror(stdout) != 0;
    if (mine && ended)
        follow->result = g_steal_pointer(&failure);
}

static void
on_changed(GDBusConnection *connection, const char *sender, const char *path, const char *interface,
           const char *signal, GVariant *arguments, gpointer user)
{
    g_autoptr(GVariant) status = NULL;
    const char *event;

    if (!g_variant_is_of_type(arguments, G_VARIANT_TYPE("(sa{sv})")))
        return;
    g_variant_get(arguments, "(&s@a{sv})", &event, &status);
    show(user, event, status);
}

/* What runs already, and a job that has ended already */
static bool
show_present(Follow *follow, VtcClient *client, GError **error)
{
    g_autoptr(GVariant) reply = NULL, jobs = NULL, status = NULL;

    if (follow->job != 0) {
        if (!vtc_client_call(client, "JobWait", g_variant_new("(tu)", follow->job, 0), "(a{sv})",
                             &reply, error))
            return false;
        status = g_variant_get_child_value(reply, 0);
        show(follow, "present", status);
        return true;
    }
    if (!vtc_client_call(client, "ListJobs", NULL, "(aa{sv})", &reply, error))
        return false;
    jobs = g_variant_get_child_value(reply, 0);
    for (gsize i = g_variant_n_children(jobs); i > 0; i--) {
        g_autoptr(GVariant) one = g_variant_get_child_value(jobs, i - 1);

        if (g_strcmp0(vtc_job_text(one, "state"), "running") == 0)
            show(follow, "present", one);
    }
    return true;
}

bool
vtc_follow(VtcClient *client, uint64_t job, bool json, GError **error)
{
    Follow follow = {.job = job, .json = json};
    g_auto(VtcSignals) signals = {0};

    vtc_signals_watch(&signals);
    if (!vtc_client_follow(client, on_changed, &follow, error) ||
        !show_present(&follow, client, error))
        return false;
    while (!follow.over && !signals.noticed && vtc_client_check(client, error))
        g_main_context_iteration(NULL, TRUE);
    if (follow.result)
        g_propagate_error(error, follow.result);
    else if (signals.noticed)
        g_set_error(error, VTC_ERROR, VTC_ERROR_INTERRUPTED, "interrupted");
    return follow.over && !follow.result;
}
