/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods.c: the methods of virttemplate.Helper1: arguments, pools and jobs */
#include "vtd-visit.h"

#include "vt-name.h"
#include "vt-size.h"
#include "vtd-event.h"

#include <limits.h>
#include <string.h>

/* JobWait and ListTemplates answer within this and 5 s */
#define WAIT_MAX_MS 10000
/* Calls that wait, of one connection */
#define WAITING_MAX 16

/* ---- calls ---- */

static void
call_free(VtdCall *call)
{
    call->user_calls->alive--;
    g_atomic_rc_box_release(call->user_calls);
    g_atomic_rc_box_release(call->peer_calls);
    g_free(call);
}

void
vtd_call_return(VtdCall *call, GVariant *values)
{
    g_dbus_method_invocation_return_value(call->invocation, values);
    call_free(call);
}

/* Somebody who may use templates wanted to use one that may not be used. Those who may only look
 * are told, but make no records. */
static void
log_refusal(const VtdCall *call, const GError *error)
{
    const char *name = g_dbus_method_invocation_get_method_name(call->invocation);
    const VtdMethod *method = vtd_method_find(name);
    const bool invalid = g_error_matches(error, VT_ERROR, VT_ERROR_INVALID) ||
                         g_error_matches(error, VT_ERROR, VT_ERROR_UNSUPPORTED);
    const VtdEventFields fields = {
        .reason = vtd_event_reason(error), .method = name, .peer_uid = &call->peer_uid};

    /* An argument of the call may be invalid just as well */
    if (!method || !method->changes || invalid || !vtd_event_is_refusal(error))
        return;
    vtd_monitor_refusal(call->daemon->config->workers.monitor, fields.reason);
    vtd_event_log(VTD_EVENT_REFUSED, &fields, "%s: %s", name, error->message);
}

void
vtd_call_refuse_peer(const VtdCall *call, VtdPeerRefusal reason)
{
    vtd_log_peer_refused(call->daemon, reason, call->peer_uid,
                         g_dbus_method_invocation_get_method_name(call->invocation));
}

void
vtd_call_throw(VtdCall *call, GError *error)
{
    log_refusal(call, error);
    if (error->domain == VT_ERROR)
        g_dbus_method_invocation_return_dbus_error(call->invocation,
                                                   vt_error_dbus_name(error->code), error->message);
    else
        g_dbus_method_invocation_return_gerror(call->invocation, error);
    g_error_free(error);
    call_free(call);
}

bool
vtd_call_may_wait(VtdCall *call)
{
    if (!vtd_daemon_is_owner(call->peer_uid) && call->peer_calls->waiting >= WAITING_MAX)
        return false;
    call->peer_calls->waiting++;
    return true;
}

void
vtd_call_waited(VtdCall *call)
{
    call->peer_calls->waiting--;
}

/* ---- arguments: whatever a peer sends has its grammar, before it is used for anything ---- */

static bool
has_control(const char *text)
{
    while (*text && !g_ascii_iscntrl(*text))
        text++;
    return *text != '\0';
}

