/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry.h: an OCI registry; only vt-registry*.c include this */
#pragma once

#include "vt-http.h"
#include "vt-store-ops.h"

/* Attempts at one document, and at one range: half a minute in all, enough to change the network */
#define VT_REGISTRY_TRIES 8
/* A registry that wants more patience than this is out of service */
#define VT_REGISTRY_WAIT_MAX_MS 60000
/* Less than this is not progress: a server that gives a byte and hangs up will not get better */
#define VT_REGISTRY_PROGRESS (64u << 10)
/* Doubled with each attempt */
#define VT_REGISTRY_WAIT_MS 250

typedef struct VtRangeQueue VtRangeQueue;

/**
 * VtRegistry:
 * @host: `host[:port]`
 * @auth_file: (nullable): as it was when the store was opened
 * @tries: see #VtStoreOptions
 * @authorizations: (element-type utf8 VtAuthorization): by repository
 */
typedef struct {
    VtStore store;
    VtHttp *http;
    char *host;
    GBytes *auth_file;
    unsigned tries;
    GHashTable *authorizations;
    VtRangeQueue *ranges;
} VtRegistry;

/* ---- vt-registry-call.c ---- */

/**
 * vt_registry_ask:
 * @request: its authorization is filled in here
 * @ret_reply: (out) (transfer full): whatever the answer was
 *
 * Sends @request, with the authorization for @repository if there is one; authenticates once if
 * the registry asks for it.
 */
bool vt_registry_ask(VtRegistry *registry, const char *repository, const VtHttpRequest *request,
                     VtHttpReply **ret_reply, GError **error);

/**
 * vt_registry_send: vt_registry_ask(), again after a cut and when the registry is busy
 * @ret_reply: (out) (transfer full): of status 2xx
 * @error: %VT_ERROR_NOT_FOUND for 404, %VT_ERROR_UNSUPPORTED for 405, %VT_ERROR_TOO_LARGE,
 *   %VT_ERROR_NETWORK; it names URL, status and what the registry said
 */
bool vt_registry_send(VtRegistry *registry, const char *repository, const VtHttpRequest *request,
                      VtHttpReply **ret_reply, GError **error);

/** vt_registry_is_success: Returns: whether @reply has a 2xx status and all of its body */
bool vt_registry_is_success(const VtHttpReply *reply);

/** vt_registry_throw: Sets what @reply, which is not a success, means. Returns: false */
bool vt_registry_throw(const VtHttpReply *reply, GError **error);

/**
 * VtAttempts: at one thing, since there was progress; zeroed at the beginning
 * @stalls: of these, those in which nothing came
 * @torn: and those in which the registry misread what another request was writing
 */
typedef struct {
    unsigned count;
    unsigned stalls;
    unsigned torn;
} VtAttempts;

/**
 * vt_registry_pause:
 * @attempts: @reply ended another one
 * @ret_wait_ms: (out): how long to wait before the next one
 * @error: (nullable): why @reply is the last word
 *
 * A registry that could be reached before is asked again when it cannot be reached.
 */
bool vt_registry_pause(VtRegistry *registry, const VtHttpReply *reply, VtAttempts *attempts,
                       int *ret_wait_ms, GError **error);

/**
 * vt_registry_resolve:
 * @location: a URL that @reply names, may be relative
 * @ret_url: (out) (transfer full): a path if it is on the host that gave @reply, else a whole URL
 * @error: %VT_ERROR_NETWORK if it is plain HTTP where that is not allowed
 */
bool vt_registry_resolve(VtRegistry *registry, const VtHttpReply *reply, const char *location,
                         char **ret_url, GError **error);

/**
 * vt_registry_next_page: Follows `Link: <URL>; rel="next"` (RFC 8288)
 * @ret_url: (out) (transfer full) (nullable): a path, %NULL if @reply is the last page
 * @error: %VT_ERROR_NETWORK if it is on another host
 */
bool vt_registry_next_page(VtRegistry *registry, const VtHttpReply *reply, char **ret_url,
                           GError **error);

/* ---- vt-registry-auth.c ---- */

typedef struct VtAuthorization VtAuthorization;
void vt_authorization_free(VtAuthorization *authorization);

/** vt_registry_authorization: Returns: (nullable) (transfer none): Authorization for @repository */
const char *vt_registry_authorization(VtRegistry *registry, const char *repository);

/** vt_registry_authenticate: Gets an authorization for @repository as @reply (401) demands */
bool vt_registry_authenticate(VtRegistry *registry, const char *repository,
                              const VtHttpReply *reply, GError **error);

/* ---- vt-registry-push.c ---- */

bool vt_registry_has_blob(VtStore *store, const char *repository, const VtDigest *digest,
                          bool *ret_has, GError **error);
bool vt_registry_blob_begin(VtStore *store, int *ret_fd, GError **error);
bool vt_registry_put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest,
                          GError **error);
bool vt_registry_mount_blob(VtStore *store, const VtBlobCopy *copy);
bool vt_registry_put_manifest(VtStore *store, const VtStoreManifest *manifest, GError **error);

/* ---- vt-registry-tags.c ---- */

bool vt_registry_list_tags(VtStore *store, const char *repository, GPtrArray **ret_tags,
                           GError **error);

/* ---- vt-registry-range.c ---- */

VtRangeQueue *vt_range_queue_new(void);
void vt_range_queue_free(VtRangeQueue *queue);
void vt_registry_read_range(VtStore *store, VtRange *range);
void vt_registry_dispatch(VtStore *store, int extra_fd, int timeout_ms);
void vt_registry_limit(VtStore *store, unsigned connections, uint64_t rate);
