/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-daemon-verify.c: jobs that verify and repair what is here, and what follows from them */
#include "vtd-daemon.h"
#include "vtd-look.h"
#include "vtd-repair.h"

/* The running job that does the same, or a new one; @ret_new: (nullable): which one */
static bool
find_or_add(VtdDaemon *daemon, const VtdJobSpec *spec, VtdJob **ret_new, uint64_t *ret_job,
            GError **error)
{
    VtdJob *job = vtd_jobs_find(daemon->jobs, spec);

    *ret_new = NULL;
    if (!job && !vtd_jobs_add(daemon->jobs, spec, ret_new, error))
        return false;
    *ret_job = (job ? job : *ret_new)->row->id;
    return true;
}

static void
log_damage(const VtdPool *pool, const VtdVerify *verify, guint number)
{
    const VtDigest *layer = &g_array_index(verify->layers, VtDigest, number);
    const VtdEventFields fields = {.pool = verify->target,
                                   .name = verify->name,
                                   .version = verify->version,
                                   .digest = layer,
                                   .reason = "corrupt"};

    vtd_monitor_add(pool->config->workers.monitor, VTD_COUNT_DAMAGED_PLACES, 0,
                    verify->states[number].damaged);
    vtd_event_log(VTD_EVENT_DAMAGED, &fields,
                  "layer %u of %u of %s@%s in '%s' is damaged in %" G_GUINT64_FORMAT
                  " places: %s; 'virt-template verify --repair' mends it",
                  number + 1, verify->layers->len, verify->name, verify->version, verify->target,
                  verify->states[number].damaged, verify->states[number].reason);
}

/* Nobody gets a clone of what is known to be damaged, whatever became of the pool's settings
 * meanwhile. What the damage of another layer hides is as it was known before. */
static void
remember(VtdPool *asked, const VtdVerify *verify)
{
    VtdPool *pool = vtd_pool_current(asked);

    for (guint i = 0; i < verify->layers->len; i++) {
        const VtDigest *layer = &g_array_index(verify->layers, VtDigest, i);
        const VtLayerState *state = &verify->states[i];

        if (state->damaged > 0) {
            log_damage(pool, verify, i);
            vtd_pool_damage(pool, layer, state->reason);
        } else if (verify->checked && state->unknown == 0) {
            vtd_pool_damage(pool, layer, NULL);
        }
    }
}

/* ---- verify ---- */

typedef struct {
    VtdPool *pool;
    VtdVerify verify;
} VerifyRun;

static void
verify_run_free(gpointer data)
{
    VerifyRun *run = data;

    vtd_pool_unref(run->pool);
    vtd_verify_clear(&run->verify);
    g_free(run);
}

static bool
verify_body(VtdJob *job, void *user, GError **error)
{
    return vtd_verify_run(job, &((VerifyRun *)user)->verify, error);
}

static void
verify_ended(void *user, const GError *error)
{
    const VerifyRun *run = user;

    remember(run->pool, &run->verify);
}

bool
vtd_daemon_verify(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec, const GArray *layers,
                  uint64_t *ret_job, GError **error)
{
    VerifyRun *run;
    VtdJob *job;

    if (!find_or_add(daemon, spec, &job, ret_job, error))
        return false;
    if (!job)
        return true;
    job->row->path = vtd_version_path(spec->target, spec->name, spec->version);
    run = g_new0(VerifyRun, 1);
    run->pool = vtd_pool_ref(pool);
    vtd_verify_init(&run->verify, spec, layers);
    vtd_job_run(job, &(const VtdJobTask){verify_body, verify_ended, run, verify_run_free});
    return true;
}

/* ---- repair ---- */

typedef struct {
    VtdDaemon *daemon;
    VtdPool *pool;
    VtdJob *job;
    VtdRepair *repair;
} RepairRun;

static void
repair_run_free(gpointer data)
{
    RepairRun *run = data;

    vtd_pool_unref(run->pool);
    vtd_repair_free(run->repair);
    g_free(run);
}

