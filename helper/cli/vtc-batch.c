/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-batch.c: work on many things at the same time, until one fails */
#include "vtc-batch.h"

/* libvirt serves five clients of a connection at once; more would only wait */
#define THREADS 4

typedef struct {
    VtcBatchWork work;
    gpointer user_data;
    GMutex lock;
    GPtrArray *done; /* guarded by lock */
    GError *error;   /* guarded by lock; the first */
} Batch;

static void
work_on(gpointer item, gpointer user_data)
{
    Batch *batch = user_data;
    g_autoptr(GError) error = NULL;
    bool stopped, ok;

    g_mutex_lock(&batch->lock);
    stopped = batch->error != NULL;
    g_mutex_unlock(&batch->lock);
    if (stopped)
        return;
    ok = batch->work(item, batch->user_data, &error);
    g_mutex_lock(&batch->lock);
    if (ok)
        g_ptr_array_add(batch->done, item);
    else if (!batch->error)
        batch->error = g_steal_pointer(&error);
    g_mutex_unlock(&batch->lock);
}

bool
vtc_batch_run(const GPtrArray *items, VtcBatchWork work, gpointer user_data, GPtrArray *done,
              GError **error)
{
    Batch batch = {.work = work, .user_data = user_data, .done = done};
    GThreadPool *threads;

    g_mutex_init(&batch.lock);
    threads = g_thread_pool_new(work_on, &batch, THREADS, FALSE, NULL);
    for (guint i = 0; i < items->len; i++)
        g_thread_pool_push(threads, items->pdata[i], NULL);
    g_thread_pool_free(threads, FALSE, TRUE);
    g_mutex_clear(&batch.lock);
    if (!batch.error)
        return true;
    g_propagate_error(error, batch.error);
    return false;
}
