/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-job.c: jobs: one thread each, one for all who ask for the same */
#include "vtd-job.h"

#include "vtd-ends.h"

#include <string.h>

/*
 * A job belongs to the main thread, which alone looks at the table, the database and the row. The
 * job's thread gets a body to run and says how far it is through vtd_job_report(). Its end comes
 * back as an event of the main loop.
 */

/* Each has a thread and two processes */
#define RUNNING_MAX 16
/* Ended jobs that ListJobs shows */
#define LISTED_MAX 50

struct VtdJobs {
    VtDb *db;
    VtdMonitor *monitor;
    /* id, as a pointer to it in the row -> VtdJob */
    GHashTable *running;
    VtdEnds *ends;
    bool stopping;
    VtdJobChanged changed;
    void *watcher;
};

typedef struct {
    VtdJob *job;
    VtdJobWaited done;
    void *user;
    guint timer;
} Waiter;

static VtdJob *
job_ref(VtdJob *job)
{
    g_atomic_int_inc(&job->references);
    return job;
}

static void
job_unref(VtdJob *job)
{
    if (!g_atomic_int_dec_and_test(&job->references))
        return;
    vt_db_job_free(job->row);
    g_object_unref(job->cancellable);
    g_mutex_clear(&job->lock);
    g_ptr_array_unref(job->waiters);
    g_free(job->digest);
    g_free(job);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdJob, job_unref)

void
vtd_job_report(VtdJob *job, const VtdProgress *progress)
{
    VtdMonitor *monitor = job->jobs->monitor;
    VtdProgress before;

    g_mutex_lock(&job->lock);
    before = job->progress;
    job->progress = *progress;
    g_mutex_unlock(&job->lock);
    vtd_monitor_add(monitor, VTD_COUNT_FETCHED_BYTES, 0,
                    progress->received - MIN(before.received, progress->received));
    if (g_str_equal(job->row->kind, "verify"))
        vtd_monitor_add(monitor, VTD_COUNT_VERIFIED_BYTES, 0,
                        progress->done - MIN(before.done, progress->done));
}

VtdJobs *
vtd_jobs_new(VtDb *db, VtdMonitor *monitor)
{
    VtdJobs *jobs = g_new0(VtdJobs, 1);

    jobs->db = db;
    jobs->monitor = monitor;
    jobs->running =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)job_unref);
    jobs->ends = vtd_ends_new(db);
    return jobs;
}

void
vtd_jobs_free(VtdJobs *jobs)
{
    if (!jobs)
        return;
    g_hash_table_unref(jobs->running);
    vtd_ends_free(jobs->ends);
    g_free(jobs);
}

guint
vtd_jobs_running(const VtdJobs *jobs)
{
    return g_hash_table_size(jobs->running);
}

void
vtd_jobs_format(const VtdJobs *jobs, GString *text)
{
    static const char *const kinds[] = {"fetch", "verify", "repair", "copy"};

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        GHashTableIter iter;
        gpointer job;
        guint count = 0;

        g_hash_table_iter_init(&iter, jobs->running);
        while (g_hash_table_iter_next(&iter, NULL, &job))
            count += g_str_equal(((const VtdJob *)job)->row->kind, kinds[i]);
        g_string_append_printf(text, "virt_template_jobs{kind=\"%s\"} %u\n", kinds[i], count);
    }
}

void
vtd_jobs_stop(VtdJobs *jobs)
{
    GHashTableIter iter;
    gpointer job;

    jobs->stopping = true;
    g_hash_table_iter_init(&iter, jobs->running);
    while (g_hash_table_iter_next(&iter, NULL, &job))
        g_cancellable_cancel(((VtdJob *)job)->cancellable);
}

void
vtd_jobs_write_ends(VtdJobs *jobs)
{
    g_autoptr(GError) error = NULL;

    if (!vtd_ends_write(jobs->ends, &error))
        g_warning("ends of jobs are lost: %s", error->message);
}

