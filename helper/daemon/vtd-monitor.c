/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-monitor.c: what this daemon has counted since it started */
#include "vtd-monitor.h"

/* The largest number of labels below */
#define LABELS_MAX 12
/* Refusals of peers that are logged within REFUSALS_TIME; all are counted */
#define REFUSALS_MAX  20
#define REFUSALS_TIME (G_USEC_PER_SEC * 60)

struct VtdMonitor {
    GMutex lock;
    uint64_t counts[VTD_COUNT_LAST][LABELS_MAX];
    gint64 refusals_since;
    unsigned refusals;
    unsigned unsaid;
};

static const char *const job_labels[] = {
    "kind=\"fetch\",outcome=\"done\"",
    "kind=\"fetch\",outcome=\"failed\"",
    "kind=\"fetch\",outcome=\"cancelled\"",
    "kind=\"verify\",outcome=\"done\"",
    "kind=\"verify\",outcome=\"failed\"",
    "kind=\"verify\",outcome=\"cancelled\"",
    "kind=\"repair\",outcome=\"done\"",
    "kind=\"repair\",outcome=\"failed\"",
    "kind=\"repair\",outcome=\"cancelled\"",
    "kind=\"copy\",outcome=\"done\"",
    "kind=\"copy\",outcome=\"failed\"",
    "kind=\"copy\",outcome=\"cancelled\"",
    NULL,
};
static const char *const refusal_labels[] = {
    "reason=\"untrusted\"",
    "reason=\"policy\"",
    "reason=\"corrupt\"",
    "reason=\"invalid\"",
    "reason=\"unsupported\"",
    "reason=\"too-large\"",
    NULL,
};
static const char *const peer_labels[] = {
    [VTD_PEER_READ_ONLY] = "reason=\"read-only\"",
    [VTD_PEER_NOT_OWNER] = "reason=\"not-owner\"",
    [VTD_PEER_TOO_MANY] = "reason=\"too-many\"",
    [VTD_PEER_AUTHENTICATION] = "reason=\"authentication\"",
    NULL,
};
static const char *const clone_labels[] = {
    [VTD_CLONE_LINKED] = "kind=\"linked\"",
    [VTD_CLONE_COPY] = "kind=\"copy\"",
    [VTD_CLONE_RECORDED] = "kind=\"recorded\"",
    NULL,
};
static const char *const no_labels[] = {"", NULL};

/* https://prometheus.io/docs/specs/om/open_metrics_spec/: a unit is the end of the name */
static const struct {
    const char *name;
    const char *unit;
    const char *help;
    const char *const *labels;
} families[VTD_COUNT_LAST] = {
    [VTD_COUNT_FETCHED_BYTES] = {"fetched_bytes", "bytes", "Received of layers.", no_labels},
    [VTD_COUNT_REQUESTS] = {"store_requests", NULL, "Requests to stores.", no_labels},
    [VTD_COUNT_RETRIES] = {"store_retries", NULL,
                           "Requests to stores that were repeated after a failure.", no_labels},
    [VTD_COUNT_JOBS] = {"jobs_ended", NULL, "Jobs that have ended.", job_labels},
    [VTD_COUNT_REFUSALS] = {"refusals", NULL,
                            "Catalogs and templates that were refused, by fetches and by uses.",
                            refusal_labels},
    [VTD_COUNT_PEER_REFUSALS] = {"peer_refusals", NULL,
                                 "Clients that may not do what they asked for.", peer_labels},
    [VTD_COUNT_CLONES] = {"clones", NULL, "Clones of templates that were made.", clone_labels},
    [VTD_COUNT_EVICTIONS] = {"evictions", NULL, "Versions that were evicted.", no_labels},
    [VTD_COUNT_VERIFIED_BYTES] = {"verified_bytes", "bytes", "Read and verified by verify jobs.",
                                  no_labels},
    [VTD_COUNT_DAMAGED_PLACES] = {"damaged_places", NULL,
                                  "Places of layers that were found damaged.", no_labels},
    [VTD_COUNT_REPAIRED_LAYERS] = {"repaired_layers", NULL, "Layers that were made again.",
                                   no_labels},
    [VTD_COUNT_RECOVERIES] = {"recoveries", NULL,
                              "Jobs and repairs of an earlier run that were taken up or ended.",
                              no_labels},
    [VTD_COUNT_WORKERS] = {"workers_started", NULL, "Worker processes that were started.",
                           no_labels},
    [VTD_COUNT_WORKER_FAILURES] = {"worker_failures", NULL,
                                   "Worker processes that did not start, or were killed by a "
                                   "signal that virttemplated did not send.",
                                   no_labels},
};

