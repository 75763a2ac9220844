/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool-seal.c: what was interrupted in the directory of a pool, and seals that are not there */
#include "vtd-pool.h"

#include "vt-name.h"
#include "vtd-event.h"

/* ---- all layers ---- */

typedef struct {
    VtdPool *pool;
    VtPool *files;
} Reseal;

static gboolean
resealed(gpointer data)
{
    Reseal *reseal = data;

    reseal->pool->resealing--;
    vtd_pool_unref(reseal->pool);
    vt_pool_free(reseal->files);
    g_free(reseal);
    return G_SOURCE_REMOVE;
}

static gpointer
reseal_in_thread(gpointer data)
{
    vt_pool_reseal(((Reseal *)data)->files);
    g_idle_add_full(G_PRIORITY_DEFAULT, resealed, data, NULL);
    return NULL;
}

/* @files: (transfer full). systemd makes about a hundred mounts in a second */
static void
reseal(VtdPool *pool, VtPool *files)
{
    Reseal *reseal = g_new0(Reseal, 1);

    *reseal = (Reseal){vtd_pool_ref(pool), files};
    pool->resealing++;
    g_thread_unref(g_thread_new("reseal", reseal_in_thread, reseal));
}

void
vtd_pool_reseal(VtdPool *pool)
{
    VtPool *files = NULL;

    if (vt_pool_open(pool->settings->target, &files, NULL))
        reseal(pool, files);
}

void
vtd_pool_recover(VtdPool *pool)
{
    const VtdEventFields fields = {.pool = pool->settings->target};
    VtPool *files = NULL;
    guint count;

    if (!vt_pool_open(pool->settings->target, &files, NULL))
        return;
    count = vt_pool_recover(files);
    reseal(pool, files);
    if (count == 0)
        return;
    vtd_monitor_add(pool->config->workers.monitor, VTD_COUNT_RECOVERIES, 0, count);
    vtd_event_log(VTD_EVENT_RECOVERED, &fields,
                  "what was interrupted in '%s' was brought to its end: %u repairs and evictions",
                  pool->settings->target, count);
}

/* ---- those that a clone is wanted of now ---- */

typedef struct {
    VtPool *files;
    char *volume;
    GArray *layers;
    VtdSealDone done;
    void *user;
} First;

static void
first_free(gpointer data)
{
    First *first = data;

    vt_pool_free(first->files);
    g_free(first->volume);
    g_array_unref(first->layers);
    g_free(first);
}

static void
seal_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const First *first = data;

    vt_pool_reseal_version(first->files, first->volume, first->layers);
    g_task_return_boolean(task, TRUE);
}

static void
sealed(GObject *source, GAsyncResult *result, gpointer data)
{
    const First *first = g_task_get_task_data(G_TASK(result));

    first->done(first->user);
}

bool
vtd_pool_is_sealed(const VtdPool *pool, VtPool *files, const char *name, const VtdLocal *local)
{
    g_autofree char *volume = NULL;

    if (pool->resealing == 0)
        return true;
    volume = vt_volume_name(name, local->entry->version);
    return vt_pool_is_sealed(files, volume, local->layers);
}

void
vtd_pool_seal_first(VtPool *files, const char *name, const VtdLocal *local, VtdSealDone done,
                    void *user)
{
    g_autoptr(GTask) task = g_task_new(NULL, NULL, sealed, NULL);
    First *first = g_new0(First, 1);

    *first = (First){files, vt_volume_name(name, local->entry->version),
                     g_array_copy((GArray *)local->layers), done, user};
    g_task_set_task_data(task, first, first_free);
    g_task_run_in_thread(task, seal_in_thread);
}
