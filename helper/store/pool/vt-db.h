/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-db.h: what the daemon remembers, in SQLite: pools, catalogs, jobs, damage */
#pragma once

#include "vt-digest.h"

#include <stdint.h>

/*
 * All of it can be had again: pools from libvirt, catalogs from their stores; layers and clones are
 * files. A database that SQLite calls damaged is put aside and a new one is begun.
 * One thread at a time.
 */
typedef struct VtDb VtDb;

/** vt_db_open: @path: made when it is not there, mode 0600 */
bool vt_db_open(const char *path, VtDb **ret_db, GError **error);
void vt_db_close(VtDb *db);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDb, vt_db_close)

/**
 * VtPoolSettings: what libvirt told about a pool
 * @target: absolute path, the pool's name for us
 * @store: URL
 * @policy: path of policy.json
 * @strategy: `linked` or `full`
 * @defaults: path of a file of parameter values, "" for none
 * @cache_max: bytes, 0 = no limit
 */
typedef struct {
    char *target;
    char *name;
    char *uuid;
    char *store;
    char *policy;
    char *strategy;
    char *defaults;
    uint64_t cache_max;
} VtPoolSettings;
VtPoolSettings *vt_pool_settings_copy(const VtPoolSettings *settings);
void vt_pool_settings_free(VtPoolSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtPoolSettings, vt_pool_settings_free)

bool vt_db_put_pool(VtDb *db, const VtPoolSettings *settings, GError **error);
/** vt_db_forget_pool: Its catalog goes, too */
bool vt_db_forget_pool(VtDb *db, const char *target, GError **error);
/** vt_db_list_pools: @ret_pools: (out) (transfer full) (element-type VtPoolSettings) */
bool vt_db_list_pools(VtDb *db, GPtrArray **ret_pools, GError **error);

/**
 * VtDbCatalog: a verified catalog
 * @store: URL it came from
 * @manifest: digest of its manifest
 * @document: its bytes
 * @proofs: the signatures it was verified with
 * @checked: when the store last said that it is current, microseconds since 1970
 */
typedef struct {
    char *store;
    VtDigest manifest;
    GBytes *document;
    GBytes *proofs;
    int64_t checked;
} VtDbCatalog;
void vt_db_catalog_clear(VtDbCatalog *catalog);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtDbCatalog, vt_db_catalog_clear)

bool vt_db_put_catalog(VtDb *db, const char *target, const VtDbCatalog *catalog, GError **error);
/** vt_db_get_catalog: %VT_ERROR_NOT_FOUND when there is none */
bool vt_db_get_catalog(VtDb *db, const char *target, VtDbCatalog *ret_catalog, GError **error);

/**
 * VtDbJob: one row of the job history
 * @id: 0 asks vt_db_put_job() for a new one
 * @started: microseconds since 1970
 * @ended: 0 while it runs
 * @error: D-Bus error name, of a failed job
 * @path: of the volume, of a job that is done
 */
typedef struct {
    uint64_t id;
    char *kind;
    char *target;
    char *name;
    char *version;
    uint32_t owner;
    char *state;
    uint64_t done;
    uint64_t total;
    uint64_t received;
    uint64_t requests;
    int64_t started;
    int64_t ended;
    char *error;
    char *message;
    char *path;
} VtDbJob;
VtDbJob *vt_db_job_copy(const VtDbJob *job);
void vt_db_job_free(VtDbJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDbJob, vt_db_job_free)

/** vt_db_put_job: Inserts (@job->id becomes the new one) or updates; stays as it was on an error */
bool vt_db_put_job(VtDb *db, VtDbJob *job, GError **error);
/** vt_db_list_jobs: @ret_jobs: (out) (transfer full) (element-type VtDbJob): newest first */
bool vt_db_list_jobs(VtDb *db, unsigned limit, GPtrArray **ret_jobs, GError **error);
/** vt_db_list_running: The same for all that have not ended, however old */
bool vt_db_list_running(VtDb *db, GPtrArray **ret_jobs, GError **error);
/** vt_db_get_job: %VT_ERROR_NOT_FOUND */
bool vt_db_get_job(VtDb *db, uint64_t id, VtDbJob **ret_job, GError **error);

/**
 * VtDbDamage: a layer that is not what its index says
 * @reason: what was found
 */
typedef struct {
    VtDigest index;
    char *reason;
} VtDbDamage;
void vt_db_damage_free(VtDbDamage *damage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDbDamage, vt_db_damage_free)

/** vt_db_put_damage: @reason: (nullable): it is not damaged, any more. Outlives the pool's row, as
 *  the files do */
bool vt_db_put_damage(VtDb *db, const char *target, const VtDigest *index, const char *reason,
                      GError **error);
/** vt_db_list_damage: @ret_damage: (out) (transfer full) (element-type VtDbDamage) */
bool vt_db_list_damage(VtDb *db, const char *target, GPtrArray **ret_damage, GError **error);
