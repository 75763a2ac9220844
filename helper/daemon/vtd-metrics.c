/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-metrics.c: what this daemon has counted, and how things are, as OpenMetrics text
 *
 * https://prometheus.io/docs/specs/om/open_metrics_spec/: all samples of a family stand together,
 * below what it is; "# EOF" says that the text is whole. Labels have values of which there are few:
 * pools, and words of our own; never names of templates.
 */
#include "vtd-metrics.h"

#include "vt-pool.h"
#include "vtd-pool.h"

#include <math.h>

/* Who asks does not wait longer for a directory: what was measured before is what there is */
#define WAIT_S 2
/* Everybody may ask; the disk is looked at no more often */
#define FRESH_TIME (G_USEC_PER_SEC * 1)

/* @since: wall clock, microseconds; @known: whether the pool could be read */
typedef struct {
    VtPoolUse use;
    gint64 since;
    gint64 ended; /* monotonic */
    bool known;
} Measured;

struct VtdMetrics {
    gint64 started;        /* wall clock */
    GHashTable *pools;     /* (element-type utf8 Measured) */
    GHashTable *measuring; /* (element-type utf8 gint64): since when, monotonic */
    GPtrArray *asks;       /* (element-type Ask) */
};

typedef struct {
    VtdMetrics *metrics;
    VtdMeasured done;
    void *user;
    guint timer;
} Ask;

/* ---- measuring ---- */

typedef struct {
    VtdMetrics *metrics;
    char *target;
    Measured now;
} Measurement;

static void
answer(Ask *ask)
{
    g_clear_handle_id(&ask->timer, g_source_remove);
    ask->done(ask->user);
    g_free(ask);
}

static void
answer_all(VtdMetrics *metrics)
{
    g_autoptr(GPtrArray) asks = g_steal_pointer(&metrics->asks);

    metrics->asks = g_ptr_array_new();
    for (guint i = 0; i < asks->len; i++)
        answer(asks->pdata[i]);
}

static gboolean
waited_enough(gpointer data)
{
    Ask *ask = data;

    ask->timer = 0;
    g_ptr_array_remove_fast(ask->metrics->asks, ask);
    answer(ask);
    return G_SOURCE_REMOVE;
}

/* Whether a directory is being measured that may answer in time */
static bool
may_end(const VtdMetrics *metrics)
{
    const gint64 now = g_get_monotonic_time();
    GHashTableIter iter;
    gpointer since;
    bool may = false;

    g_hash_table_iter_init(&iter, metrics->measuring);
    while (!may && g_hash_table_iter_next(&iter, NULL, &since))
        may = now - *(const gint64 *)since < WAIT_S * G_USEC_PER_SEC;
    return may;
}

/* What was measured before stays */
static void
forget(Measurement *measurement)
{
    g_hash_table_remove(measurement->metrics->measuring, measurement->target);
    g_free(measurement->target);
    g_free(measurement);
}

/* In the main thread */
static gboolean
measured(gpointer data)
{
    Measurement *measurement = data;
    VtdMetrics *metrics = measurement->metrics;

    measurement->now.ended = g_get_monotonic_time();
    g_hash_table_remove(metrics->measuring, measurement->target);
    g_hash_table_replace(metrics->pools, measurement->target,
                         g_memdup2(&measurement->now, sizeof(measurement->now)));
    g_free(measurement);
    if (!may_end(metrics))
        answer_all(metrics);
    return G_SOURCE_REMOVE;
}

static gpointer
measure_in_thread(gpointer data)
{
    Measurement *measurement = data;
    g_autoptr(VtPool) files = NULL;

    measurement->now.since = g_get_real_time();
    measurement->now.known = vt_pool_open(measurement->target, &files, NULL) &&
                             vt_pool_measure(files, &measurement->now.use, NULL);
    g_idle_add_full(G_PRIORITY_DEFAULT, measured, measurement, NULL);
    return NULL;
}

static void
measure(VtdMetrics *metrics, const char *target)
{
    const Measured *before = g_hash_table_lookup(metrics->pools, target);
    const gint64 now = g_get_monotonic_time();
    Measurement *measurement;
    GThread *thread;

    if (g_hash_table_contains(metrics->measuring, target) ||
        (before && now - before->ended < FRESH_TIME))
        return;
    g_hash_table_insert(metrics->measuring, g_strdup(target), g_memdup2(&now, sizeof(now)));
    measurement = g_new0(Measurement, 1);
    *measurement = (Measurement){metrics, g_strdup(target), {.known = false}};
    thread = g_thread_try_new("measure", measure_in_thread, measurement, NULL);
    if (thread)
        g_thread_unref(thread);
    else
        forget(measurement);
}

