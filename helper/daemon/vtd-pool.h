/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool.h: a registered pool: its catalog, and the decision whether a template may be used */
#pragma once

#include "vt-catalog.h"
#include "vt-db.h"
#include "vt-pool.h"
#include "vtd-config.h"
#include "vtd-turns.h"
#include "vtd-verdict.h"

/** VtdExpiry: of the catalog that is known: valid, expired, expired for longer than the grace */
typedef enum {
    VTD_EXPIRY_VALID,
    VTD_EXPIRY_GRACE,
    VTD_EXPIRY_OVER,
} VtdExpiry;

/**
 * VtdPending: a clone that is being made
 * @until: monotonic time; from then on a file that is not there is gone
 * @reference: `NAME@VERSION` of its template
 * @hidden: (nullable): its path until it has its name; it is made for as long as that is there
 */
typedef struct {
    gint64 until;
    char *reference;
    char *hidden;
} VtdPending;

/**
 * VtdDirectory: what is known of the directory; belongs to the thread in which its turns are
 * @verdicts: of the manifests of local versions, by digest
 * @pending: clones that have no name yet: path, and a #VtdPending; of all pools with these turns,
 * for a clone is being made whatever becomes of the settings
 * @recorded: clones since records were last tidied
 * @clones: how many there were then, of the version that was looked at
 */
typedef struct {
    GHashTable *verdicts;
    GHashTable *pending;
    guint recorded;
    guint clones;
} VtdDirectory;

/** VtdPlace: which directory it is; @ino is 0 before somebody has seen it */
typedef struct {
    dev_t dev;
    ino_t ino;
} VtdPlace;

/**
 * VtdPool: belongs to the main thread, which looks at no file in the directory: see vtd-look.h
 * @settings: never change, like @config and @url: any thread may read them
 * @turns: of the directory, which a pool that takes this one's place has in common with it
 * @here: see there
 * @pools: (element-type utf8 VtdPool): all of the daemon, by target;
 *   belongs to it
 * @place: as the last turn has found it
 * @catalog: (nullable): verified when it came; vtd_pool_check_catalog() tells whether it still is.
 *   Never changed, but replaced
 * @refusals: why a manifest was refused last, by digest
 * @refusals_policy: when the policy was changed that refused them
 * @damaged: layers that verification found damaged: index digest, and what was found. Never
 *   changed, but replaced
 * @expiry_told: the worst that was told of @catalog
 * @resealing: threads that look for layers without a seal
 * @cancellable: ends a refresh
 * @failure: (nullable): why the last refresh failed; @failure_code: its #VtError
 */
typedef struct {
    gint references;
    const VtdConfig *config;
    VtDb *db;
    VtPoolSettings *settings;
    VtStoreUrl *url;
    VtdTurns *turns;
    VtdDirectory here;
    GHashTable *pools;
    VtdPlace place;
    VtCatalog *catalog;
    VtDigest manifest;
    GBytes *proofs;
    VtdVerdict *catalog_verdict;
    GHashTable *refusals;
    gint64 refusals_policy;
    GHashTable *damaged;
    guint resealing;
    gint64 checked;
    gint64 failed;
    char *failure;
    int failure_code;
    bool refreshing;
    VtdExpiry expiry_told;
    GCancellable *cancellable;
    GPtrArray *waiters;
} VtdPool;

/** vtd_pool_new: @settings: (transfer full): checked; @pools: in which it will be. Loads the
 * catalog that the database has; the first turn ends what was interrupted in the directory */
VtdPool *vtd_pool_new(const VtdConfig *config, VtDb *db, VtPoolSettings *settings, VtdTurns *turns,
                      GHashTable *pools);
VtdPool *vtd_pool_ref(VtdPool *pool);
void vtd_pool_unref(VtdPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdPool, vtd_pool_unref)

/** vtd_pool_current: Returns: the pool that has taken this one's place when its settings changed,
 * or was defined again, while somebody worked for this one; if there is none, this one */
VtdPool *vtd_pool_current(VtdPool *pool);

/** vtd_pool_elsewhere: Returns: (transfer full): a set of the targets of pools whose directory is
 *  known to be another one */
GHashTable *vtd_pool_elsewhere(const VtdPool *pool);

/**
 * vtd_pool_refresh:
 * @done: called in the main thread when the refresh ends; at once when the store was away less than
 *   half a minute ago
 *
 * Starts, or joins, asking the store for its catalog.
 */
