/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-job.h: jobs: one thread each, one for all who ask for the same */
#pragma once

#include "vt-db.h"
#include "vtd-event.h"
#include "vtd-monitor.h"

#include <gio/gio.h>

typedef struct VtdJobs VtdJobs;

/**
 * VtdProgress: what a job's thread reports
 * @phase: a literal
 */
typedef struct {
    const char *phase;
    uint64_t done;
    uint64_t total;
    uint64_t received;
    uint64_t requests;
} VtdProgress;

/**
 * VtdJob: belongs to the main thread, but for vtd_job_report()
 * @row: what the history keeps
 * @cancellable: ends it
 * @limit_rate: see #VtdJobSpec
 * @done_event: what is told when it is done
 * @digest: (nullable): of the manifest, if it is known
 * @told: what a watcher was told last
 */
typedef struct {
    gint references;
    VtdJobs *jobs;
    VtDbJob *row;
    GCancellable *cancellable;
    uint64_t limit_rate;
    VtdEvent done_event;
    VtDigest *digest;
    GMutex lock;
    VtdProgress progress;
    VtdProgress told;
    GPtrArray *waiters;
    void (*ended)(void *user, const GError *error);
    void *user;
} VtdJob;

/** vtd_job_report: From the job's thread */
void vtd_job_report(VtdJob *job, const VtdProgress *progress);

/** vtd_jobs_new: @db and @monitor (nullable) outlive the table */
VtdJobs *vtd_jobs_new(VtDb *db, VtdMonitor *monitor);
/** vtd_jobs_stop: Cancels all, keeps them in the database as running, so that they are resumed.
 * Their threads end in the main loop */
void vtd_jobs_stop(VtdJobs *jobs);
/** vtd_jobs_write_ends: Ends that could not be written before, for the last time */
void vtd_jobs_write_ends(VtdJobs *jobs);
void vtd_jobs_free(VtdJobs *jobs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdJobs, vtd_jobs_free)

guint vtd_jobs_running(const VtdJobs *jobs);
/** vtd_jobs_format: Appends how many run, for each kind, as OpenMetrics samples */
void vtd_jobs_format(const VtdJobs *jobs, GString *text);

/**
 * vtd_jobs_watch:
 * @changed: (nullable): called in the main thread with the job's status, a{sv} with a reference of
 *   the caller's; the one of before is not called any more
 */
typedef enum {
    VTD_JOB_STARTED,
    VTD_JOB_PROGRESS,
    VTD_JOB_ENDED,
} VtdJobChange;
typedef void (*VtdJobChanged)(void *user, VtdJobChange change, const VtDbJob *row,
                              GVariant *status);
void vtd_jobs_watch(VtdJobs *jobs, VtdJobChanged changed, void *user);
/** vtd_jobs_tell_progress: Calls the watcher for each job that got on since the last time */
void vtd_jobs_tell_progress(VtdJobs *jobs);

/**
 * VtdJobSpec: what is asked for
 * @id: 0, or that of an interrupted job
 * @limit_rate: of a job that fetches, bytes per second; 0: no limit
 */
typedef struct {
    uint64_t id;
    const char *kind;
    const char *target;
    const char *name;
    const char *version;
    uint32_t owner;
    uint64_t limit_rate;
} VtdJobSpec;

/** vtd_jobs_find: Returns: (nullable) (transfer none): the running job that does the same */
VtdJob *vtd_jobs_find(VtdJobs *jobs, const VtdJobSpec *spec);

/** vtd_jobs_involves: Returns: whether a job runs on this version of the pool */
bool vtd_jobs_involves(VtdJobs *jobs, const char *target, const char *name, const char *version);

/**
 * vtd_jobs_add: A new job, running; %VT_ERROR_BUSY: too many
 * @ret_job: (out) (transfer none)
 */
bool vtd_jobs_add(VtdJobs *jobs, const VtdJobSpec *spec, VtdJob **ret_job, GError **error);

/**
 * vtd_job_run:
 * @body: runs in a thread of its own, once
 * @ended: called in the main thread when it is over, before anyone is told
 * @user: of both; freed with @free_user
 */
typedef bool (*VtdJobBody)(VtdJob *job, void *user, GError **error);
typedef struct {
    VtdJobBody body;
    void (*ended)(void *user, const GError *error);
    void *user;
    GDestroyNotify free_user;
} VtdJobTask;
void vtd_job_run(VtdJob *job, const VtdJobTask *task);

/** vtd_job_finish: Ends a job that needs no thread; @error: (nullable) */
void vtd_job_finish(VtdJob *job, const GError *error);

/** vtd_jobs_cancel: By its owner or root; %VT_ERROR_NOT_FOUND, %VT_ERROR_DENIED */
bool vtd_jobs_cancel(VtdJobs *jobs, uint64_t id, uint32_t uid, GError **error);

/**
 * vtd_jobs_wait:
 * @done: called once in the main thread with the job's status, floating a{sv}
 */
typedef void (*VtdJobWaited)(void *user, GVariant *status);
bool vtd_jobs_wait(VtdJobs *jobs, uint64_t id, unsigned wait_ms, VtdJobWaited done, void *user,
                   GError **error);

/** vtd_jobs_check_owner: %VT_ERROR_NOT_FOUND unless job @id is one that @uid may know of: his own;
 *  root's are all. That there are others is not told, either. */
bool vtd_jobs_check_owner(VtdJobs *jobs, uint64_t id, uint32_t uid, GError **error);

/** vtd_jobs_list: @ret_list: floating aa{sv}, newest first, of those that @uid may know of */
bool vtd_jobs_list(VtdJobs *jobs, uint32_t uid, GVariant **ret_list, GError **error);

/** vtd_jobs_end_row: Ends a job that this daemon does not run, but found as running; @error:
 *  (nullable) */
void vtd_jobs_end_row(VtdJobs *jobs, VtDbJob *row, const GError *error);

/** vtd_jobs_interrupted: @ret_jobs: (element-type VtDbJob): those that a daemon before left running
 */
bool vtd_jobs_interrupted(VtdJobs *jobs, GPtrArray **ret_jobs, GError **error);