void
vtd_metrics_measure(VtdMetrics *metrics, GStrv targets, VtdMeasured done, void *user)
{
    g_auto(GStrv) owned = targets;
    Ask *ask;

    for (char **target = owned; *target; target++)
        measure(metrics, *target);
    if (!may_end(metrics)) {
        done(user);
        return;
    }
    ask = g_new0(Ask, 1);
    *ask = (Ask){metrics, done, user, g_timeout_add_seconds(WAIT_S, waited_enough, ask)};
    g_ptr_array_add(metrics->asks, ask);
}

VtdMetrics *
vtd_metrics_new(void)
{
    VtdMetrics *metrics = g_new0(VtdMetrics, 1);

    metrics->started = g_get_real_time();
    metrics->pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    metrics->measuring = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    metrics->asks = g_ptr_array_new();
    return metrics;
}

void
vtd_metrics_free(VtdMetrics *metrics)
{
    if (!metrics)
        return;
    answer_all(metrics);
    g_ptr_array_unref(metrics->asks);
    g_hash_table_unref(metrics->pools);
    g_hash_table_unref(metrics->measuring);
    g_free(metrics);
}

/* ---- gauges of pools ---- */

/* A pool, and what was measured of it (nullable) */
typedef struct {
    const VtdPool *pool;
    const Measured *disk;
} Subject;

static double
catalog_serial(const Subject *subject)
{
    return subject->pool->catalog ? (double)subject->pool->catalog->serial : NAN;
}

static double
catalog_expiry(const Subject *subject)
{
    const VtCatalog *catalog = subject->pool->catalog;
    g_autoptr(GDateTime) expires =
        catalog ? g_date_time_new_from_iso8601(catalog->expires, NULL) : NULL;

    return expires ? (double)g_date_time_to_unix(expires) : NAN;
}

static double
catalog_grace_end(const Subject *subject)
{
    const gint64 end = vtd_pool_grace_end(subject->pool);

    return end >= 0 ? (double)end : NAN;
}

static double
catalog_checked(const Subject *subject)
{
    const gint64 checked = subject->pool->checked;

    return checked > 0
               ? (double)(g_get_real_time() - (g_get_monotonic_time() - checked)) / G_USEC_PER_SEC
               : NAN;
}

static double
catalog_trusted(const Subject *subject)
{
    const VtdVerdict *verdict = subject->pool->catalog_verdict;

    return verdict ? verdict->verdict == VT_VERDICT_TRUSTED : NAN;
}

static double
store_up(const Subject *subject)
{
    if (subject->pool->failure)
        return subject->pool->failure_code != VT_ERROR_NETWORK;
    return subject->pool->checked > 0 ? 1 : NAN;
}

static double
templates(const Subject *subject)
{
    return subject->pool->catalog ? subject->pool->catalog->templates->len : NAN;
}

static double
versions(const Subject *subject)
{
    const VtCatalog *catalog = subject->pool->catalog;
    guint count = 0;

    for (guint i = 0; catalog && i < catalog->templates->len; i++)
        count += ((const VtCatalogTemplate *)catalog->templates->pdata[i])->versions->len;
    return catalog ? count : NAN;
}

static double
damaged_layers(const Subject *subject)
{
    return g_hash_table_size(subject->pool->damaged);
}

static double
cache_max(const Subject *subject)
{
    const uint64_t max = subject->pool->settings->cache_max;

    return max > 0 ? (double)max : NAN;
}

#define MEASURED(name, member)                                                                     \
    static double name(const Subject *subject)                                                     \
    {                                                                                              \
        return subject->disk ? (double)subject->disk->use.member : NAN;                            \
    }
MEASURED(local_versions, versions)
MEASURED(local_layers, layers)
MEASURED(layer_bytes, layer_bytes)
MEASURED(partial_bytes, partial_bytes)
MEASURED(free_bytes, free_bytes)

static double
measured_time(const Subject *subject)
{
    return subject->disk ? (double)subject->disk->since / G_USEC_PER_SEC : NAN;
}

