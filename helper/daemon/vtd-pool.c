/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool.c: a registered pool: its catalog, and the decision whether a template may be used */
#include "vtd-pool.h"

#include "vt-name.h"
#include "vtd-catalog.h"
#include "vtd-event.h"
#include "vtd-look.h"
#include "vtd-proofs.h"

#include <string.h>

/* A store that is away is not asked again within this time, however often clients list */
#define RETRY_TIME (G_USEC_PER_SEC * 1)
/* and nobody waits for its answer within this one */
#define BACK_OFF_TIME (G_USEC_PER_SEC * 30)
/* Who lists and then fetches what is current need not have it asked twice */
#define FRESH_TIME (G_USEC_PER_SEC * 2)
/* Asking starts a process: nobody but root has it done more often */
#define SPARE_TIME (G_USEC_PER_SEC * 1)
/* A signature that was missing may be there by now */
#define REFUSAL_TIME (G_USEC_PER_SEC * 60)

typedef struct {
    char *reason;
    gint64 since;
} Refusal;

static void
refusal_free(gpointer data)
{
    Refusal *refusal = data;

    g_free(refusal->reason);
    g_free(refusal);
}

typedef struct {
    VtdRefreshDone done;
    void *user;
} Waiter;

static void
set_catalog(VtdPool *pool, VtCatalog *catalog, const VtDigest *manifest, GBytes *proofs)
{
    vt_catalog_free(pool->catalog);
    g_clear_pointer(&pool->proofs, g_bytes_unref);
    g_clear_pointer(&pool->catalog_verdict, vtd_verdict_free);
    pool->catalog = catalog;
    pool->manifest = *manifest;
    pool->proofs = g_bytes_ref(proofs);
    pool->expiry_told = VTD_EXPIRY_VALID;
}

/* What is kept was verified, and is verified again before it is used. A damaged copy is no copy. */
static void
load_catalog(VtdPool *pool)
{
    g_auto(VtDbCatalog) kept = {0};
    g_autoptr(VtCatalog) catalog = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_db_get_catalog(pool->db, pool->settings->target, &kept, NULL) ||
        !g_str_equal(kept.store, pool->settings->store))
        return;
    if (!vt_catalog_parse(kept.document, &catalog, &error)) {
        g_warning("kept catalog of '%s': %s", pool->settings->target, error->message);
        return;
    }
    set_catalog(pool, g_steal_pointer(&catalog), &kept.manifest, kept.proofs);
}

VtdPool *
vtd_pool_new(const VtdConfig *config, VtDb *db, VtPoolSettings *settings, VtdTurns *turns,
             GHashTable *pools)
{
    VtdPool *pool = g_new0(VtdPool, 1);

    pool->references = 1;
    pool->config = config;
    pool->db = db;
    pool->settings = settings;
    /* The settings were checked; a URL from an older database that is not one finds no store */
    if (!vt_store_url_parse(settings->store, &pool->url, NULL))
        vt_store_url_parse("oci:/nonexistent", &pool->url, NULL);
    pool->turns = vtd_turns_ref(turns);
    pool->pools = pools;
    vtd_directory_init(&pool->here, vtd_turns_known(turns));
    pool->refusals = g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, refusal_free);
    pool->damaged = g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, g_free);
    pool->waiters = g_ptr_array_new_with_free_func(g_free);
    pool->cancellable = g_cancellable_new();
    load_catalog(pool);
    vtd_pool_load_damage(pool);
    vtd_pool_recover(pool);
    return pool;
}

VtdPool *
vtd_pool_ref(VtdPool *pool)
{
    pool->references++;
    return pool;
}

void
vtd_pool_unref(VtdPool *pool)
{
    if (!pool || --pool->references > 0)
        return;
    vt_pool_settings_free(pool->settings);
    vt_store_url_free(pool->url);
    vt_catalog_free(pool->catalog);
    g_clear_pointer(&pool->proofs, g_bytes_unref);
    vtd_verdict_free(pool->catalog_verdict);
    vtd_directory_clear(&pool->here);
    vtd_turns_unref(pool->turns);
    g_hash_table_unref(pool->refusals);
    g_hash_table_unref(pool->damaged);
    g_ptr_array_unref(pool->waiters);
    g_object_unref(pool->cancellable);
    g_free(pool->failure);
    g_free(pool);
}

VtdPool *
vtd_pool_current(VtdPool *pool)
{
    VtdPool *current = g_hash_table_lookup(pool->pools, pool->settings->target);

    return current ? current : pool;
}

/* Two names of one directory are not two places */
GHashTable *
vtd_pool_elsewhere(const VtdPool *pool)
{
    GHashTable *targets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, pool->pools);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const VtdPool *other = value;

        if (pool->place.ino != 0 && other->place.ino != 0 &&
            (other->place.dev != pool->place.dev || other->place.ino != pool->place.ino))
            g_hash_table_add(targets, g_strdup(other->settings->target));
    }
    return targets;
}

