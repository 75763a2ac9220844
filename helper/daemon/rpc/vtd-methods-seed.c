/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-seed.c: seeds, made when a domain starts and removed when it has ended */
#include "vtd-visit.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-secrets.h"
#include "vt-seed-file.h"
#include "vtd-seed.h"
#include "vtd-worker-protocol.h"

#include <fcntl.h>

/* Turns that may wait for a directory that does not answer: each has a worker */
#define WAITING_MAX 8

/* A call, from its request to its answer: in the main loop, but for what it does in turns */
typedef struct {
    VtdCall *call;
    bool prepares;
    GBytes *documents[VTD_SEED_DOCUMENTS];
    VtdSeed seed;
} Run;

static void
run_free(Run *run)
{
    for (gsize i = 0; i < VTD_SEED_DOCUMENTS; i++)
        g_clear_pointer(&run->documents[i], g_bytes_unref);
    vtd_seed_clear(&run->seed);
    g_free(run);
}

/* A path outside of our pools is nobody's to write, whatever a domain says */
static bool
find_pool(VtdDaemon *daemon, const char *path, VtdPool **ret_pool, GError **error)
{
    g_autofree char *target = NULL;

    if (!vtd_check_path(path, error) || !vt_seed_target(path, &target, error))
        return false;
    if (vtd_daemon_pool(daemon, target, ret_pool, error))
        return true;
    g_prefix_error(error, "the seed's path '%s': ", path);
    return false;
}

static bool
find_pool_of(const Run *run, VtdPool **ret_pool, GError **error)
{
    const VtdSeed *seed = &run->seed;

    if (!g_uuid_string_is_valid(seed->owner))
        return vt_throw(error, VT_ERROR_FAILED, "the seed worker names no domain");
    return find_pool(run->call->daemon, seed->path, ret_pool, error);
}

/* @error: (transfer full) (nullable) */
static void
answer(Run *run, GError *error)
{
    const char *path = run->seed.path ? run->seed.path : "";

    if (error)
        vtd_call_throw(run->call, error);
    else
        vtd_call_return(run->call, g_variant_new("(s)", path));
    run_free(run);
}

static bool
settle(VtdLook *look, void *user, GError **error)
{
    const Run *run = user;
    const VtdSeed *seed = &run->seed;

    return run->prepares ? vt_seed_place(seed->path, seed->owner, seed->image, error)
                         : vt_seed_remove(seed->path, seed->owner, error);
}

static void
settled(VtdLook *look, void *user, GError *error)
{
    answer(user, error);
}

/* ---- what does not stand in the XML ---- */

static bool
read_defaults(const VtPoolSettings *settings, GBytes **ret_bytes, GError **error)
{
    const char *path = settings->defaults;

    if (!*path || vt_fs_read(AT_FDCWD, path, VTD_SEED_DOCUMENT_MAX, ret_bytes, error))
        return true;
    g_prefix_error(error, "defaults of the pool '%s': ", settings->name);
    return false;
}

static bool
find_config(Run *run, VtdLook *look, GError **error)
{
    g_autofree char *name = NULL, *version = NULL;
    VtdLocal local;

    if (vt_reference_parse(run->seed.reference, &name, &version, error) &&
        vtd_look_open(look, error) && vtd_look_use(look, name, version, &local, error) &&
        vtd_look_config(look, &local, &run->documents[VTD_SEED_CONFIG], error))
        return true;
    g_prefix_error(error, "the domain's template %s: ", run->seed.reference);
    return false;
}

static bool
look_up(VtdLook *look, void *user, GError **error)
{
    Run *run = user;

    return vt_seed_read_secrets(run->seed.path, run->seed.owner, &run->documents[VTD_SEED_SECRETS],
                                error) &&
           (!run->seed.reference ||
            (find_config(run, look, error) &&
             read_defaults(look->settings, &run->documents[VTD_SEED_DEFAULTS], error)));
}

static void
looked_up(VtdLook *look, void *user, GError *error)
{
    Run *run = user;

    if (error || !vtd_seeder_answer(run->documents, &run->seed, &error))
        answer(run, error);
}

/* ---- calls ---- */

/* The next thing to be done in the pool's directory */
static bool
go_on(Run *run, GError **error)
{
    const VtdVisit visit = run->seed.asks ? (VtdVisit){NULL, look_up, looked_up, run}
                                          : (VtdVisit){NULL, settle, settled, run};
    VtdPool *pool;

    if (!run->seed.path)
        return vt_throw(error, VT_ERROR_FAILED, "the seed worker names no path");
    return find_pool_of(run, &pool, error) && vtd_pool_visit(pool, &visit, WAITING_MAX, error);
}

static void
said(gpointer user, GError *error)
{
    Run *run = user;
    const bool nothing = !run->seed.path && !run->seed.asks;

    if (error || nothing || !go_on(run, &error))
        answer(run, error);
}

static bool
start(VtdCall *call, bool prepares, GError **error)
{
    g_autoptr(GVariant) text = g_variant_get_child_value(call->arguments, 0);
    gsize size;
    const char *xml = g_variant_get_string(text, &size);
    g_autoptr(GBytes) bytes = g_bytes_new_static(xml, size);
    Run *run = g_new0(Run, 1);

    run->call = call;
    run->prepares = prepares;
    run->seed.said = said;
    run->seed.user = run;
    if (vtd_seeder_begin(call->daemon->seeder, bytes, prepares, &run->seed, error))
        return true;
    run_free(run);
    return false;
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

/* ---- secrets ---- */

static bool
take_secrets(GVariant *values, GBytes **ret_bytes, GError **error)
{
    json_auto_t *secrets = json_object();
    const char *key, *value;
    GVariantIter iter;

    g_variant_iter_init(&iter, values);
    while (g_variant_iter_next(&iter, "{&s&s}", &key, &value)) {
        if (json_object_get(secrets, key))
            return vt_throw(error, VT_ERROR_INVALID, "a secret is there twice");
        json_object_set_new(secrets, key, json_string(value));
    }
    return json_object_size(secrets) == 0 || vt_secrets_format(secrets, ret_bytes, error);
}

static bool
secrets_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    return vt_seed_set_secrets(vtd_call_string(visit->call, 0), vtd_call_string(visit->call, 1),
                               visit->user, error);
}

static bool
secrets_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    vtd_call_return(visit->call, NULL);
    return true;
}

static void
free_secrets(void *secrets)
{
    g_bytes_unref(secrets);
}

bool
vtd_method_set_secrets(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, secrets_work, secrets_reply};
    g_autoptr(GVariant) values = g_variant_get_child_value(call->arguments, 2);
    const char *owner = vtd_call_string(call, 1);
    g_autoptr(GBytes) secrets = NULL;
    VtdTarget target = {0};

    if (!g_uuid_string_is_valid(owner))
        return vt_throw(error, VT_ERROR_INVALID,
                        "whose secrets they are is not said with the UUID of a domain: see 'virsh "
                        "domuuid'");
    if (!find_pool(call->daemon, vtd_call_string(call, 0), &target.pool, error) ||
        !take_secrets(values, &secrets, error))
        return false;
    return vtd_call_visit(
        &(const VtdCallVisit){call, target, g_steal_pointer(&secrets), free_secrets}, &steps,
        error);
}
