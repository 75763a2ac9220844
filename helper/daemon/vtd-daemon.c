/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-daemon.c: all that one running virttemplated has */
#include "vtd-daemon.h"

#include "vt-name.h"
#include "vtd-event.h"
#include "vtd-fetch.h"
#include "vtd-look.h"

#include <string.h>
#include <unistd.h>

/* How long jobs and work in directories may take to end when the daemon ends. systemd gives it 10 s
 */
#define STOP_TIME_S 8

bool
vtd_daemon_is_owner(uint32_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* ---- pools ---- */

bool
vtd_daemon_pool(VtdDaemon *daemon, const char *target, VtdPool **ret_pool, GError **error)
{
    VtdPool *pool = g_hash_table_lookup(daemon->pools, target);

    if (!pool)
        return vt_throw(
            error, VT_ERROR_NOT_FOUND,
            "no pool with the target '%s' is registered: start or refresh it with virsh", target);
    *ret_pool = pool;
    return true;
}

static VtdTurns *
turns_of(VtdDaemon *daemon, const char *target)
{
    VtdTurns *turns = g_hash_table_lookup(daemon->turns, target);

    if (!turns) {
        turns = vtd_turns_new(target, vtd_directory_pending());
        g_hash_table_insert(daemon->turns, g_strdup(target), turns);
    }
    return turns;
}

static void
add_pool(VtdDaemon *daemon, VtPoolSettings *settings)
{
    g_hash_table_replace(daemon->pools, g_strdup(settings->target),
                         vtd_pool_new(daemon->config, daemon->db, settings,
                                      turns_of(daemon, settings->target), daemon->pools));
}

/* A job, or a refresh, may have a pool that was forgotten, and turns to come: who registers its
 * directory again waits behind them, for there is one thread for each directory */
static gboolean
is_left(gpointer target, gpointer turns, gpointer user)
{
    return !vtd_turns_are_shared(turns);
}

static void
drop_turns(VtdDaemon *daemon)
{
    g_hash_table_foreach_remove(daemon->turns, is_left, NULL);
}

static bool
same_settings(const VtPoolSettings *a, const VtPoolSettings *b)
{
    return g_str_equal(a->name, b->name) && g_str_equal(a->uuid, b->uuid) &&
           g_str_equal(a->store, b->store) && g_str_equal(a->policy, b->policy) &&
           g_str_equal(a->strategy, b->strategy) && g_str_equal(a->defaults, b->defaults) &&
           a->cache_max == b->cache_max;
}

bool
vtd_daemon_register(VtdDaemon *daemon, VtPoolSettings *settings, GError **error)
{
    g_autoptr(VtPoolSettings) owned = settings;
    const VtdPool *known = g_hash_table_lookup(daemon->pools, settings->target);

    /* libvirt says the same at each refresh */
    if (known && same_settings(known->settings, settings))
        return true;
    if (!vt_db_put_pool(daemon->db, settings, error))
        return false;
    add_pool(daemon, g_steal_pointer(&owned));
    drop_turns(daemon);
    return true;
}

bool
vtd_daemon_forget(VtdDaemon *daemon, const char *target, GError **error)
{
    VtdPool *pool;

    if (!vtd_daemon_pool(daemon, target, &pool, error) ||
        !vt_db_forget_pool(daemon->db, target, error))
        return false;
    g_hash_table_remove(daemon->pools, target);
    drop_turns(daemon);
    return true;
}

/* ---- fetch ---- */

char *
vtd_version_path(const char *target, const char *name, const char *version)
{
    g_autofree char *volume = vt_volume_name(name, version);

    return g_build_filename(target, volume, NULL);
}

typedef struct {
    VtdPool *pool;
    VtdFetch *fetch;
    VtdJob *job;
} FetchRun;

static void
fetch_run_free(gpointer data)
{
    FetchRun *run = data;

    vtd_pool_unref(run->pool);
    vtd_fetch_free(run->fetch);
    g_free(run);
}

static bool
fetch_body(VtdJob *job, void *user, GError **error)
{
    return vtd_fetch_run(job, ((FetchRun *)user)->fetch, error);
}

static void
fetch_ended(void *user, const GError *error)
{
    const FetchRun *run = user;
    const VtdFetch *fetch = run->fetch;
    /* A bad answer of the store says nothing about its next one */
    const bool refused = g_error_matches(error, VT_ERROR, VT_ERROR_UNTRUSTED) ||
                         g_error_matches(error, VT_ERROR, VT_ERROR_POLICY);

    /* By the policy of the pool that it was for; what was brought is there for all */
    if (refused)
        vtd_pool_refuse(run->pool, &fetch->manifest, error->message);
    if (error)
        return;
    run->job->done_event = VTD_EVENT_PULLED;
    vtd_pool_refuse(vtd_pool_current(run->pool), &fetch->manifest, NULL);
    vtd_pool_forget_verdict(vtd_pool_current(run->pool), &fetch->manifest);
    g_free(run->job->row->path);
    run->job->row->path = vtd_version_path(fetch->target, fetch->name, fetch->version);
    if (!vt_seal_holds(fetch->seal))
        g_warning("'%s' is not sealed (%s), libvirt may change its owner: %s", run->job->row->path,
                  vt_seal_name(fetch->seal), fetch->seal_reason);
}

/* For the job's thread, which may not look at the pool */
static GArray *
damaged_layers(VtdPool *pool)
{
    GArray *layers = g_array_new(FALSE, FALSE, sizeof(VtDigest));
    GHashTableIter iter;
    gpointer index;

    g_hash_table_iter_init(&iter, vtd_pool_current(pool)->damaged);
    while (g_hash_table_iter_next(&iter, &index, NULL))
        g_array_append_vals(layers, index, 1);
    return layers;
}

/* The entry is copied: the catalog may change while the job runs */
static void
start_fetch(VtdDaemon *daemon, VtdPool *pool, VtdJob *job, const VtCatalogEntry *entry)
{
    FetchRun *run = g_new0(FetchRun, 1);
    VtdFetch *fetch = g_new0(VtdFetch, 1);

    fetch->workers = &daemon->config->workers;
    vt_store_url_parse(pool->settings->store, &fetch->url, NULL);
    fetch->policy = g_strdup(pool->settings->policy);
    fetch->target = g_strdup(pool->settings->target);
    fetch->name = g_strdup(job->row->name);
    fetch->version = g_strdup(entry->version);
    fetch->manifest = entry->manifest;
    fetch->manifest_size = entry->manifest_size;
    fetch->capacity = entry->capacity;
    fetch->limit_rate = job->limit_rate;
    job->digest = g_memdup2(&entry->manifest, sizeof(entry->manifest));
    fetch->damaged = damaged_layers(pool);
    *run = (FetchRun){vtd_pool_ref(pool), fetch, job};
    vtd_job_run(job, &(const VtdJobTask){fetch_body, fetch_ended, run, fetch_run_free});
}

/* ---- what is here already ---- */

/* @entry: belongs to the look */
typedef struct {
    VtdDaemon *daemon;
    VtdPool *pool;
    VtdJob *job;
    const VtCatalogEntry *entry;
    bool complete;
} Check;

/* While it waited, whoever asked may have given up */
static bool
check_begin(VtdLook *look, void *user, GError **error)
{
    Check *check = user;
    const VtDbJob *row = check->job->row;

    return !g_cancellable_set_error_if_cancelled(check->job->cancellable, error) &&
           vtd_look_find(look, row->name, row->version, &check->entry, error);
}

/* Complete and trusted is a job that is done; damaged is one that fails, whatever the store says */
static bool
check_here(VtdLook *look, void *user, GError **error)
{
    Check *check = user;
    const char *name = check->job->row->name;
    const char *version = check->entry->version;
    const char *damage;
    VtdLocal local;

    if (!vtd_look_open(look, NULL))
        return true;
    vtd_look_prune_damage(look);
    damage = vtd_look_damage_of(look, name, version);
    if (damage)
        return vtd_pool_throw_damage(name, version, damage, error);
    check->complete = vtd_look_use(look, name, version, &local, NULL);
    return true;
}

static void
finish_complete(VtdJob *job, const char *target, const VtCatalogEntry *entry)
{
    job->row->path = vtd_version_path(target, job->row->name, entry->version);
    job->row->done = job->row->total = entry->capacity;
    vtd_job_report(job, &(const VtdProgress){.phase = "complete",
                                             .done = entry->capacity,
                                             .total = entry->capacity});
    vtd_job_finish(job, NULL);
}

static void
checked(VtdLook *look, void *user, GError *failure)
{
    g_autofree Check *check = user;
    g_autoptr(VtdPool) pool = check->pool;
    g_autoptr(GError) error = failure;

    if (!error && check->complete)
        finish_complete(check->job, pool->settings->target, check->entry);
    else if (!error && vtd_pool_check_expiry(pool, &error))
        start_fetch(check->daemon, pool, check->job, check->entry);
    else
        vtd_job_finish(check->job, error);
}

/* A job that is one of many for a directory that does not answer ends at once */
static void
begin_fetch(VtdDaemon *daemon, VtdPool *pool, VtdJob *job)
{
    g_autoptr(GError) error = NULL;
    Check *check = g_new0(Check, 1);

    *check = (Check){daemon, vtd_pool_ref(pool), job};
    if (vtd_pool_visit(pool, &(const VtdVisit){check_begin, check_here, checked, check},
                       VTD_JOBS_WAITING_MAX, &error))
        return;
    vtd_job_finish(job, error);
    vtd_pool_unref(pool);
    g_free(check);
}

/* A job for something that the known catalog lacks: the store is asked for its catalog first */
typedef struct {
    VtdDaemon *daemon;
    VtdPool *pool;
    VtdJob *job;
} Lookup;

static void
looked_up(void *user)
{
    Lookup *lookup = user;
    VtdJob *job = lookup->job;
    const VtCatalogEntry *entry;
    g_autoptr(GError) error = NULL;

    if (!g_cancellable_set_error_if_cancelled(job->cancellable, &error) &&
        vtd_pool_find(lookup->pool, job->row->name, job->row->version, &entry, &error)) {
        g_free(job->row->version);
        job->row->version = g_strdup(entry->version);
        begin_fetch(lookup->daemon, lookup->pool, job);
    } else {
        if (lookup->pool->failure && g_error_matches(error, VT_ERROR, VT_ERROR_NOT_FOUND) &&
            lookup->pool->catalog)
            g_prefix_error(&error, "%s; ", lookup->pool->failure);
        vtd_job_finish(job, error);
    }
    vtd_pool_unref(lookup->pool);
    g_free(lookup);
}

bool
vtd_daemon_fetch(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec, uint64_t *ret_job,
                 GError **error)
{
    const VtCatalogEntry *entry = NULL;
    VtdJobSpec exact = *spec;
    VtdJob *job;

    /* Which version is current is asked for, and whether there is a newer catalog than one that has
     * expired; a version that is known never changes */
    if (vtd_pool_expiry(pool) == VTD_EXPIRY_VALID && (*spec->version || vtd_pool_is_fresh(pool)) &&
        vtd_pool_find(pool, spec->name, spec->version, &entry, NULL))
        exact.version = entry->version;
    job = vtd_jobs_find(daemon->jobs, &exact);
    if (job) {
        *ret_job = job->row->id;
        return true;
    }
    if (!vtd_jobs_add(daemon->jobs, &exact, &job, error))
        return false;
    *ret_job = job->row->id;
    if (entry) {
        begin_fetch(daemon, pool, job);
    } else {
        Lookup *lookup = g_new0(Lookup, 1);

        *lookup = (Lookup){daemon, vtd_pool_ref(pool), job};
        vtd_job_report(job, &(const VtdProgress){.phase = "catalog"});
        vtd_pool_refresh(pool, looked_up, lookup);
    }
    return true;
}

/* ---- copy ---- */

static bool
copy_body(VtdJob *job, void *user, GError **error)
{
    return vtd_copy_run(job, user, error);
}

bool
vtd_daemon_copy(VtdDaemon *daemon, const VtdJobSpec *spec, VtdCopy *copy, const char *path,
                uint64_t *ret_job, GError **error)
{
    g_autoptr(VtdCopy) owned = copy;
    VtdJob *job;

    if (!vtd_jobs_add(daemon->jobs, spec, &job, error))
        return false;
    *ret_job = job->row->id;
    job->row->path = g_strdup(path);
    job->done_event = VTD_EVENT_CLONED;
    copy->workers = &daemon->config->workers;
    vtd_job_run(job, &(const VtdJobTask){copy_body, NULL, g_steal_pointer(&owned),
                                         (GDestroyNotify)vtd_copy_free});
    return true;
}

/* ---- who may not ---- */

void
vtd_log_peer_refused(VtdDaemon *daemon, VtdPeerRefusal reason, uint32_t uid, const char *method)
{
    static const struct {
        const char *reason;
        const char *text;
    } texts[] = {
        [VTD_PEER_READ_ONLY] = {"read-only", "the socket is the one for reading"},
        [VTD_PEER_NOT_OWNER] = {"not-owner", "the job is somebody else's"},
        [VTD_PEER_TOO_MANY] = {"too-many", "there are too many connections"},
        [VTD_PEER_AUTHENTICATION] = {"authentication", "the handshake failed"},
    };
    const VtdEventFields fields = {
        .reason = texts[reason].reason, .method = method, .peer_uid = &uid};
    g_autofree char *unsaid = NULL;
    unsigned count;

    if (!vtd_monitor_peer_refused(daemon->config->workers.monitor, reason, &count))
        return;
    unsaid = count > 0 ? g_strdup_printf("; %u more were refused before", count) : g_strdup("");
    vtd_event_log(VTD_EVENT_PEER_REFUSED, &fields, "uid %u may not%s%s: %s%s", uid,
                  method ? " call " : " connect", method ? method : "", texts[reason].text, unsaid);
}

/* ---- begin and end ---- */

static bool
load_pools(VtdDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) pools = NULL;

    if (!vt_db_list_pools(daemon->db, &pools, error))
        return false;
    for (guint i = 0; i < pools->len; i++)
        add_pool(daemon, vt_pool_settings_copy(pools->pdata[i]));
    return true;
}

