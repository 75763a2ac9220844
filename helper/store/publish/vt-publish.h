/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish.h: an image becomes a signed template of a store */
#pragma once

#include "vt-key.h"
#include "vt-policy.h"
#include "vt-store.h"

#include <jansson.h>

/* How long a catalog is valid if nobody says otherwise */
#define VT_PUBLISH_EXPIRE_DAYS 365u

/* A guest's read may go through every layer; hosts take 64 */
#define VT_PUBLISH_CHAIN_MAX 8u
/* What a new version is a delta over, if nobody says otherwise */
#define VT_PUBLISH_PARENT "auto"

/**
 * VtPublisher: who publishes where
 * @store: opened writable
 * @key: private; signs the template and the catalog
 * @policy: (nullable): what a catalog must satisfy to be extended; %NULL: a signature of @key
 * @expire_days: validity of the new catalog; 0 is %VT_PUBLISH_EXPIRE_DAYS
 */
typedef struct {
    const VtStoreUrl *url;
    VtStore *store;
    const VtKey *key;
    const VtPolicy *policy;
    unsigned expire_days;
} VtPublisher;

/**
 * VtPublishRequest:
 * @name: checked name
 * @version: checked version
 * @image_fd: see vt_encode_image()
 * @level: zstd level, 0 for the default
 * @parent: (nullable): what it becomes a delta over: `NAME@VERSION` of the catalog; `auto`: the
 *   current version of @name; `none`: a full layer; %NULL: %VT_PUBLISH_PARENT
 * @chain_max: layers it may have, with those of the parent; 0: %VT_PUBLISH_CHAIN_MAX
 * @checkpoint: if the chain would have more layers than this, the version gets a full layer, and a
 *   bridge to it, see vt-publish-bridge.h; 0: never
 * @profile: (nullable): what joins the config document, checked by vt_profile_parse()
 * @keep_current: do not make this the current version of its name
 * @progress: (nullable): bytes of the image read, of @total
 * @parent_progress: (nullable): bytes of one of the parent's layers here, of @total; another thread
 * @user: of both
 */
typedef struct {
    const char *name;
    const char *version;
    const char *os;
    const char *architecture;
    int image_fd;
    int level;
    const char *parent;
    unsigned chain_max;
    unsigned checkpoint;
    json_t *profile;
    bool keep_current;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void (*parent_progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    GCancellable *cancellable;
} VtPublishRequest;

/**
 * VtPublishResult: sizes in bytes, as in #VtEncodeResult
 * @unchanged: the version was there already, with the same content; nothing was written but maybe a
 *   new catalog
 * @renewed: (nullable): until when the catalog was valid, if a new one was written for that alone
 * @parent: (nullable): `NAME@VERSION`: stored is a delta over that
 * @why_full: (nullable): why there is no @parent, unless it was the request
 * @layers: of its chain, the new one included
 * @full_bytes: what a full layer would take in the store, about; 0 without @parent
 * @bridge: (nullable): `NAME@VERSION`: hosts that have that need not fetch the full layer
 * @bridge_bytes: what they fetch instead; 0 without @bridge
 * @manifest: digest of the template's manifest
 * @serial: of the catalog that names it
 */
typedef struct {
    bool unchanged;
    char *renewed;
    uint64_t capacity;
    uint64_t data_bytes;
    uint64_t unique_bytes;
    uint64_t stored_bytes;
    uint64_t index_bytes;
    uint64_t serial;
    VtDigest manifest;
    char *parent;
    char *why_full;
    unsigned layers;
    uint64_t full_bytes;
    char *bridge;
    uint64_t bridge_bytes;
} VtPublishResult;
void vt_publish_result_clear(VtPublishResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtPublishResult, vt_publish_result_clear)

/**
 * vt_publish_image:
 *
 * Makes a delta layer over the parent if that is worth it. Writes the layer, the manifest and its
 * signatures, and at last the catalog: what fails before leaves nothing that a host can see.
 * A version that is there already, with the same content, renews a catalog of whose validity less
 * than half is left.
 *
 * @ret_result: (out caller-allocates)
 * @error: %VT_ERROR_EXISTS when the version is in the catalog with other content: versions are
 *   immutable; %VT_ERROR_NOT_FOUND when the store has no catalog; %VT_ERROR_UNTRUSTED when the
 * catalog is not signed as it should be; %VT_ERROR_BUSY when others keep replacing the catalog
 */
bool vt_publish_image(const VtPublisher *publisher, const VtPublishRequest *request,
                      VtPublishResult *ret_result, GError **error);

/** vt_publish_init: Makes an empty catalog; %VT_ERROR_EXISTS; @ret_uuid: (out) (transfer full) */
bool vt_publish_init(const VtPublisher *publisher, char **ret_uuid, GError **error);