typedef void (*VtdRefreshDone)(void *user);
void vtd_pool_refresh(VtdPool *pool, VtdRefreshDone done, void *user);
/** vtd_pool_refresh_leave: @user, who waits, is not called any more */
void vtd_pool_refresh_leave(VtdPool *pool, const void *user);

/** vtd_pool_is_fresh: Returns: whether the store was asked a moment ago */
bool vtd_pool_is_fresh(const VtdPool *pool);
/** vtd_pool_spares: Returns: whether the store was asked so recently that it is not asked again for
 *  those who are not root */
bool vtd_pool_spares(const VtdPool *pool);

/** vtd_pool_is_away: Returns: whether the store did not answer a short time ago */
bool vtd_pool_is_away(const VtdPool *pool);

/** vtd_pool_warning: Returns: (transfer full) (nullable): why the catalog may be old */
char *vtd_pool_warning(const VtdPool *pool);

/** vtd_pool_check_catalog: Whether the policy, as it is now, trusts the catalog;
 * %VT_ERROR_NOT_FOUND if none is known */
bool vtd_pool_check_catalog(VtdPool *pool, GError **error);

/* vtd-pool-expiry.c */
VtdExpiry vtd_pool_expiry(const VtdPool *pool);
/** vtd_pool_grace_end: Returns: Unix time until which is fetched by the catalog; -1: there is none
 */
gint64 vtd_pool_grace_end(const VtdPool *pool);
/** vtd_pool_expiry_warning: Returns: (transfer full) (nullable): that it has expired, and what to
 * do
 */
char *vtd_pool_expiry_warning(const VtdPool *pool);
/** vtd_pool_check_expiry: Whether what is not here may be fetched; %VT_ERROR_UNTRUSTED */
bool vtd_pool_check_expiry(const VtdPool *pool, GError **error);
/** vtd_pool_tell_expiry: To the operator, once for each catalog and each worse state */
void vtd_pool_tell_expiry(VtdPool *pool);

/**
 * vtd_pool_find:
 * @version: "" or %NULL is the current one
 * @error: %VT_ERROR_NOT_FOUND naming what the catalog lacks
 */
bool vtd_pool_find(VtdPool *pool, const char *name, const char *version,
                   const VtCatalogEntry **ret_entry, GError **error);

/** vtd_pool_throw_missing: %VT_ERROR_NOT_FOUND that says it */
bool vtd_pool_throw_missing(const VtPoolSettings *settings, const char *name, const char *version,
                            GError **error);

/** vtd_pool_load_damage: Of the database */
void vtd_pool_load_damage(VtdPool *pool);
/** vtd_pool_damage: Remembers, for good, that a layer is damaged; @reason: (nullable): it is not */
void vtd_pool_damage(VtdPool *pool, const VtDigest *index, const char *reason);
/** vtd_damage_changed: Returns: (transfer full): a copy of a pool's @damaged with this change */
GHashTable *vtd_damage_changed(GHashTable *damaged, const VtDigest *index, const char *reason);
/** vtd_pool_throw_damage: %VT_ERROR_CORRUPT that says what to do */
bool vtd_pool_throw_damage(const char *name, const char *version, const char *reason,
                           GError **error);
/* vtd-pool-seal.c */

/** vtd_pool_recover: Ends, in a turn, what was interrupted; see vt_pool_recover(). Then
 *  vtd_pool_reseal() */
void vtd_pool_recover(VtdPool *pool);
/** vtd_pool_reseal: Seals, in a thread, what is not; see vt_pool_reseal() */
void vtd_pool_reseal(VtdPool *pool);
/**
 * vtd_pool_seal_first:
 * @volume: of the version; @layers: digests of its chain
 * @done: called in the main thread when the version is sealed as well as it can be
 *
 * Seals the layers of a version before all others.
 */
typedef void (*VtdSealDone)(void *user);
void vtd_pool_seal_first(const VtdPool *pool, const char *volume, const GArray *layers,
                         VtdSealDone done, void *user);

/** vtd_pool_forget_verdict: A job has brought new signatures: those who come next read them */
void vtd_pool_forget_verdict(VtdPool *pool, const VtDigest *manifest);
/** vtd_pool_refuse: Remembers why a manifest is refused; @reason: (nullable): it is not, any more
 */
void vtd_pool_refuse(VtdPool *pool, const VtDigest *manifest, const char *reason);
/** vtd_pool_refusal: Returns: (nullable): why a manifest was refused a short time ago */
const char *vtd_pool_refusal(const VtdPool *pool, const VtDigest *manifest);
/** vtd_pool_review: Forgets what an older policy refused */
void vtd_pool_review(VtdPool *pool);