/* ---- status ---- */

static GVariant *
row_status(const VtDbJob *row, const char *phase)
{
    GVariantDict dict;
    const bool failed = g_strcmp0(row->state, "failed") == 0;

    g_variant_dict_init(&dict, NULL);
    g_variant_dict_insert(&dict, "id", "t", row->id);
    g_variant_dict_insert(&dict, "kind", "s", row->kind ? row->kind : "");
    g_variant_dict_insert(&dict, "target", "s", row->target ? row->target : "");
    g_variant_dict_insert(&dict, "name", "s", row->name ? row->name : "");
    g_variant_dict_insert(&dict, "version", "s", row->version ? row->version : "");
    g_variant_dict_insert(&dict, "owner", "u", row->owner);
    g_variant_dict_insert(&dict, "state", "s", row->state ? row->state : "failed");
    g_variant_dict_insert(&dict, "phase", "s", phase);
    g_variant_dict_insert(&dict, "done", "t", row->done);
    g_variant_dict_insert(&dict, "total", "t", row->total);
    g_variant_dict_insert(&dict, "received", "t", row->received);
    g_variant_dict_insert(&dict, "requests", "t", row->requests);
    g_variant_dict_insert(&dict, "started", "t", (guint64)row->started);
    g_variant_dict_insert(&dict, "ended", "t", (guint64)row->ended);
    if (failed || g_strcmp0(row->state, "cancelled") == 0) {
        g_variant_dict_insert(&dict, "error", "s", row->error ? row->error : "");
        g_variant_dict_insert(&dict, "message", "s", row->message ? row->message : "");
    }
    if (g_strcmp0(row->state, "done") == 0) {
        g_variant_dict_insert(&dict, "path", "s", row->path ? row->path : "");
        if (row->message && *row->message)
            g_variant_dict_insert(&dict, "message", "s", row->message);
    }
    return g_variant_dict_end(&dict);
}

static void
take_progress(VtdJob *job)
{
    g_mutex_lock(&job->lock);
    job->row->done = job->progress.done;
    job->row->total = job->progress.total;
    job->row->received = job->progress.received;
    job->row->requests = job->progress.requests;
    g_mutex_unlock(&job->lock);
}

static GVariant *
job_status(VtdJob *job)
{
    const char *phase;

    take_progress(job);
    g_mutex_lock(&job->lock);
    phase = job->progress.phase;
    g_mutex_unlock(&job->lock);
    return row_status(job->row, phase ? phase : "");
}

/* ---- ends ---- */

void
vtd_jobs_end_row(VtdJobs *jobs, VtDbJob *row, const GError *error)
{
    vtd_ends_put(jobs->ends, row, error);
    vtd_monitor_job(jobs->monitor, row->kind, row->state);
}

/* For the row of a job that does not run here: nobody will end one that says that it does, so who
 * waits must start it again. While the table stops such jobs are those of the next daemon. */
static bool
check_not_lost(const VtdJobs *jobs, const VtDbJob *row, GError **error)
{
    if (jobs->stopping || g_strcmp0(row->state, "running") != 0)
        return true;
    return vt_throw(error, VT_ERROR_NOT_FOUND, "job %" G_GUINT64_FORMAT " was lost: start it again",
                    row->id);
}

/* ---- watching ---- */

void
vtd_jobs_watch(VtdJobs *jobs, VtdJobChanged changed, void *user)
{
    jobs->changed = changed;
    jobs->watcher = user;
}

static void
tell_watcher(VtdJob *job, VtdJobChange change)
{
    g_autoptr(GVariant) status = NULL;

    if (!job->jobs->changed)
        return;
    status = g_variant_ref_sink(job_status(job));
    job->jobs->changed(job->jobs->watcher, change, job->row, status);
}

