/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-pull.c: virt-template pull NAME[@VERSION] */
#include "vt-size.h"
#include "vtc-cost.h"
#include "vtc-job.h"
#include "vtc-pool.h"
#include "vtc-print.h"
#include "vtc-verb.h"

/* @limit_rate: bytes per second, 0: no limit */
static bool
start_fetch(const VtcTarget *target, uint64_t limit_rate, uint64_t *ret_job, GError **error)
{
    g_autoptr(GVariant) reply = NULL;
    GVariantDict options;
    guint64 job = 0;

    g_variant_dict_init(&options, NULL);
    if (limit_rate > 0)
        g_variant_dict_insert(&options, "limit-rate", "t", limit_rate);

    if (!vtc_client_call(target->client, "Fetch",
                         g_variant_new("(sss@a{sv})", target->pool->target, target->name,
                                       target->version, g_variant_dict_end(&options)),
                         "(t)", &reply, error))
        return false;
    g_variant_get(reply, "(t)", &job);
    *ret_job = job;
    return true;
}

static void
print_result(const VtcTarget *target, GVariant *status)
{
    uint64_t received = vtc_job_number(status, "received");
    int64_t elapsed_us = vtc_job_elapsed_us(status, g_get_real_time());
    g_autofree char *size = vtc_print_size(received), *rate = NULL;
    g_autofree char *elapsed = vtc_print_duration(elapsed_us);
    const char *version = vtc_job_text(status, "version");

    if (received == 0) {
        g_print("%s@%s is here: %s\n", target->name, version, vtc_job_text(status, "path"));
        return;
    }
    rate = vtc_print_size((uint64_t)((double)received * 1e6 / (double)MAX(elapsed_us, 1)));
    g_print("%s@%s is here: %s\n"
            "  received %s in %s (%s/s), verified\n",
            target->name, version, vtc_job_text(status, "path"), size, elapsed, rate);
}

/* What it would take; nothing is fetched */
static bool
print_cost(const VtcTarget *target, bool json, GError **error)
{
    json_t *cost = NULL;

    if (!vtc_cost_ask(target, true, &cost, error))
        return false;
    if (json) {
        vtc_print_json(cost);
    } else {
        g_autofree char *sum = vtc_cost_sum(cost), *layers = vtc_cost_layers(cost);

        g_print("%s@%s: %s\n\n%s", target->name,
                json_string_value(json_object_get(cost, "version")), sum, layers);
        json_decref(cost);
    }
    return true;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcTarget) target = {0};
    g_autoptr(GVariant) status = NULL;
    g_autoptr(GError) local = NULL;
    g_auto(GStrv) words = NULL;
    gboolean detach = FALSE, quiet = FALSE, dry_run = FALSE, json = FALSE;
    g_autofree char *limit = NULL;
    uint64_t job = 0, limit_rate = 0;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        {"detach", 'd', 0, G_OPTION_ARG_NONE, &detach, "Do not wait; see 'virt-template jobs'",
         NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &dry_run,
         "Say what it would take, and fetch nothing", NULL},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "With --dry-run: print JSON", NULL},
        {"limit-rate", 0, 0, G_OPTION_ARG_STRING, &limit,
         "Receive at most this per second, e.g. 10M", "RATE"},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "No progress bar, no summary", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error))
        return false;
    if (json && !dry_run)
        return vtc_usage(error, "--json is for --dry-run");
    if (limit && !vt_rate_parse(limit, &limit_rate, &local))
        return vtc_usage(error, "--limit-rate: %s", local->message);
    if (!vtc_target_open(&helper, !dry_run, words[0], &target, error))
        return false;
    if (dry_run)
        return print_cost(&target, json, error);
    if (!start_fetch(&target, limit_rate, &job, error))
        return false;
    if (detach) {
        g_print("job %" G_GUINT64_FORMAT "\n", job);
        return true;
    }
    if (!vtc_job_wait(target.client, job, !quiet, &status, error))
        return false;
    if (!quiet)
        print_result(&target, status);
    return true;
}

const VtcVerb vtc_verb_pull = {
    .name = "pull",
    .words = "NAME[@VERSION]",
    .words_min = 1,
    .words_max = 1,
    .summary = "Bring a template to this host, verified",
    .detail = "Without a version: the current one. Ctrl-C cancels; what was received is kept\n"
              "for the next time.",
    .run = run,
};