bool
vtd_check_path(const char *path, GError **error)
{
    g_auto(GStrv) parts = NULL;

    if (path[0] != '/' || strlen(path) >= PATH_MAX || !g_utf8_validate(path, -1, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "a path must be absolute and valid UTF-8");
    if (has_control(path))
        return vt_throw(error, VT_ERROR_INVALID, "the path has a control character");
    if (path[1] == '\0')
        return vt_throw(error, VT_ERROR_INVALID, "the path is '/': name a directory below it");
    parts = g_strsplit(path + 1, "/", -1);
    for (char **part = parts; *part; part++) {
        if (**part == '\0' || g_str_equal(*part, ".") || g_str_equal(*part, ".."))
            return vt_throw(error, VT_ERROR_INVALID,
                            "the path '%s' has a part that is empty, '.' or '..'", path);
    }
    return true;
}

const char *
vtd_call_string(const VtdCall *call, gsize number)
{
    g_autoptr(GVariant) value = g_variant_get_child_value(call->arguments, number);

    /* belongs to call->arguments */
    return g_variant_get_string(value, NULL);
}

bool
vtd_call_target(VtdCall *call, VtdTarget *ret_target, GError **error)
{
    VtdTarget target = {.target = vtd_call_string(call, 0),
                        .name = vtd_call_string(call, 1),
                        .version = vtd_call_string(call, 2)};

    if (!vtd_check_path(target.target, error) || !vt_name_check(target.name, error))
        return false;
    if (*target.version && !vt_version_check(target.version, error))
        return false;
    if (!vtd_daemon_pool(call->daemon, target.target, &target.pool, error))
        return false;
    *ret_target = target;
    return true;
}

/* ---- pools ---- */

static bool
method_hello(VtdCall *call, GError **error)
{
    vtd_call_return(call, g_variant_new("(s)", VT_VERSION));
    return true;
}

static const struct {
    const char *key;
    gsize offset;
} text_settings[] = {
    {"name", G_STRUCT_OFFSET(VtPoolSettings, name)},
    {"uuid", G_STRUCT_OFFSET(VtPoolSettings, uuid)},
    {"store", G_STRUCT_OFFSET(VtPoolSettings, store)},
    {"policy", G_STRUCT_OFFSET(VtPoolSettings, policy)},
    {"strategy", G_STRUCT_OFFSET(VtPoolSettings, strategy)},
    {"defaults", G_STRUCT_OFFSET(VtPoolSettings, defaults)},
};

static bool
take_setting(VtPoolSettings *settings, const char *key, GVariant *value, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(text_settings); i++) {
        char **field = G_STRUCT_MEMBER_P(settings, text_settings[i].offset);

        if (!g_str_equal(text_settings[i].key, key))
            continue;
        if (!g_variant_is_of_type(value, G_VARIANT_TYPE_STRING))
            return vt_throw(error, VT_ERROR_INVALID, "setting '%s' is not a string", key);
        g_free(*field);
        *field = g_variant_dup_string(value, NULL);
        return true;
    }
    if (!g_str_equal(key, "cache-max"))
        return vt_throw(error, VT_ERROR_INVALID, "unknown setting '%s'", key);
    if (!g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64))
        return vt_throw(error, VT_ERROR_INVALID, "setting 'cache-max' is not a number (t)");
    settings->cache_max = g_variant_get_uint64(value);
    return true;
}

static bool
check_settings(VtPoolSettings *settings, const char *policy_file, GError **error)
{
    g_autoptr(VtStoreUrl) url = NULL;

    if (!settings->store)
        return vt_throw(error, VT_ERROR_INVALID, "the setting 'store' is missing");
    if (!vt_store_url_parse(settings->store, &url, error))
        return false;
    if (!settings->policy || !*settings->policy) {
        g_free(settings->policy);
        settings->policy = g_strdup(policy_file);
    }
    if (!vtd_check_path(settings->policy, error)) {
        g_prefix_error(error, "setting 'policy': ");
        return false;
    }
    if (!settings->strategy)
        settings->strategy = g_strdup("linked");
    if (!g_str_equal(settings->strategy, "linked") && !g_str_equal(settings->strategy, "full"))
        return vt_throw(error, VT_ERROR_INVALID, "strategy '%s' is neither 'linked' nor 'full'",
                        settings->strategy);
    if (!settings->defaults)
        settings->defaults = g_strdup("");
    if (*settings->defaults && !vtd_check_path(settings->defaults, error)) {
        g_prefix_error(error, "setting 'defaults': ");
        return false;
    }
    if (!settings->name)
        settings->name = g_strdup("");
    if (!settings->uuid)
        settings->uuid = g_strdup("");
    return true;
}

static bool
look_at_nothing(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    return true;
}

static bool
registered(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    vtd_call_return(visit->call, NULL);
    return true;
}

/* What was interrupted in the directory of a new pool has been ended when this is answered */
static bool
register_pool(VtdCall *call, VtPoolSettings *settings, GError **error)
{
    static const VtdCallSteps steps = {NULL, look_at_nothing, registered};
    const char *path = vtd_call_string(call, 0);
    const VtdPool *known = g_hash_table_lookup(call->daemon->pools, path);
    VtdTarget target = {.target = path};

    if (!vtd_daemon_register(call->daemon, settings, error) ||
        !vtd_daemon_pool(call->daemon, path, &target.pool, error))
        return false;
    if (target.pool != known)
        return vtd_call_visit(&(const VtdCallVisit){call, target}, &steps, error);
    vtd_call_return(call, NULL);
    return true;
}