void
vtd_jobs_tell_progress(VtdJobs *jobs)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, jobs->running);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        VtdJob *job = value;
        VtdProgress now;

        g_mutex_lock(&job->lock);
        now = job->progress;
        g_mutex_unlock(&job->lock);
        if (now.phase == job->told.phase && now.done == job->told.done &&
            now.received == job->told.received)
            continue;
        job->told = now;
        tell_watcher(job, VTD_JOB_PROGRESS);
    }
}

/* ---- waiting ---- */

static void
waiter_tell(Waiter *waiter)
{
    if (waiter->timer)
        g_source_remove(waiter->timer);
    waiter->done(waiter->user, job_status(waiter->job));
    g_free(waiter);
}

static gboolean
waited_enough(gpointer data)
{
    Waiter *waiter = data;

    waiter->timer = 0;
    g_ptr_array_remove_fast(waiter->job->waiters, waiter);
    waiter_tell(waiter);
    return G_SOURCE_REMOVE;
}

bool
vtd_jobs_wait(VtdJobs *jobs, uint64_t id, unsigned wait_ms, VtdJobWaited done, void *user,
              GError **error)
{
    VtdJob *job = g_hash_table_lookup(jobs->running, &id);
    g_autoptr(VtDbJob) row = NULL;
    Waiter *waiter;

    if (!job) {
        const VtDbJob *now;

        vtd_ends_write(jobs->ends, NULL);
        if (!vt_db_get_job(jobs->db, id, &row, error))
            return false;
        now = vtd_ends_row(jobs->ends, row);
        if (!check_not_lost(jobs, now, error))
            return false;
        done(user, row_status(now, ""));
        return true;
    }
    waiter = g_new0(Waiter, 1);
    *waiter = (Waiter){job, done, user, 0};
    if (wait_ms == 0) {
        waiter_tell(waiter);
        return true;
    }
    waiter->timer = g_timeout_add(wait_ms, waited_enough, waiter);
    g_ptr_array_add(job->waiters, waiter);
    return true;
}

/* ---- the table ---- */

static bool
row_is(const VtDbJob *row, const char *target, const char *name, const char *version)
{
    return g_str_equal(row->target, target) && g_str_equal(row->name, name) &&
           g_str_equal(row->version, version);
}

VtdJob *
vtd_jobs_find(VtdJobs *jobs, const VtdJobSpec *spec)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, jobs->running);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        VtdJob *job = value;

        if (g_str_equal(job->row->kind, spec->kind) &&
            row_is(job->row, spec->target, spec->name, spec->version) &&
            !g_cancellable_is_cancelled(job->cancellable))
            return job;
    }
    return NULL;
}

bool
vtd_jobs_involves(VtdJobs *jobs, const char *target, const char *name, const char *version)
{
    GHashTableIter iter;
    gpointer job;

    g_hash_table_iter_init(&iter, jobs->running);
    while (g_hash_table_iter_next(&iter, NULL, &job)) {
        if (row_is(((VtdJob *)job)->row, target, name, version))
            return true;
    }
    return false;
}

bool
vtd_jobs_add(VtdJobs *jobs, const VtdJobSpec *spec, VtdJob **ret_job, GError **error)
{
    g_autoptr(VtdJob) job = NULL;

    if (jobs->stopping)
        return vt_throw(error, VT_ERROR_BUSY, "virttemplated is ending: try again");
    if (g_hash_table_size(jobs->running) >= RUNNING_MAX)
        return vt_throw(error, VT_ERROR_BUSY, "%d jobs run already: wait until one has ended",
                        RUNNING_MAX);
    job = g_new0(VtdJob, 1);
    job->references = 1;
    job->jobs = jobs;
    g_mutex_init(&job->lock);
    job->cancellable = g_cancellable_new();
    job->limit_rate = spec->limit_rate;
    job->done_event = VTD_EVENT_JOB_ENDED;
    job->waiters = g_ptr_array_new();
    job->row = g_new0(VtDbJob, 1);
    job->row->id = spec->id;
    job->row->kind = g_strdup(spec->kind);
    job->row->target = g_strdup(spec->target);
    job->row->name = g_strdup(spec->name);
    job->row->version = g_strdup(spec->version);
    job->row->owner = spec->owner;
    job->row->state = g_strdup("running");
    job->row->started = g_get_real_time();
    if (!vt_db_put_job(jobs->db, job->row, error))
        return false;
    g_hash_table_insert(jobs->running, &job->row->id, job);
    tell_watcher(job, VTD_JOB_STARTED);
    *ret_job = g_steal_pointer(&job);
    return true;
}

