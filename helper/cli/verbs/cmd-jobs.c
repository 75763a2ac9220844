/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-jobs.c: virt-template jobs: what the helper does and did */
#include "vtc-follow.h"
#include "vtc-job.h"
#include "vtc-print.h"
#include "vtc-verb.h"

static char *
describe_progress(GVariant *status)
{
    uint64_t done = vtc_job_number(status, "done"), total = vtc_job_number(status, "total");

    if (total == 0)
        return g_strdup("-");
    return g_strdup_printf("%d%%", (int)((double)MIN(done, total) / (double)total * 100));
}

/* A job that found no current version has none */
static char *
describe_template(GVariant *status)
{
    const char *version = vtc_job_text(status, "version");

    return g_strconcat(vtc_job_text(status, "name"), *version ? "@" : "", version, NULL);
}

static void
add_row(VtcTable *table, GVariant *status)
{
    g_autofree char *id = g_strdup_printf("%" G_GUINT64_FORMAT, vtc_job_number(status, "id"));
    g_autofree char *what = describe_template(status);
    g_autofree char *progress = describe_progress(status);
    g_autofree char *received = vtc_print_size(vtc_job_number(status, "received"));
    g_autofree char *elapsed = vtc_print_duration(vtc_job_elapsed_us(status, g_get_real_time()));
    const char *const cells[] = {id,       vtc_job_text(status, "kind"),
                                 what,     vtc_job_text(status, "state"),
                                 progress, received,
                                 elapsed,  vtc_job_text(status, "message"),
                                 NULL};

    vtc_table_add(table, cells);
}

/* What --cancel is when it is not given */
#define NO_JOB G_MININT64

static void
print_jobs(GVariant *jobs)
{
    static const char *const titles[] = {">JOB",      "KIND",  "TEMPLATE", "STATE", ">DONE",
                                         ">RECEIVED", ">TIME", "MESSAGE",  NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    g_autofree char *text = NULL;

    for (gsize i = 0; i < g_variant_n_children(jobs); i++) {
        g_autoptr(GVariant) status = g_variant_get_child_value(jobs, i);

        add_row(table, status);
    }
    text = vtc_table_format(table);
    g_print("%s", text);
}

static bool
list(VtcClient *client, bool json, GError **error)
{
    g_autoptr(GVariant) reply = NULL, jobs = NULL;

    if (!vtc_client_call(client, "ListJobs", NULL, "(aa{sv})", &reply, error))
        return false;
    jobs = g_variant_get_child_value(reply, 0);
    if (json)
        vtc_print_json(json_pack("{s:o}", "jobs", vtc_print_variant(jobs)));
    else
        print_jobs(jobs);
    return true;
}

/* @word: (nullable): behind --follow; @ret_job: 0 is all */
static bool
parse_followed(bool follow, const char *word, guint64 *ret_job, GError **error)
{
    *ret_job = 0;
    if (!word)
        return true;
    if (!follow)
        return vtc_usage(error, "'%s' is one argument too many; to follow a job: --follow %s", word,
                         word);
    return g_ascii_string_to_unsigned(word, 10, 1, G_MAXINT64, ret_job, NULL) ||
           vtc_usage(error, "'%s' is not the number of a job; 'virt-template jobs' lists them",
                     word);
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(GStrv) words = NULL;
    g_autoptr(VtcClient) client = NULL;
    gboolean json = FALSE, follow = FALSE;
    guint64 followed;
    gint64 cancel = NO_JOB;
    const GOptionEntry entries[] = {
        {"cancel", 0, 0, G_OPTION_ARG_INT64, &cancel, "Cancel one instead of listing them", "JOB"},
        {"follow", 0, 0, G_OPTION_ARG_NONE, &follow,
         "Show jobs as they go on: all, or JOB until it ends", NULL},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        VTC_SOCKET_ENTRIES(helper),
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !parse_followed(follow, words[0], &followed, error))
        return false;
    if (follow && cancel != NO_JOB)
        return vtc_usage(error, "--follow and --cancel do not go together");
    if (cancel != NO_JOB && cancel < 0)
        return vtc_usage(error,
                         "--cancel %" G_GINT64_FORMAT " is not the number of a job; "
                         "'virt-template jobs' lists them",
                         cancel);
    if (!vtc_client_open(&helper, cancel != NO_JOB, &client, error))
        return false;
    if (cancel != NO_JOB)
        return vtc_client_call(client, "CancelJob", g_variant_new("(t)", (guint64)cancel), "()",
                               NULL, error);
    return follow ? vtc_follow(client, followed, json, error) : list(client, json, error);
}

const VtcVerb vtc_verb_jobs = {
    .name = "jobs",
    .words = "[JOB]",
    .words_max = 1,
    .summary = "List what virttemplated is doing, and did last",
    .run = run,
};