static bool
method_register_pool(VtdCall *call, GError **error)
{
    g_autoptr(VtPoolSettings) settings = g_new0(VtPoolSettings, 1);
    g_autoptr(GVariantIter) iter = NULL;
    const char *target;
    const char *key;
    GVariant *value;

    g_variant_get(call->arguments, "(&sa{sv})", &target, &iter);
    if (!vtd_check_path(target, error))
        return false;
    settings->target = g_strdup(target);
    while (g_variant_iter_next(iter, "{&sv}", &key, &value)) {
        bool ok = take_setting(settings, key, value, error);

        g_variant_unref(value);
        if (!ok)
            return false;
    }
    return check_settings(settings, call->daemon->config->policy_file, error) &&
           register_pool(call, g_steal_pointer(&settings), error);
}

static bool
method_forget_pool(VtdCall *call, GError **error)
{
    const char *target = vtd_call_string(call, 0);

    if (!vtd_check_path(target, error) || !vtd_daemon_forget(call->daemon, target, error))
        return false;
    vtd_call_return(call, NULL);
    return true;
}

static bool
method_list_pools(VtdCall *call, GError **error)
{
    GVariantBuilder pools;
    GHashTableIter iter;
    gpointer value;

    g_variant_builder_init(&pools, G_VARIANT_TYPE("a(sa{sv})"));
    g_hash_table_iter_init(&iter, call->daemon->pools);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const VtPoolSettings *settings = ((const VtdPool *)value)->settings;

        g_variant_builder_open(&pools, G_VARIANT_TYPE("(sa{sv})"));
        g_variant_builder_add(&pools, "s", settings->target);
        g_variant_builder_open(&pools, G_VARIANT_TYPE("a{sv}"));
        for (gsize i = 0; i < G_N_ELEMENTS(text_settings); i++)
            g_variant_builder_add(
                &pools, "{sv}", text_settings[i].key,
                g_variant_new_string(G_STRUCT_MEMBER(char *, settings, text_settings[i].offset)));
        g_variant_builder_add(&pools, "{sv}", "cache-max",
                              g_variant_new_uint64(settings->cache_max));
        g_variant_builder_close(&pools);
        g_variant_builder_close(&pools);
    }
    vtd_call_return(call, g_variant_new("(a(sa{sv}))", &pools));
    return true;
}

/* ---- jobs ---- */

static bool
start_job(VtdCall *call, const char *kind, uint64_t limit_rate,
          bool (*start)(VtdDaemon *, VtdPool *, const VtdJobSpec *, uint64_t *, GError **),
          GError **error)
{
    VtdTarget target;
    uint64_t id;

    if (!vtd_call_target(call, &target, error))
        return false;
    if (!start(call->daemon, target.pool,
               &(const VtdJobSpec){0, kind, target.target, target.name, target.version,
                                   call->peer_uid, limit_rate},
               &id, error))
        return false;
    vtd_call_return(call, g_variant_new("(t)", id));
    return true;
}

static bool
take_fetch_option(const char *key, GVariant *value, uint64_t *ret_rate, GError **error)
{
    if (!g_str_equal(key, "limit-rate"))
        return vt_throw(error, VT_ERROR_INVALID, "unknown option '%s'", key);
    if (!g_variant_is_of_type(value, G_VARIANT_TYPE_UINT64))
        return vt_throw(error, VT_ERROR_INVALID, "option 'limit-rate' is not a number (t)");
    *ret_rate = g_variant_get_uint64(value);
    return vt_rate_check(*ret_rate, error);
}

static bool
method_fetch(VtdCall *call, GError **error)
{
    g_autoptr(GVariant) options = g_variant_get_child_value(call->arguments, 3);
    uint64_t limit_rate = 0;

    for (gsize i = 0; i < g_variant_n_children(options); i++) {
        g_autoptr(GVariant) value = NULL;
        g_autofree char *key = NULL;

        g_variant_get_child(options, i, "{sv}", &key, &value);
        if (!take_fetch_option(key, value, &limit_rate, error))
            return false;
    }
    return start_job(call, "fetch", limit_rate, vtd_daemon_fetch, error);
}

static bool
verify_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdTarget *target = &visit->target;
    VtdLocal local;

    if (!vtd_look_open(look, error) ||
        !vtd_look_local(look, target->name, target->version, &local, error))
        return false;
    target->version = local.entry->version;
    visit->user = g_array_copy((GArray *)local.layers);
    return true;
}