static VtdEvent
end_event(const VtdJob *job, const GError *error)
{
    if (!g_str_equal(job->row->state, "failed"))
        return error ? VTD_EVENT_JOB_ENDED : job->done_event;
    if (!vtd_event_is_refusal(error))
        return VTD_EVENT_JOB_FAILED;
    return g_str_equal(job->row->kind, "fetch") ? VTD_EVENT_REFUSED : VTD_EVENT_JOB_FAILED;
}

static void
log_end(const VtdJob *job, const GError *error)
{
    const VtDbJob *row = job->row;
    const bool failed = g_str_equal(row->state, "failed");
    const double seconds = (double)(row->ended - row->started) / G_USEC_PER_SEC;
    const VtdEvent event = end_event(job, error);
    const VtdEventFields fields = {.pool = row->target,
                                   .name = row->name,
                                   .version = row->version,
                                   .digest = job->digest,
                                   .reason = failed ? vtd_event_reason(error) : NULL,
                                   .path = event == VTD_EVENT_CLONED ? row->path : NULL,
                                   .job = &row->id,
                                   .bytes = &row->received,
                                   .requests = &row->requests,
                                   .peer_uid = &row->owner};

    if (event == VTD_EVENT_REFUSED)
        vtd_monitor_refusal(job->jobs->monitor, fields.reason);
    if (event == VTD_EVENT_CLONED)
        vtd_monitor_add(job->jobs->monitor, VTD_COUNT_CLONES, VTD_CLONE_COPY, 1);
    vtd_event_log(event, &fields,
                  "%s of %s@%s in '%s': %s after %.3f s, %" G_GUINT64_FORMAT
                  " bytes in %" G_GUINT64_FORMAT " requests%s%s",
                  row->kind, row->name, row->version, row->target, row->state, seconds,
                  row->received, row->requests, failed ? ": " : "", failed ? row->message : "");
}

void
vtd_job_finish(VtdJob *job, const GError *error)
{
    g_autoptr(GPtrArray) waiters = g_steal_pointer(&job->waiters);

    job->waiters = g_ptr_array_new();
    take_progress(job);
    if (!job->jobs->stopping) {
        vtd_jobs_end_row(job->jobs, job->row, error);
        log_end(job, error);
        tell_watcher(job, VTD_JOB_ENDED);
    }
    for (guint i = 0; i < waiters->len; i++)
        waiter_tell(waiters->pdata[i]);
    g_hash_table_remove(job->jobs->running, &job->row->id);
}

/* ---- threads ---- */

typedef struct {
    VtdJob *job;
    VtdJobTask task;
    GError *error;
} Run;

/* In the main thread */
static gboolean
run_ended(gpointer data)
{
    Run *run = data;

    if (run->task.ended)
        run->task.ended(run->task.user, run->error);
    vtd_job_finish(run->job, run->error);
    if (run->task.free_user)
        run->task.free_user(run->task.user);
    job_unref(run->job);
    g_clear_error(&run->error);
    g_free(run);
    return G_SOURCE_REMOVE;
}

static gpointer
run_in_thread(gpointer data)
{
    Run *run = data;

    if (run->task.body(run->job, run->task.user, &run->error))
        g_clear_error(&run->error);
    g_idle_add_full(G_PRIORITY_DEFAULT, run_ended, run, NULL);
    return NULL;
}

