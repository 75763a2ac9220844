/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-evict.c: who needs a local copy, and its end */
#include "vtd-visit.h"

#include "vtd-event.h"
#include "vtd-records.h"

/* Clones that an error names */
#define NAMED_MAX 8

/* The version that is meant, whether the catalog has it or the directory alone */
static bool
resolve(VtdTarget *target, const VtdLook *look, const VtCatalogEntry **ret_entry, GError **error)
{
    *ret_entry = NULL;
    if (look->catalog)
        *ret_entry =
            vt_catalog_find(look->catalog, target->name, *target->version ? target->version : NULL);
    if (!*target->version && !*ret_entry)
        return vtd_look_find(look, target->name, NULL, ret_entry, error);
    if (*ret_entry)
        target->version = (*ret_entry)->version;
    return true;
}

/* @elsewhere: see #VtClonesQuery; @paths: (out) */
typedef struct {
    GHashTable *elsewhere;
    char **paths;
} Clones;

static void
clones_free(void *user)
{
    Clones *clones = user;

    g_clear_pointer(&clones->elsewhere, g_hash_table_unref);
    g_strfreev(clones->paths);
    g_free(clones);
}

static bool
list_begin(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    ((Clones *)visit->user)->elsewhere = vtd_pool_elsewhere(visit->target.pool);
    return true;
}

static bool
list_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdTarget *target = &visit->target;
    const VtCatalogEntry *entry;
    Clones *clones = visit->user;
    VtClonesQuery query = {.elsewhere = clones->elsewhere};
    VtDigest index;

    if (!resolve(target, look, &entry, error) || !vtd_look_open(look, error))
        return false;
    query.name = target->name;
    query.version = target->version;
    if (vt_pool_find_layer(look->files, target->name, target->version, &index, NULL))
        query.index = &index;
    return vtd_records_find(look, query, &clones->paths, error);
}

static bool
list_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    vtd_call_return(visit->call, g_variant_new("(^as)", ((const Clones *)visit->user)->paths));
    return true;
}

bool
vtd_method_list_clones(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {list_begin, list_work, list_reply};
    VtdTarget target;

    return vtd_call_target(call, &target, error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target, g_new0(Clones, 1), clones_free},
                          &steps, error);
}

static bool
throw_in_use(const VtdTarget *target, char **paths, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    const guint count = g_strv_length(paths);

    for (guint i = 0; i < MIN(count, NAMED_MAX); i++)
        g_string_append_printf(names, "%s'%s'", i > 0 ? ", " : "", paths[i]);
    if (count > NAMED_MAX)
        g_string_append_printf(names, " and %u more", count - NAMED_MAX);
    return vt_throw(error, VT_ERROR_BUSY, "%s@%s is needed by %u clone%s: %s", target->name,
                    target->version, count, count == 1 ? "" : "s", names->str);
}

static void
log_evicted(const VtdCall *call, const VtdTarget *target, const VtCatalogEntry *entry)
{
    const VtdEventFields fields = {.pool = target->target,
                                   .name = target->name,
                                   .version = target->version,
                                   .digest = entry ? &entry->manifest : NULL,
                                   .peer_uid = &call->peer_uid};

    vtd_monitor_add(call->daemon->config->workers.monitor, VTD_COUNT_EVICTIONS, 0, 1);
    vtd_event_log(VTD_EVENT_EVICTED, &fields, "%s@%s was evicted from '%s'", target->name,
                  target->version, target->target);
}

/* @entry: (nullable): belongs to the look; @elsewhere: see #VtClonesQuery; @failure: (out)
 * (nullable): layers may lack seals now */
typedef struct {
    const VtCatalogEntry *entry;
    GHashTable *elsewhere;
    GError *failure;
} Eviction;

static void
eviction_free(void *user)
{
    Eviction *eviction = user;

    g_clear_pointer(&eviction->elsewhere, g_hash_table_unref);
    g_clear_error(&eviction->failure);
    g_free(eviction);
}

/* No job begins to use what is here before the turn is over */
static bool
evict_begin(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    VtdTarget *target = &visit->target;
    Eviction *eviction = visit->user;

    eviction->elsewhere = vtd_pool_elsewhere(target->pool);
    if (!resolve(target, look, &eviction->entry, error))
        return false;
    return !vtd_jobs_involves(visit->call->daemon->jobs, target->target, target->name,
                              target->version) ||
           vt_throw(error, VT_ERROR_BUSY, "a job works on %s@%s: cancel it, or wait for it",
                    target->name, target->version);
}

static bool
evict_work(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    const VtdTarget *target = &visit->target;
    Eviction *eviction = visit->user;
    const VtDigest *manifest = eviction->entry ? &eviction->entry->manifest : NULL;
    g_autofree char *reference = g_strdup_printf("%s@%s", target->name, target->version);
    VtClonesQuery query = {.name = target->name,
                           .version = target->version,
                           .elsewhere = eviction->elsewhere,
                           .prune = true};
    g_auto(GStrv) paths = NULL;
    VtDigest index;

    query.index = &index;
    if (!vtd_look_open(look, error) ||
        !vt_pool_find_layer(look->files, target->name, target->version, &index, error) ||
        !vtd_records_find(look, query, &paths, error))
        return false;
    if (*paths)
        return throw_in_use(target, paths, error);
    if (!vtd_records_check(look->here, reference, error))
        return false;
    if (vt_pool_evict(look->files, target->name, target->version, &index, manifest,
                      &eviction->failure) &&
        manifest)
        g_hash_table_remove(look->here->verdicts, manifest);
    return true;
}

static bool
evict_reply(VtdCallVisit *visit, VtdLook *look, GError **error)
{
    Eviction *eviction = visit->user;

    if (eviction->failure) {
        if (!g_error_matches(eviction->failure, VT_ERROR, VT_ERROR_BUSY))
            vtd_pool_reseal(visit->target.pool);
        g_propagate_error(error, g_steal_pointer(&eviction->failure));
        return false;
    }
    log_evicted(visit->call, &visit->target, eviction->entry);
    vtd_call_return(visit->call, NULL);
    return true;
}

bool
vtd_method_evict(VtdCall *call, GError **error)
{
    static const VtdCallSteps steps = {evict_begin, evict_work, evict_reply};
    VtdTarget target;

    return vtd_call_target(call, &target, error) &&
           vtd_call_visit(&(const VtdCallVisit){call, target, g_new0(Eviction, 1), eviction_free},
                          &steps, error);
}
