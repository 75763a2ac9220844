/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-batch.c: work on many things at the same time, until one fails */
#include "vtc-batch.h"

/* libvirt serves five clients of a connection at once; more would only wait */
#define THREADS 4

typedef struct {
    const GPtrArray *items;
    VtcBatchWork work;
    gpointer user_data;
    GMutex lock;
    guint next;      /* guarded by lock: of items */
    GPtrArray *done; /* guarded by lock */
    GError *error;   /* guarded by lock; the first */
} Batch;

/* Returns: (nullable): the next item, unless something has failed */
static gpointer
take(Batch *batch)
{
    gpointer item = NULL;

    g_mutex_lock(&batch->lock);
    if (!batch->error && batch->next < batch->items->len)
        item = batch->items->pdata[batch->next++];
    g_mutex_unlock(&batch->lock);
    return item;
}

static void
put(Batch *batch, gpointer item, GError *error)
{
    g_mutex_lock(&batch->lock);
    if (!error)
        g_ptr_array_add(batch->done, item);
    else if (!batch->error)
        batch->error = g_error_copy(error);
    g_mutex_unlock(&batch->lock);
}

static gpointer
run_thread(gpointer user_data)
{
    Batch *batch = user_data;
    gpointer item;

    while ((item = take(batch))) {
        g_autoptr(GError) error = NULL;

        batch->work(item, batch->user_data, &error);
        put(batch, item, error);
    }
    return NULL;
}

bool
vtc_batch_run(const GPtrArray *items, VtcBatchWork work, gpointer user_data, GPtrArray *done,
              GError **error)
{
    Batch batch = {.items = items, .work = work, .user_data = user_data, .done = done};
    GThread *threads[THREADS];
    const guint count = MIN(items->len, THREADS);

    g_mutex_init(&batch.lock);
    for (guint i = 0; i < count; i++)
        threads[i] = g_thread_new("batch", run_thread, &batch);
    for (guint i = 0; i < count; i++)
        g_thread_join(threads[i]);
    g_mutex_clear(&batch.lock);
    if (!batch.error)
        return true;
    g_propagate_error(error, batch.error);
    return false;
}