/* ---- refresh ---- */

static void
ask_in_thread(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    VtdCatalogAnswer *answer = NULL;
    GError *error = NULL;

    if (vtd_catalog_ask(data, cancellable, &answer, &error))
        g_task_return_pointer(task, answer, (GDestroyNotify)vtd_catalog_answer_free);
    else
        g_task_return_error(task, error);
}

static void
keep_catalog(VtdPool *pool, VtdCatalogAnswer *answer)
{
    /* What was asked for other settings is for those who still wait for it */
    const bool lasts = vtd_pool_current(pool) == pool;
    const VtDbCatalog row = {.store = pool->settings->store,
                             .manifest = answer->manifest,
                             .document = answer->document,
                             .proofs = answer->proofs,
                             .checked = g_get_real_time()};
    g_autoptr(GError) error = NULL;

    if (lasts && !vt_db_put_catalog(pool->db, pool->settings->target, &row, &error))
        g_warning("catalog of '%s' is not kept: %s", pool->settings->target, error->message);
    g_hash_table_remove_all(pool->refusals);
    set_catalog(pool, g_steal_pointer(&answer->catalog), &answer->manifest, answer->proofs);
    pool->catalog_verdict = g_steal_pointer(&answer->verdict);
}

/* Whoever controls the store, or the way to it, could offer old versions with known holes, which
 * are signed as well as the new ones */
static bool
check_not_older(const VtdPool *pool, const VtCatalog *offered, GError **error)
{
    const VtCatalog *known = pool->catalog;

    if (!known || !offered || !g_str_equal(known->store, offered->store) ||
        offered->serial >= known->serial)
        return true;
    return vt_throw(error, VT_ERROR_CORRUPT,
                    "%s offers a catalog that is older (serial %" G_GUINT64_FORMAT
                    ") than the one known here (serial %" G_GUINT64_FORMAT
                    "), which stays in force; if the store was restored from a backup, publish to "
                    "it until its serial is higher",
                    pool->settings->store, offered->serial, known->serial);
}

/* Whoever lists has the store asked again, but the same answer is no news */
static void
take_failure(VtdPool *pool, const char *before, const GError *error)
{
    const bool refused = vtd_event_is_refusal(error);
    const VtdEventFields fields = {
        .pool = pool->settings->target, .name = VT_CATALOG_NAME, .reason = vtd_event_reason(error)};

    pool->failed = g_get_monotonic_time();
    pool->failure = g_strdup(error->message);
    pool->failure_code = error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;
    if (refused)
        vtd_monitor_refusal(pool->config->workers.monitor, fields.reason);
    if (g_strcmp0(before, error->message) != 0)
        vtd_event_log(refused ? VTD_EVENT_REFUSED : VTD_EVENT_STORE_AWAY, &fields,
                      "catalog of '%s' for the pool '%s': %s", pool->settings->store,
                      pool->settings->target, error->message);
}

static void
refreshed(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(VtdPool) pool = data;
    g_autoptr(GPtrArray) waiters = NULL;
    g_autoptr(VtdCatalogAnswer) answer = NULL;
    g_autofree char *before = g_steal_pointer(&pool->failure);
    g_autoptr(GError) error = NULL;

    answer = g_task_propagate_pointer(G_TASK(result), &error);
    if (answer && check_not_older(pool, answer->catalog, &error)) {
        if (answer->catalog)
            keep_catalog(pool, answer);
        pool->checked = g_get_monotonic_time();
        pool->failed = 0;
    } else {
        take_failure(pool, before, error);
    }
    pool->refreshing = false;
    vtd_pool_tell_expiry(pool);
    waiters = g_steal_pointer(&pool->waiters);
    pool->waiters = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < waiters->len; i++) {
        const Waiter *waiter = waiters->pdata[i];

        waiter->done(waiter->user);
    }
}

static void
start_refresh(VtdPool *pool)
{
    VtdCatalogQuery *query = g_new0(VtdCatalogQuery, 1);
    g_autoptr(GTask) task = g_task_new(NULL, pool->cancellable, refreshed, vtd_pool_ref(pool));

    query->workers = &pool->config->workers;
    vt_store_url_parse(pool->settings->store, &query->url, NULL);
    query->policy = g_strdup(pool->settings->policy);
    /* Signatures are read again when the present policy refuses those that are kept */
    if (vtd_pool_check_catalog(pool, NULL))
        query->known = g_memdup2(&pool->manifest, sizeof(pool->manifest));
    pool->refreshing = true;
    g_task_set_task_data(task, query, (GDestroyNotify)vtd_catalog_query_free);
    g_task_run_in_thread(task, ask_in_thread);
}