static void
log_recovered(VtdDaemon *daemon, const VtDbJob *row, bool resumed)
{
    const VtdEventFields fields = {.pool = row->target,
                                   .name = row->name,
                                   .version = row->version,
                                   .job = &row->id,
                                   .peer_uid = &row->owner};

    vtd_monitor_add(daemon->config->workers.monitor, VTD_COUNT_RECOVERIES, 0, 1);
    vtd_event_log(VTD_EVENT_RECOVERED, &fields,
                  "%s of %s%s%s in '%s', job %" G_GUINT64_FORMAT ", was interrupted: %s", row->kind,
                  row->name, *row->version ? "@" : "", row->version, row->target, row->id,
                  resumed ? "it goes on" : row->message);
}

static void
resume_job(VtdDaemon *daemon, VtDbJob *row)
{
    VtdPool *pool = g_hash_table_lookup(daemon->pools, row->target);
    const VtdJobSpec spec = {row->id, "fetch", row->target, row->name, row->version, row->owner};
    g_autoptr(GError) local = NULL;
    uint64_t id = row->id;

    if (!pool || g_strcmp0(row->kind, "fetch") != 0)
        vt_throw(&local, VT_ERROR_FAILED,
                 "interrupted by the end of virttemplated: start it again");
    else if (vtd_daemon_fetch(daemon, pool, &spec, &id, &local) && id != row->id)
        vt_throw(&local, VT_ERROR_FAILED, "interrupted; another job does the same");
    if (local)
        vtd_jobs_end_row(daemon->jobs, row, local);
    log_recovered(daemon, row, !local);
}

