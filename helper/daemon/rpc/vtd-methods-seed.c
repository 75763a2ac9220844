/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-seed.c: seeds, made when a domain starts and removed when it has ended */
#include "vtd-methods.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-secrets.h"
#include "vt-seed-file.h"
#include "vtd-seed.h"
#include "vtd-worker-protocol.h"

#include <fcntl.h>

/* A call, from its request to its answer: all in the main loop */
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

static bool
settle(Run *run, GError **error)
{
    const VtdSeed *seed = &run->seed;
    VtdPool *pool;

    if (!seed->path)
        return true;
    if (!find_pool_of(run, &pool, error))
        return false;
    return run->prepares ? vt_seed_place(seed->path, seed->owner, seed->image, error)
                         : vt_seed_remove(seed->path, seed->owner, error);
}

/* ---- what does not stand in the XML ---- */

static bool
read_defaults(const VtdPool *pool, GBytes **ret_bytes, GError **error)
{
    const char *path = pool->settings->defaults;

    if (!*path || vt_fs_read(AT_FDCWD, path, VTD_SEED_DOCUMENT_MAX, ret_bytes, error))
        return true;
    g_prefix_error(error, "defaults of the pool '%s': ", pool->settings->name);
    return false;
}

static bool
find_config(Run *run, VtdPool *pool, GError **error)
{
    g_autofree char *name = NULL, *version = NULL;
    g_autoptr(VtPool) files = NULL;
    VtdLocal local;

    if (vt_reference_parse(run->seed.reference, &name, &version, error) &&
        vt_pool_open(pool->settings->target, &files, error) &&
        vtd_pool_use(pool, files, name, version, &local, error) &&
        vtd_pool_config(files, &local, &run->documents[VTD_SEED_CONFIG], error))
        return true;
    g_prefix_error(error, "the domain's template %s: ", run->seed.reference);
    return false;
}

static bool
look_up(Run *run, GError **error)
{
    VtdPool *pool;

    if (!run->seed.path)
        return vt_throw(error, VT_ERROR_FAILED, "the seed worker names no path");
    return find_pool_of(run, &pool, error) &&
           vt_seed_read_secrets(run->seed.path, run->seed.owner, &run->documents[VTD_SEED_SECRETS],
                                error) &&
           (!run->seed.reference ||
            (find_config(run, pool, error) &&
             read_defaults(pool, &run->documents[VTD_SEED_DEFAULTS], error)));
}

/* ---- calls ---- */

static void
said(gpointer user, GError *error)
{
    Run *run = user;
    VtdSeed *seed = &run->seed;

    if (!error && seed->asks && look_up(run, &error) &&
        vtd_seeder_answer(run->documents, seed, &error))
        return;
    if (!error && settle(run, &error))
        vtd_call_return(run->call, g_variant_new("(s)", seed->path ? seed->path : ""));
    else
        vtd_call_throw(run->call, error);
    run_free(run);
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

bool
vtd_method_set_secrets(VtdCall *call, GError **error)
{
    g_autoptr(GVariant) values = g_variant_get_child_value(call->arguments, 2);
    g_autoptr(GBytes) secrets = NULL;
    const char *path, *owner;
    VtdPool *pool;

    g_variant_get(call->arguments, "(&s&s@a{ss})", &path, &owner, NULL);
    if (!g_uuid_string_is_valid(owner))
        return vt_throw(error, VT_ERROR_INVALID,
                        "whose secrets they are is not said with the UUID of a domain: see 'virsh "
                        "domuuid'");
    if (!find_pool(call->daemon, path, &pool, error) || !take_secrets(values, &secrets, error) ||
        !vt_seed_set_secrets(path, owner, secrets, error))
        return false;
    vtd_call_return(call, NULL);
    return true;
}