static bool
within(gint64 then, gint64 time)
{
    return then > 0 && g_get_monotonic_time() - then < time;
}

bool
vtd_pool_is_fresh(const VtdPool *pool)
{
    return !pool->refreshing && within(pool->checked, FRESH_TIME);
}

bool
vtd_pool_spares(const VtdPool *pool)
{
    return !pool->refreshing && within(pool->checked, SPARE_TIME);
}

bool
vtd_pool_is_away(const VtdPool *pool)
{
    return within(pool->failed, BACK_OFF_TIME);
}

void
vtd_pool_refresh(VtdPool *pool, VtdRefreshDone done, void *user)
{
    bool patient = !vtd_pool_is_away(pool);
    Waiter *waiter;

    if (!pool->refreshing && !within(pool->failed, RETRY_TIME))
        start_refresh(pool);
    if (!patient) {
        done(user);
        return;
    }
    waiter = g_new0(Waiter, 1);
    *waiter = (Waiter){done, user};
    g_ptr_array_add(pool->waiters, waiter);
}

void
vtd_pool_refresh_leave(VtdPool *pool, const void *user)
{
    for (guint i = 0; i < pool->waiters->len; i++) {
        if (((const Waiter *)pool->waiters->pdata[i])->user == user) {
            g_ptr_array_remove_index(pool->waiters, i);
            return;
        }
    }
}

char *
vtd_pool_warning(const VtdPool *pool)
{
    g_autofree char *expired = vtd_pool_expiry_warning(pool);

    if (pool->failure)
        return g_strdup_printf("%s: %s%s%s", pool->settings->store, pool->failure,
                               expired ? "; " : "", expired ? expired : "");
    if (!pool->catalog)
        return g_strdup_printf("%s: not asked yet", pool->settings->store);
    return g_steal_pointer(&expired);
}

/* ---- decisions ---- */

bool
vtd_pool_check_catalog(VtdPool *pool, GError **error)
{
    const VtSubject subject = {.url = pool->url, .name = VT_CATALOG_NAME, .digest = pool->manifest};

    if (!pool->catalog && pool->failure)
        return vt_throw(error, (VtError)pool->failure_code, "no catalog of '%s' is known: %s",
                        pool->settings->store, pool->failure);
    if (!pool->catalog)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "the catalog of '%s' is not known yet",
                        pool->settings->store);
    if (!vtd_verdict_holds(pool->catalog_verdict) &&
        !vtd_proofs_decide(pool->proofs, pool->settings->policy, &subject, &pool->catalog_verdict,
                           error))
        return false;
    return vtd_verdict_check(pool->catalog_verdict, error);
}

bool
vtd_pool_find(VtdPool *pool, const char *name, const char *version,
              const VtCatalogEntry **ret_entry, GError **error)
{
    const bool current = !version || !*version;

    if (!vtd_pool_check_catalog(pool, error))
        return false;
    *ret_entry = vt_catalog_find(pool->catalog, name, current ? NULL : version);
    return *ret_entry || vtd_pool_throw_missing(pool->settings, name, version, error);
}

bool
vtd_pool_throw_missing(const VtPoolSettings *settings, const char *name, const char *version,
                       GError **error)
{
    const bool current = !version || !*version;

    return vt_throw(error, VT_ERROR_NOT_FOUND, "'%s%s%s' is not in the catalog of '%s'", name,
                    current ? "" : "@", current ? "" : version, settings->store);
}

/* ---- refusals ---- */

void
vtd_pool_refuse(VtdPool *pool, const VtDigest *manifest, const char *reason)
{
    Refusal *refusal;

    if (!reason) {
        g_hash_table_remove(pool->refusals, manifest);
        return;
    }
    refusal = g_new0(Refusal, 1);
    *refusal = (Refusal){g_strdup(reason), g_get_monotonic_time()};
    g_hash_table_insert(pool->refusals, g_memdup2(manifest, sizeof(*manifest)), refusal);
}

const char *
vtd_pool_refusal(const VtdPool *pool, const VtDigest *manifest)
{
    const Refusal *refusal = g_hash_table_lookup(pool->refusals, manifest);

    return refusal && within(refusal->since, REFUSAL_TIME) ? refusal->reason : NULL;
}

void
vtd_pool_review(VtdPool *pool)
{
    struct stat st = {0};
    gint64 changed = 0;

    if (stat(pool->settings->policy, &st) == 0)
        changed = st.st_ctim.tv_sec * G_USEC_PER_SEC + st.st_ctim.tv_nsec / 1000;
    if (changed != pool->refusals_policy)
        g_hash_table_remove_all(pool->refusals);
    pool->refusals_policy = changed;
}