static bool
resume_jobs(VtdDaemon *daemon, GError **error)
{
    g_autoptr(GPtrArray) rows = NULL;

    if (!vtd_jobs_interrupted(daemon->jobs, &rows, error))
        return false;
    for (guint i = 0; i < rows->len; i++)
        resume_job(daemon, rows->pdata[i]);
    return true;
}

bool
vtd_daemon_new(const VtdConfig *config, VtdDaemon **ret_daemon, GError **error)
{
    g_autofree char *path = g_build_filename(config->state_dir, "state.db", NULL);
    g_autoptr(VtdDaemon) daemon = g_new0(VtdDaemon, 1);

    daemon->config = config;
    daemon->metrics = vtd_metrics_new();
    daemon->seeder = vtd_seeder_new(&config->workers);
    daemon->pools =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vtd_pool_unref);
    daemon->turns =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vtd_turns_unref);
    daemon->busy_until = g_get_monotonic_time();
    if (g_mkdir_with_parents(config->state_dir, 0700) < 0)
        return vt_throw_errno(error, errno, "cannot make '%s'", config->state_dir);
    if (!vt_db_open(path, &daemon->db, error))
        return false;
    daemon->jobs = vtd_jobs_new(daemon->db, config->workers.monitor);
    daemon->followers = vtd_followers_new(daemon->jobs);
    *ret_daemon = g_steal_pointer(&daemon);
    return true;
}

