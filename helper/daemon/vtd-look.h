/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-look.h: a turn in the directory of a pool, and what is decided there */
#pragma once

#include "vtd-pool.h"

/**
 * VtdLook: what a turn goes by; made and taken back by the main thread, and the directory's
 * thread's while that works: all that it may look at
 * @settings: of the pool, as @url
 * @here: in the directory's thread alone
 * @files: from vtd_look_open() to the end of the work
 * @catalog: (nullable): as it was when the turn began
 * @distrust: (nullable): why the policy did not trust it then; set without @catalog
 * @damaged: as #VtdPool's when the turn began, without @removed
 * @place: (out): of @files, if they were opened
 * @removed: (out) (nullable): layers that were damaged, and are not here any more
 * @refused: (out): a manifest, if there is @refusal
 */
typedef struct {
    const VtPoolSettings *settings;
    const VtStoreUrl *url;
    VtdDirectory *here;
    VtPool *files;
    VtCatalog *catalog;
    GError *distrust;
    GHashTable *damaged;
    VtdPlace place;
    GArray *removed;
    VtDigest refused;
    char *refusal;
} VtdLook;

/**
 * VtdVisit: a #VtdTurn with a #VtdLook
 * @begin: (nullable): in the main thread
 * @work: in the directory's thread
 * @done: in the main thread, once; @look: (nullable): %NULL if the turn did not begin; @error:
 *   (transfer full) (nullable). Frees @user
 * @yields: see #VtdTurn
 */
typedef struct {
    bool (*begin)(VtdLook *look, void *user, GError **error);
    bool (*work)(VtdLook *look, void *user, GError **error);
    void (*done)(VtdLook *look, void *user, GError *error);
    void *user;
    bool yields;
} VtdVisit;

/** vtd_pool_visit: see vtd_turns_add() */
bool vtd_pool_visit(VtdPool *pool, const VtdVisit *visit, guint waiting_max, GError **error);
/** vtd_pool_visit_surely: The same for what the daemon itself has to do, however many wait */
void vtd_pool_visit_surely(VtdPool *pool, const VtdVisit *visit);

/* ---- what @begin and @work may call; what needs @files, @work alone ---- */

bool vtd_look_open(VtdLook *look, GError **error);

/** vtd_look_find: As vtd_pool_find(); the entry belongs to @look */
bool vtd_look_find(const VtdLook *look, const char *name, const char *version,
                   const VtCatalogEntry **ret_entry, GError **error);

/**
 * VtdLocal: a version that may be used
 * @entry: in the catalog
 * @layers: (element-type VtDigest): of its chain, base first; until the turn is over
 * @config: digest of its config document
 * @size: bytes of its blobs
 * @signed_by: (nullable): until the turn is over
 */
typedef struct {
    const VtCatalogEntry *entry;
    const GArray *layers;
    VtDigest config;
    uint64_t size;
    const char *signed_by;
} VtdLocal;

/**
 * vtd_look_use:
 *
 * Whether a version may be used here and now: trusted catalog that has it, kept manifest with the
 * catalog's digest, signatures that the present policy accepts, the layer that the manifest names.
 * Reads nothing but file attributes as long as nothing has changed.
 */
bool vtd_look_use(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
                  GError **error);
/** vtd_look_local: The same for a layer that may be damaged, to verify it */
bool vtd_look_local(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
                    GError **error);
/** vtd_look_kept: The same, whatever files there are but the version's, to repair them */
bool vtd_look_kept(VtdLook *look, const char *name, const char *version, VtdLocal *ret_local,
                   GError **error);

/** vtd_look_config: The kept config document of a version, with the digest that its manifest says
 */
bool vtd_look_config(VtdLook *look, const VtdLocal *local, GBytes **ret_bytes, GError **error);

/** vtd_look_damage_of: Returns: (nullable): what is wrong with the layer of a version that is here
 */
const char *vtd_look_damage_of(VtdLook *look, const char *name, const char *version);
/** vtd_look_damaged_files: The same of all versions at once. Returns: (transfer container)
 * (nullable) (element-type guint64 utf8): what is wrong, by inode; %NULL: nothing */
GHashTable *vtd_look_damaged_files(VtdLook *look);
/** vtd_look_prune_damage: Forgets the damage of layers that were removed */
void vtd_look_prune_damage(VtdLook *look);

/** vtd_directory_pending: Returns: (transfer full): for the first pool of a directory */
GHashTable *vtd_directory_pending(void);
/** vtd_directory_init: Of a pool that is new; @pending: (transfer full): of its directory */
void vtd_directory_init(VtdDirectory *here, GHashTable *pending);
void vtd_directory_clear(VtdDirectory *here);
