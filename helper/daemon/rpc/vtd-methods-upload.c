/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-upload.c: makes seeds of what was uploaded into a pool */
#include "vtd-visit.h"

#include "vt-upload-file.h"
#include "vtd-upload.h"

/* The others are taken at the next refresh */
#define TAKEN_AT_ONCE 8
/* The whole call; a second less than a client waits */
#define CALL_TIME (4 * G_USEC_PER_SEC)

typedef struct {
    VtdCall *call;
    char *target;
    GPtrArray *names;
    GVariantBuilder refused;
} Run;

static gboolean
run_ended(gpointer data)
{
    Run *run = data;

    vtd_call_return(run->call, g_variant_new("(a(ss))", &run->refused));
    g_ptr_array_unref(run->names);
    g_free(run->target);
    g_free(run);
    return G_SOURCE_REMOVE;
}

static gpointer
run_in_thread(gpointer data)
{
    Run *run = data;
    const gint64 end = g_get_monotonic_time() + CALL_TIME / 2;
    /* Somewhere else each time, or some that are refused for ever would keep out all others */
    const guint first = g_random_int_range(0, (gint32)run->names->len);

    for (guint i = 0; i < MIN(run->names->len, TAKEN_AT_ONCE); i++) {
        const char *name = run->names->pdata[(first + i) % run->names->len];
        g_autoptr(GError) error = NULL;

        if (g_get_monotonic_time() > end)
            break;
        if (vtd_upload_take(&run->call->daemon->config->workers, run->target, name, &error))
            continue;
        if (!g_error_matches(error, VT_ERROR, VT_ERROR_BUSY))
            g_variant_builder_add(&run->refused, "(ss)", name, error->message);
    }
    g_idle_add_full(G_PRIORITY_DEFAULT, run_ended, run, NULL);
    return NULL;
}

static bool
list_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    GPtrArray *names;

    if (!vt_upload_list(look->settings->target, &names, error))
        return false;
    visit->user = names;
    return true;
}

/* Without a thread they are taken at the next refresh */
static void
start_run(Run *run)
{
    GThread *thread =
        run->names->len > 0 ? g_thread_try_new("upload", run_in_thread, run, NULL) : NULL;

    if (thread)
        g_thread_unref(thread);
    else
        run_ended(run);
}

static bool
list_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Run *run = g_new0(Run, 1);

    run->call = visit->call;
    run->target = g_strdup(look->settings->target);
    run->names = g_steal_pointer(&visit->user);
    g_variant_builder_init(&run->refused, G_VARIANT_TYPE("a(ss)"));
    start_run(run);
    return true;
}

static void
free_names(void *names)
{
    if (names)
        g_ptr_array_unref(names);
}

bool
vtd_method_take_uploads(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, list_work, list_reply};
    const char *path = vtd_call_string(call, 0);
    VtdTarget target = {0};

    return vtd_check_path(path, error) &&
           vtd_daemon_pool(call->daemon, path, &target.pool, error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target, NULL, free_names}, &steps, error);
}