bool
vtd_daemon_resume(VtdDaemon *daemon, GError **error)
{
    return load_pools(daemon, error) && resume_jobs(daemon, error);
}

static bool
turns_are_over(const VtdDaemon *daemon)
{
    GHashTableIter iter;
    gpointer turns;
    bool over = true;

    g_hash_table_iter_init(&iter, daemon->turns);
    while (over && g_hash_table_iter_next(&iter, NULL, &turns))
        over = vtd_turns_are_over(turns);
    return over;
}

static bool
all_is_sealed(const VtdDaemon *daemon)
{
    GHashTableIter iter;
    gpointer pool;
    bool sealed = true;

    g_hash_table_iter_init(&iter, daemon->pools);
    while (sealed && g_hash_table_iter_next(&iter, NULL, &pool))
        sealed = ((const VtdPool *)pool)->resealing == 0;
    return sealed;
}

bool
vtd_daemon_rests(const VtdDaemon *daemon)
{
    return daemon->clients == 0 && vtd_jobs_running(daemon->jobs) == 0 && turns_are_over(daemon) &&
           all_is_sealed(daemon);
}

static gboolean
waited_enough(gpointer enough)
{
    *(bool *)enough = true;
    return G_SOURCE_CONTINUE;
}

/* Returns: whether nothing runs any more */
static bool
wait_for_ends(VtdDaemon *daemon)
{
    bool enough = false;
    const guint timer = g_timeout_add_seconds(STOP_TIME_S, waited_enough, &enough);
    bool over;

    do
        over = vtd_jobs_running(daemon->jobs) == 0 && turns_are_over(daemon);
    while (!over && !enough && g_main_context_iteration(NULL, TRUE));
    g_source_remove(timer);
    return over;
}

bool
vtd_daemon_stop(VtdDaemon *daemon)
{
    GHashTableIter iter;
    gpointer value;
    bool over;

    g_hash_table_iter_init(&iter, daemon->pools);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_cancellable_cancel(((VtdPool *)value)->cancellable);
    if (!daemon->jobs)
        return true;
    vtd_jobs_stop(daemon->jobs);
    g_hash_table_iter_init(&iter, daemon->turns);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        vtd_turns_stop(value);
    over = wait_for_ends(daemon);
    vtd_jobs_write_ends(daemon->jobs);
    return over;
}

void
vtd_daemon_free(VtdDaemon *daemon)
{
    if (!daemon)
        return;
    if (!vtd_daemon_stop(daemon))
        return;
    vtd_followers_free(daemon->followers);
    vtd_metrics_free(daemon->metrics);
    vtd_jobs_free(daemon->jobs);
    g_clear_pointer(&daemon->seeder, vtd_seeder_free);
    g_hash_table_unref(daemon->pools);
    g_hash_table_unref(daemon->turns);
    vt_db_close(daemon->db);
    g_free(daemon);
}