VtdMonitor *
vtd_monitor_new(void)
{
    VtdMonitor *monitor = g_new0(VtdMonitor, 1);

    g_mutex_init(&monitor->lock);
    return monitor;
}

void
vtd_monitor_free(VtdMonitor *monitor)
{
    if (!monitor)
        return;
    g_mutex_clear(&monitor->lock);
    g_free(monitor);
}

void
vtd_monitor_add(VtdMonitor *monitor, VtdCounter counter, unsigned label, uint64_t amount)
{
    if (!monitor)
        return;
    g_assert(label < LABELS_MAX);
    g_mutex_lock(&monitor->lock);
    monitor->counts[counter][label] += amount;
    g_mutex_unlock(&monitor->lock);
}

/* What no label is for is not counted */
static void
add_labelled(VtdMonitor *monitor, VtdCounter counter, const char *label)
{
    const char *const *labels = families[counter].labels;

    for (unsigned i = 0; labels[i]; i++) {
        if (g_str_equal(labels[i], label))
            vtd_monitor_add(monitor, counter, i, 1);
    }
}

void
vtd_monitor_job(VtdMonitor *monitor, const char *kind, const char *outcome)
{
    g_autofree char *label = g_strdup_printf("kind=\"%s\",outcome=\"%s\"", kind, outcome);

    add_labelled(monitor, VTD_COUNT_JOBS, label);
}

void
vtd_monitor_refusal(VtdMonitor *monitor, const char *reason)
{
    g_autofree char *label = g_strdup_printf("reason=\"%s\"", reason);

    add_labelled(monitor, VTD_COUNT_REFUSALS, label);
}

bool
vtd_monitor_peer_refused(VtdMonitor *monitor, VtdPeerRefusal reason, unsigned *ret_unsaid)
{
    const gint64 now = g_get_monotonic_time();
    bool said;

    *ret_unsaid = 0;
    if (!monitor)
        return true;
    vtd_monitor_add(monitor, VTD_COUNT_PEER_REFUSALS, reason, 1);
    g_mutex_lock(&monitor->lock);
    if (monitor->refusals == 0 || now - monitor->refusals_since >= REFUSALS_TIME) {
        monitor->refusals = 0;
        monitor->refusals_since = now;
    }
    said = monitor->refusals < REFUSALS_MAX;
    if (said) {
        monitor->refusals++;
        *ret_unsaid = monitor->unsaid;
        monitor->unsaid = 0;
    } else {
        monitor->unsaid++;
    }
    g_mutex_unlock(&monitor->lock);
    return said;
}

void
vtd_family_format(const VtdFamily *family, GString *text)
{
    g_string_append_printf(text, "# TYPE virt_template_%s %s\n", family->name, family->type);
    if (family->unit)
        g_string_append_printf(text, "# UNIT virt_template_%s %s\n", family->name, family->unit);
    g_string_append_printf(text, "# HELP virt_template_%s %s\n", family->name, family->help);
}

void
vtd_monitor_format(VtdMonitor *monitor, GString *text)
{
    g_mutex_lock(&monitor->lock);
    for (unsigned i = 0; i < VTD_COUNT_LAST; i++) {
        const char *name = families[i].name;

        vtd_family_format(&(const VtdFamily){name, "counter", families[i].unit, families[i].help},
                          text);
        for (unsigned j = 0; families[i].labels[j]; j++) {
            const char *label = families[i].labels[j];

            g_string_append_printf(text, "virt_template_%s_total%s%s%s %" G_GUINT64_FORMAT "\n",
                                   name, *label ? "{" : "", label, *label ? "}" : "",
                                   monitor->counts[i][j]);
        }
    }
    g_mutex_unlock(&monitor->lock);
}
