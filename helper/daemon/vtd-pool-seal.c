/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool-seal.c: what was interrupted in the directory of a pool, and seals that are not there */
#include "vtd-event.h"
#include "vtd-look.h"

/* ---- all layers ---- */

/* @target: belongs to @pool */
typedef struct {
    VtdPool *pool;
    const char *target;
} Reseal;

static gboolean
resealed(gpointer data)
{
    Reseal *reseal = data;

    reseal->pool->resealing--;
    vtd_pool_unref(reseal->pool);
    g_free(reseal);
    return G_SOURCE_REMOVE;
}

static gpointer
reseal_in_thread(gpointer data)
{
    g_autoptr(VtPool) files = NULL;

    if (vt_pool_open(((Reseal *)data)->target, &files, NULL))
        vt_pool_reseal(files);
    g_idle_add_full(G_PRIORITY_DEFAULT, resealed, data, NULL);
    return NULL;
}

/* systemd makes about a hundred mounts in a second */
void
vtd_pool_reseal(VtdPool *pool)
{
    Reseal *reseal = g_new0(Reseal, 1);
    g_autoptr(GError) error = NULL;
    GThread *thread;

    *reseal = (Reseal){vtd_pool_ref(pool), pool->settings->target};
    pool->resealing++;
    thread = g_thread_try_new("reseal", reseal_in_thread, reseal, &error);
    if (thread) {
        g_thread_unref(thread);
        return;
    }
    g_warning("'%s' is not looked through for lost seals: %s", reseal->target, error->message);
    resealed(reseal);
}

/* ---- what was interrupted ---- */

typedef struct {
    VtdPool *pool;
    guint count;
} Recovery;

static bool
recover(VtdLook *look, void *user, GError **error)
{
    if (!vtd_look_open(look, error))
        return false;
    ((Recovery *)user)->count = vt_pool_recover(look->files);
    return true;
}

static void
recovered(VtdLook *look, void *user, GError *error)
{
    g_autofree Recovery *recovery = user;
    g_autoptr(VtdPool) pool = recovery->pool;
    const VtdEventFields fields = {.pool = pool->settings->target};

    /* A directory that is not there now has nothing to be sealed */
    if (!error)
        vtd_pool_reseal(pool);
    g_clear_error(&error);
    if (recovery->count == 0)
        return;
    vtd_monitor_add(pool->config->workers.monitor, VTD_COUNT_RECOVERIES, 0, recovery->count);
    vtd_event_log(VTD_EVENT_RECOVERED, &fields,
                  "what was interrupted in '%s' was brought to its end: %u repairs and evictions",
                  pool->settings->target, recovery->count);
}

void
vtd_pool_recover(VtdPool *pool)
{
    Recovery *recovery = g_new0(Recovery, 1);

    recovery->pool = vtd_pool_ref(pool);
    vtd_pool_visit_surely(pool, &(const VtdVisit){NULL, recover, recovered, recovery});
}

/* ---- those that a clone is wanted of now ---- */

typedef struct {
    char *target;
    char *volume;
    GArray *layers;
    VtdSealDone done;
    void *user;
} First;

static void
first_free(gpointer data)
{
    First *first = data;

    g_free(first->target);
    g_free(first->volume);
    g_array_unref(first->layers);
    g_free(first);
}

static void
seal_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const First *first = data;
    g_autoptr(VtPool) files = NULL;

    if (vt_pool_open(first->target, &files, NULL))
        vt_pool_reseal_version(files, first->volume, first->layers);
    g_task_return_boolean(task, TRUE);
}

static void
sealed(GObject *source, GAsyncResult *result, gpointer data)
{
    const First *first = g_task_get_task_data(G_TASK(result));

    first->done(first->user);
}

void
vtd_pool_seal_first(const VtdPool *pool, const char *volume, const GArray *layers, VtdSealDone done,
                    void *user)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, sealed, NULL);
    First *first = g_new0(First, 1);

    *first = (First){g_strdup(pool->settings->target), g_strdup(volume),
                     g_array_copy((GArray *)layers), done, user};
    g_task_set_task_data(task, first, first_free);
    g_task_run_in_thread(task, seal_in_thread);
}
