/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-verify.c: virt-template verify [--repair] NAME[@VERSION] */
#include "vtc-job.h"
#include "vtc-pool.h"
#include "vtc-print.h"
#include "vtc-verb.h"

static bool
run_job(const VtcTarget *target, const char *method, bool progress, GVariant **ret_status,
        GError **error)
{
    g_autoptr(GVariant) reply = NULL;
    guint64 job = 0;

    if (!vtc_target_call(target, method, "(t)", &reply, error))
        return false;
    g_variant_get(reply, "(t)", &job);
    return vtc_job_wait(target->client, job, progress, ret_status, error);
}

static void
print_intact(const VtcTarget *target, GVariant *status)
{
    g_autofree char *size = vtc_print_size(vtc_job_number(status, "total"));
    g_autofree char *elapsed = vtc_print_duration(vtc_job_elapsed_us(status, g_get_real_time()));

    g_print("%s@%s is intact: %s checked against the index in %s\n", target->name,
            vtc_job_text(status, "version"), size, elapsed);
}

static void
print_repaired(const VtcTarget *target, GVariant *status)
{
    g_autofree char *size = vtc_print_size(vtc_job_number(status, "received"));

    g_print("%s@%s is intact now: %s\n  received %s\n", target->name,
            vtc_job_text(status, "version"), vtc_job_text(status, "message"), size);
}

/* A program wants the verdict as JSON also when it is bad */
static void
print_json(const VtcTarget *target, GVariant *status, const GError *failure)
{
    const char *version = status ? vtc_job_text(status, "version") : target->version;
    json_t *object = json_pack("{s:s, s:s, s:s, s:b}", "name", target->name, "version", version,
                               "pool", target->pool->name, "intact", failure == NULL);

    if (failure)
        json_object_set_new(object, "reason", json_string(failure->message));
    else
        json_object_set_new(object, "checked",
                            json_integer((json_int_t)vtc_job_number(status, "total")));
    if (status && *vtc_job_text(status, "message"))
        json_object_update_new(object, json_pack("{s:s, s:I}", "repaired",
                                                 vtc_job_text(status, "message"), "received",
                                                 (json_int_t)vtc_job_number(status, "received")));
    vtc_print_json(object);
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcTarget) target = {0};
    g_autoptr(GVariant) status = NULL;
    g_autoptr(GError) failure = NULL;
    g_auto(GStrv) words = NULL;
    gboolean json = FALSE, quiet = FALSE, repair = FALSE;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        {"repair", 'r', 0, G_OPTION_ARG_NONE, &repair, "Make damaged layers again", NULL},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "No progress bar, no summary", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_target_open(&helper, true, words[0], &target, error))
        return false;
    run_job(&target, repair ? "Repair" : "Verify", !json && !quiet, &status, &failure);
    if (json)
        print_json(&target, status, failure);
    else if (!failure && !quiet)
        (*vtc_job_text(status, "message") ? print_repaired : print_intact)(&target, status);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return !error || !*error;
}

const VtcVerb vtc_verb_verify = {
    .name = "verify",
    .words = "NAME[@VERSION]",
    .words_min = 1,
    .words_max = 1,
    .summary = "Hash the local copy of a template again",
    .detail = "Compares every layer with its signed index. Without a version: the current one.\n"
              "With --repair, damaged layers are made again: what is right is kept, and only\n"
              "the damaged frames are fetched.",
    .run = run,
};