static bool
verify_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdTarget *target = &visit->target;
    const VtdJobSpec spec = {.kind = "verify",
                             .target = target->target,
                             .name = target->name,
                             .version = target->version,
                             .owner = visit->call->peer_uid};
    uint64_t id;

    if (!vtd_daemon_verify(visit->call->daemon, target->pool, &spec, visit->user, &id, error))
        return false;
    vtd_call_return(visit->call, g_variant_new("(t)", id));
    return true;
}

static void
free_layers(void *layers)
{
    if (layers)
        g_array_unref(layers);
}

static bool
method_verify(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {NULL, verify_work, verify_reply};
    VtdTarget target;

    return vtd_call_target(call, &target, error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target, NULL, free_layers}, &steps, error);
}

static bool
method_repair(VtdCall *call, GError **error)
{
    return start_job(call, "repair", 0, vtd_daemon_repair, error);
}

static void
job_told(void *user, GVariant *status)
{
    vtd_call_return(user, g_variant_new("(@a{sv})", status));
}

static void
job_waited(void *user, GVariant *status)
{
    vtd_call_waited(user);
    job_told(user, status);
}

static bool
method_job_wait(VtdCall *call, GError **error)
{
    VtdJobs *jobs = call->daemon->jobs;
    guint64 id;
    guint wait_ms;

    g_variant_get(call->arguments, "(tu)", &id, &wait_ms);
    /* Who may start jobs may have joined another one's */
    if (call->read_only && !vtd_jobs_check_owner(jobs, id, call->peer_uid, error))
        return false;
    if (wait_ms == 0 || !vtd_call_may_wait(call))
        return vtd_jobs_wait(jobs, id, 0, job_told, call, error);
    if (vtd_jobs_wait(jobs, id, MIN(wait_ms, WAIT_MAX_MS), job_waited, call, error))
        return true;
    vtd_call_waited(call);
    return false;
}

static bool
method_list_jobs(VtdCall *call, GError **error)
{
    GVariant *list;

    if (!vtd_jobs_list(call->daemon->jobs, call->peer_uid, &list, error))
        return false;
    vtd_call_return(call, g_variant_new("(@aa{sv})", list));
    return true;
}

static bool
method_follow_jobs(VtdCall *call, GError **error)
{
    vtd_followers_add(call->daemon->followers,
                      g_dbus_method_invocation_get_connection(call->invocation), call->peer_uid);
    vtd_call_return(call, NULL);
    return true;
}

static bool
method_cancel_job(VtdCall *call, GError **error)
{
    guint64 id;

    g_variant_get(call->arguments, "(t)", &id);
    if (!vtd_jobs_cancel(call->daemon->jobs, id, call->peer_uid, error)) {
        if (call->peer_uid != 0 && error && g_error_matches(*error, VT_ERROR, VT_ERROR_DENIED))
            vtd_call_refuse_peer(call, VTD_PEER_NOT_OWNER);
        return false;
    }
    vtd_call_return(call, NULL);
    return true;
}

/* ---- the table ---- */

static const VtdMethod methods[] = {
    {"Hello", false, method_hello},
    {"RegisterPool", true, method_register_pool},
    {"ForgetPool", true, method_forget_pool},
    {"ListPools", false, method_list_pools},
    {"ListTemplates", false, vtd_method_list_templates},
    {"GetTemplate", false, vtd_method_get_template},
    {"GetConfig", false, vtd_method_get_config},
    {"GetCost", false, vtd_method_get_cost},
    {"Compare", false, vtd_method_compare},
    {"Fetch", true, method_fetch},
    {"Verify", true, method_verify},
    {"Repair", true, method_repair},
    {"JobWait", false, method_job_wait},
    {"ListJobs", false, method_list_jobs},
    {"FollowJobs", false, method_follow_jobs},
    {"CancelJob", true, method_cancel_job},
    {"GetMetrics", false, vtd_method_get_metrics},
    {"MakeOverlay", true, vtd_method_make_overlay},
    {"MakeCopy", true, vtd_method_make_copy},
    {"RecordClone", true, vtd_method_record_clone},
    {"ListClones", false, vtd_method_list_clones},
    {"Evict", true, vtd_method_evict},
    {"TakeUploads", true, vtd_method_take_uploads},
    {"PrepareInstance", true, vtd_method_prepare_instance},
    {"ReleaseInstance", true, vtd_method_release_instance},
    {"SetSecrets", true, vtd_method_set_secrets},
};

const VtdMethod *
vtd_method_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
        if (g_str_equal(methods[i].name, name))
            return &methods[i];
    }
    return NULL;
}