static bool
repair_body(VtdJob *job, void *user, GError **error)
{
    return vtd_repair_run(job, ((RepairRun *)user)->repair, error);
}

static void
repair_ended(void *user, const GError *error)
{
    const RepairRun *run = user;
    const VtdRepair *repair = run->repair;

    /* When it failed, the new files that were looked at are not those that are there */
    if (error && repair->repaired > 0)
        return;
    remember(run->pool, &repair->verify);
    if (error || repair->repaired == 0)
        return;
    run->job->done_event = VTD_EVENT_REPAIRED;
    vtd_monitor_add(run->daemon->config->workers.monitor, VTD_COUNT_REPAIRED_LAYERS, 0,
                    repair->repaired);
    g_free(run->job->row->message);
    run->job->row->message = g_strdup_printf(
        "%u of %u layers were repaired%s", repair->repaired, repair->verify.layers->len,
        repair->in_use ? "; running guests have the damaged copy open, and read it until they are "
                         "shut down and started again"
                       : "");
}

static bool
prepare_begin(VtdLook *look, void *user, GError **error)
{
    const RepairRun *run = user;

    return !g_cancellable_set_error_if_cancelled(run->job->cancellable, error);
}

/* What may be repaired is what may be used: it is in the catalog, and the policy trusts it */
static bool
prepare_repair(VtdLook *look, void *user, GError **error)
{
    RepairRun *run = user;
    const VtDbJob *row = run->job->row;
    VtdJobSpec spec = {.target = look->settings->target, .name = row->name};
    VtdLocal local;

    if (!vtd_look_open(look, error) || !vtd_look_kept(look, row->name, row->version, &local, error))
        return false;
    spec.version = local.entry->version;
    run->repair = g_new0(VtdRepair, 1);
    run->repair->workers = &run->daemon->config->workers;
    run->repair->manifest = local.entry->manifest;
    vt_store_url_parse(look->settings->store, &run->repair->url, NULL);
    vtd_verify_init(&run->repair->verify, &spec, local.layers);
    return true;
}

static void
prepared(VtdLook *look, void *user, GError *failure)
{
    g_autoptr(GError) error = failure;
    RepairRun *run = user;
    VtDbJob *row = run->job->row;

    if (error) {
        vtd_job_finish(run->job, error);
        repair_run_free(run);
        return;
    }
    g_free(row->version);
    row->version = g_strdup(run->repair->verify.version);
    row->path = vtd_version_path(row->target, row->name, row->version);
    vtd_job_run(run->job, &(const VtdJobTask){repair_body, repair_ended, run, repair_run_free});
}

/* The store was asked for its catalog; if it is away, what is known is what there is to go by */
static void
looked_up(void *user)
{
    GError *error = NULL;
    RepairRun *run = user;

    if (!vtd_pool_visit(run->pool, &(const VtdVisit){prepare_begin, prepare_repair, prepared, run},
                        VTD_JOBS_WAITING_MAX, &error))
        prepared(NULL, run, error);
}

bool
vtd_daemon_repair(VtdDaemon *daemon, VtdPool *pool, const VtdJobSpec *spec, uint64_t *ret_job,
                  GError **error)
{
    const VtCatalogEntry *entry;
    VtdJobSpec exact = *spec;
    RepairRun *run;
    VtdJob *job;

    if (vtd_pool_find(pool, spec->name, spec->version, &entry, NULL))
        exact.version = entry->version;
    if (!find_or_add(daemon, &exact, &job, ret_job, error))
        return false;
    if (!job)
        return true;
    run = g_new0(RepairRun, 1);
    *run = (RepairRun){daemon, vtd_pool_ref(pool), job, NULL};
    vtd_job_report(job, &(const VtdProgress){.phase = "catalog"});
    vtd_pool_refresh(pool, looked_up, run);
    return true;
}