/* What is not known has no sample */
static const struct {
    const char *name;
    const char *unit;
    const char *help;
    double (*value)(const Subject *subject);
} gauges[] = {
    {"catalog_serial", NULL, "Serial of the catalog that is used.", catalog_serial},
    {"catalog_expiry_timestamp_seconds", "seconds", "When the catalog that is used expires.",
     catalog_expiry},
    {"catalog_grace_end_timestamp_seconds", "seconds",
     "When versions that are not here are no longer fetched by the catalog that is used.",
     catalog_grace_end},
    {"catalog_checked_timestamp_seconds", "seconds", "When the store was last asked for a catalog.",
     catalog_checked},
    {"catalog_trusted", NULL, "Whether the policy trusts the catalog that is used.",
     catalog_trusted},
    {"store_up", NULL, "Whether the store answered when it was last asked.", store_up},
    {"templates", NULL, "Names in the catalog.", templates},
    {"versions", NULL, "Versions in the catalog.", versions},
    {"damaged_layers", NULL, "Layers on this host that are known to be damaged.", damaged_layers},
    {"cache_max_bytes", "bytes", "What the pool's settings allow its layers.", cache_max},
    {"local_versions", NULL, "Versions that are on this host.", local_versions},
    {"local_layers", NULL, "Layers that are on this host.", local_layers},
    {"layer_bytes", "bytes", "What the layers take of the disk.", layer_bytes},
    {"partial_bytes", "bytes", "What downloads that run or were cut off take of the disk.",
     partial_bytes},
    {"free_bytes", "bytes", "Left on the file system of the pool.", free_bytes},
    {"measured_timestamp_seconds", "seconds", "When the pool's disk use was looked at.",
     measured_time},
};

/* ---- text ---- */

/* `\`, `"` and line feed; and a label is UTF-8 */
static char *
escape_label(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *escaped = g_string_new(NULL);

    for (const char *at = valid; *at; at++) {
        if (*at == '\n')
            g_string_append(escaped, "\\n");
        else if (*at == '\\' || *at == '"')
            g_string_append_printf(escaped, "\\%c", *at);
        else
            g_string_append_c(escaped, *at);
    }
    return g_string_free(escaped, FALSE);
}

static void
add_pools(GString *text, const VtdMetrics *metrics, GHashTable *pools)
{
    for (gsize i = 0; i < G_N_ELEMENTS(gauges); i++) {
        GHashTableIter iter;
        gpointer pool;

        vtd_family_format(
            &(const VtdFamily){gauges[i].name, "gauge", gauges[i].unit, gauges[i].help}, text);
        g_hash_table_iter_init(&iter, pools);
        while (g_hash_table_iter_next(&iter, NULL, &pool)) {
            const VtPoolSettings *settings = ((const VtdPool *)pool)->settings;
            const Measured *disk = g_hash_table_lookup(metrics->pools, settings->target);
            const Subject subject = {pool, disk && disk->known ? disk : NULL};
            g_autofree char *name = escape_label(settings->name);
            g_autofree char *target = escape_label(settings->target);
            const double value = gauges[i].value(&subject);

            if (!isnan(value))
                g_string_append_printf(text, "virt_template_%s{pool=\"%s\",target=\"%s\"} %.0f\n",
                                       gauges[i].name, name, target, value);
        }
    }
}

char *
vtd_metrics_format(const VtdMetrics *metrics, VtdMonitor *monitor, VtdJobs *jobs, GHashTable *pools)
{
    static const VtdFamily build = {"build", "info", NULL, "Of virttemplated."};
    static const VtdFamily start = {"start_time_seconds", "gauge", "seconds",
                                    "When virttemplated was started; counters began at zero then."};
    static const VtdFamily running = {"jobs", "gauge", NULL, "Jobs that run."};
    GString *text = g_string_new(NULL);

    vtd_family_format(&build, text);
    g_string_append(text, "virt_template_build_info{version=\"" VT_VERSION "\"} 1\n");
    vtd_family_format(&start, text);
    g_string_append_printf(text, "virt_template_start_time_seconds %.3f\n",
                           (double)metrics->started / G_USEC_PER_SEC);
    vtd_family_format(&running, text);
    vtd_jobs_format(jobs, text);
    vtd_monitor_format(monitor, text);
    add_pools(text, metrics, pools);
    g_string_append(text, "# EOF\n");
    return g_string_free(text, FALSE);
}
