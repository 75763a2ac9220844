/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-seed.c: seeds, made when a domain starts and removed when it has ended */
#include "vtd-methods.h"

#include "vt-seed-file.h"
#include "vtd-seed.h"

/*
 * The worker runs in a thread of the call; pools and files are the main thread's.
 */
typedef struct {
    VtdCall *call;
    VtdSeeder *seeder;
    GBytes *xml;
    bool prepares;
    VtdSeed seed;
    GError *error;
} Run;

static void
run_free(Run *run)
{
    g_bytes_unref(run->xml);
    vtd_seed_clear(&run->seed);
    g_clear_error(&run->error);
    g_free(run);
}

/* A path outside of our pools is nobody's to write, whatever a domain says */
static bool
settle(Run *run, GError **error)
{
    const VtdSeed *seed = &run->seed;
    g_autofree char *target = NULL;
    VtdPool *pool;

    if (!seed->path)
        return true;
    if (!vtd_check_path(seed->path, error) || !vt_seed_target(seed->path, &target, error))
        return false;
    if (!g_uuid_string_is_valid(seed->owner))
        return vt_throw(error, VT_ERROR_FAILED, "the seed worker names no domain");
    if (!vtd_daemon_pool(run->call->daemon, target, &pool, error)) {
        g_prefix_error(error, "the seed's path '%s': ", seed->path);
        return false;
    }
    return run->prepares ? vt_seed_place(seed->path, seed->owner, seed->image, error)
                         : vt_seed_remove(seed->path, seed->owner, error);
}

static gboolean
run_ended(gpointer data)
{
    Run *run = data;

    if (!run->error && settle(run, &run->error))
        vtd_call_return(run->call, g_variant_new("(s)", run->seed.path ? run->seed.path : ""));
    else
        vtd_call_throw(run->call, g_steal_pointer(&run->error));
    run_free(run);
    return G_SOURCE_REMOVE;
}

static gpointer
run_in_thread(gpointer data)
{
    Run *run = data;
    VtdSeeder *seeder = run->seeder;

    vtd_seeder_make(seeder, run->xml, run->prepares, &run->seed, &run->error);
    g_idle_add_full(G_PRIORITY_DEFAULT, run_ended, run, NULL);
    /* The caller has its answer meanwhile */
    vtd_seeder_refill(seeder);
    vtd_seeder_unref(seeder);
    return NULL;
}

static bool
start(VtdCall *call, bool prepares, GError **error)
{
    g_autoptr(GVariant) text = g_variant_get_child_value(call->arguments, 0);
    Run *run = g_new0(Run, 1);
    gsize size;
    const char *xml = g_variant_get_string(text, &size);

    *run = (Run){.call = call,
                 .seeder = vtd_seeder_ref(call->daemon->seeder),
                 .xml = g_bytes_new(xml, size),
                 .prepares = prepares};
    g_thread_unref(g_thread_new("seed", run_in_thread, run));
    return true;
}

bool
vtd_method_prepare_instance(VtdCall *call, GError **error)
{
    return start(call, true, error);
}

bool
vtd_method_release_instance(VtdCall *call, GError **error)
{
    return start(call, false, error);
}