/* A thread of its own: GLib's pool is shared with the handshakes of new connections, and jobs last
 */
void
vtd_job_run(VtdJob *job, const VtdJobTask *what)
{
    Run *run = g_new0(Run, 1);
    GThread *thread;

    *run = (Run){job_ref(job), *what, NULL};
    thread = g_thread_try_new("job", run_in_thread, run, &run->error);
    if (thread)
        g_thread_unref(thread);
    else
        g_idle_add_full(G_PRIORITY_DEFAULT, run_ended, run, NULL);
}

/* ---- for clients ---- */

static bool
may_know(const VtDbJob *row, uint32_t uid)
{
    return uid == 0 || uid == row->owner;
}

bool
vtd_jobs_check_owner(VtdJobs *jobs, uint64_t id, uint32_t uid, GError **error)
{
    const VtdJob *job = g_hash_table_lookup(jobs->running, &id);
    g_autoptr(VtDbJob) row = NULL;

    if (!job && !vt_db_get_job(jobs->db, id, &row, error))
        return false;
    return may_know(job ? job->row : row, uid) ||
           vt_throw(error, VT_ERROR_NOT_FOUND, "there is no job %" G_GUINT64_FORMAT, id);
}

bool
vtd_jobs_cancel(VtdJobs *jobs, uint64_t id, uint32_t uid, GError **error)
{
    VtdJob *job = g_hash_table_lookup(jobs->running, &id);

    if (!job)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "no job %" G_GUINT64_FORMAT " is running", id);
    if (!may_know(job->row, uid))
        return vt_throw(error, VT_ERROR_DENIED,
                        "job %" G_GUINT64_FORMAT " belongs to uid %u, not to %u", id,
                        job->row->owner, uid);
    g_cancellable_cancel(job->cancellable);
    return true;
}

static gint
compare_newest(gconstpointer a, gconstpointer b)
{
    const VtdJob *left = a;
    const VtdJob *right = b;

    return left->row->id > right->row->id ? -1 : left->row->id < right->row->id;
}

/* Of a job that does not run here */
static GVariant *
ended_status(const VtdJobs *jobs, VtDbJob *row)
{
    const VtDbJob *now = vtd_ends_row(jobs->ends, row);
    g_autoptr(GError) lost = NULL;

    if (check_not_lost(jobs, now, &lost))
        return row_status(now, "");
    vtd_ends_outcome(row, lost);
    return row_status(row, "");
}

bool
vtd_jobs_list(VtdJobs *jobs, uint32_t uid, GVariant **ret_list, GError **error)
{
    g_autoptr(GList) running = g_hash_table_get_values(jobs->running);
    g_autoptr(GPtrArray) rows = NULL;
    GVariantBuilder builder;

    vtd_ends_write(jobs->ends, NULL);
    if (!vt_db_list_jobs(jobs->db, LISTED_MAX, &rows, error))
        return false;
    running = g_list_sort(running, compare_newest);
    g_variant_builder_init(&builder, G_VARIANT_TYPE("aa{sv}"));
    for (GList *item = running; item; item = item->next) {
        if (may_know(((VtdJob *)item->data)->row, uid))
            g_variant_builder_add_value(&builder, job_status(item->data));
    }
    for (guint i = 0; i < rows->len; i++) {
        VtDbJob *row = rows->pdata[i];

        if (may_know(row, uid) && !g_hash_table_contains(jobs->running, &row->id))
            g_variant_builder_add_value(&builder, ended_status(jobs, row));
    }
    *ret_list = g_variant_builder_end(&builder);
    return true;
}

bool
vtd_jobs_interrupted(VtdJobs *jobs, GPtrArray **ret_jobs, GError **error)
{
    return vt_db_list_running(jobs->db, ret_jobs, error);
}
