/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-daemon.h: all that one running virttemplated has; belongs to the main thread */
#pragma once

#include "vtd-copy.h"
#include "vtd-follow.h"
#include "vtd-job.h"
#include "vtd-metrics.h"
#include "vtd-pool.h"
#include "vtd-seed.h"

/* Of the 16 jobs that may run, so many wait for one directory that does not answer */
#define VTD_JOBS_WAITING_MAX 4

/**
 * VtdDaemon:
 * @pools: (element-type utf8 VtdPool): by target
 * @turns: (element-type utf8 VtdTurns): by target; also of pools that were forgotten, until those
 *   turns are over
 * @clients: connections
 * @questions: that are being answered in threads of their own
 * @busy_until: monotonic time of the last sign of life
 */
typedef struct {
    const VtdConfig *config;
    VtDb *db;
    VtdJobs *jobs;
    VtdFollowers *followers;
    VtdMetrics *metrics;
    VtdSeeder *seeder;
    GHashTable *pools;
    GHashTable *turns;
    guint clients;
    guint questions;
    gint64 busy_until;
} VtdDaemon;

/** vtd_daemon_new: Opens the database; nothing runs yet */
bool vtd_daemon_new(const VtdConfig *config, VtdDaemon **ret_daemon, GError **error);
/** vtd_daemon_resume: Once: knows the pools of the database, resumes jobs that were interrupted.
 * Even if it fails something may run then: vtd_daemon_stop() tells */
bool vtd_daemon_resume(VtdDaemon *daemon, GError **error);
/** vtd_daemon_rests: Returns: whether there is neither a client nor a job, nor work in a directory,
 *  and no layer is being sealed */
bool vtd_daemon_rests(const VtdDaemon *daemon);
/** vtd_daemon_stop: Stops what runs, so that it is resumed the next time. Returns: whether all has
 *  ended; if not, in a directory that does not answer, threads still use what there is */
bool vtd_daemon_stop(VtdDaemon *daemon);
/** vtd_daemon_free: Stops it, and closes the database; if not all has ended, it frees nothing */
void vtd_daemon_free(VtdDaemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdDaemon, vtd_daemon_free)

/** vtd_daemon_is_owner: Returns: whether @uid is who the helper works for: root, or the user whose
 *  session it is in */
bool vtd_daemon_is_owner(uint32_t uid);

/** vtd_daemon_pool: %VT_ERROR_NOT_FOUND; @ret_pool: (transfer none) */
bool vtd_daemon_pool(VtdDaemon *daemon, const char *target, VtdPool **ret_pool, GError **error);

/** vtd_daemon_register: @settings: (transfer full): checked */
bool vtd_daemon_register(VtdDaemon *daemon, VtPoolSettings *settings, GError **error);
bool vtd_daemon_forget(VtdDaemon *daemon, const char *target, GError **error);

/**
 * vtd_daemon_fetch:
 * @version: may be "" for the current one
 * @owner: uid
 */
bool vtd_daemon_fetch(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec, uint64_t *ret_job,
                      GError **error);

/* vtd-daemon-verify.c; the same arguments */
bool vtd_daemon_repair(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec, uint64_t *ret_job,
                       GError **error);
/** vtd_daemon_verify: @spec: of a version that was found; @layers: (element-type VtDigest) */
bool vtd_daemon_verify(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec,
                       const GArray *layers, uint64_t *ret_job, GError **error);

/** vtd_version_path: Returns: (transfer full): `TARGET/NAME@VERSION.qcow2` */
char *vtd_version_path(const char *target, const char *name, const char *version);

/** vtd_daemon_copy: @copy: (transfer full) */
bool vtd_daemon_copy(VtdDaemon *daemon, const VtdJobSpec *spec, VtdCopy *copy, const char *path,
                     uint64_t *ret_job, GError **error);

/** vtd_log_peer_refused: @method: (nullable): that was called */
void vtd_log_peer_refused(VtdDaemon *daemon, VtdPeerRefusal reason, uint32_t uid,
                          const char *method);
