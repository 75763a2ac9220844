/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store-ops.h: what each kind of store implements; only vt-store.c and the kinds include it */
#pragma once

#include "vt-store-copy.h"
#include "vt-store.h"

/**
 * VtRange: one #VtStoreRange on its way
 * @error: (nullable): why it failed, once it is in VtStore.ended
 */
typedef struct {
    char *repository;
    char digest[VT_DIGEST_STRING_MAX];
    uint64_t blob_size;
    uint64_t offset;
    uint32_t length;
    uint8_t *buffer;
    VtRangeDone done;
    void *user;
    VtRangeProgress progress;
    VtRangeRoom room;
    VtRangeSink sink;
    GError *error;
} VtRange;
void vt_range_free(VtRange *range);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRange, vt_range_free)

/** VtStoreManifest: the arguments of vt_store_put_manifest(), and what its bytes say */
typedef struct {
    const char *repository;
    const char *tag;
    const char *media_type;
    GBytes *bytes;
} VtStoreManifest;

typedef struct {
    void (*free)(VtStore *store);
    /** read_range: @range: (transfer full): goes to vt_store_range_ended() at the end */
    void (*read_range)(VtStore *store, VtRange *range);
    void (*dispatch)(VtStore *store, int extra_fd, int timeout_ms);
    /** limit: (nullable) */
    void (*limit)(VtStore *store, unsigned connections, uint64_t rate);
    bool (*has_blob)(VtStore *store, const char *repository, const VtDigest *digest, bool *ret_has,
                     GError **error);
    bool (*blob_begin)(VtStore *store, int *ret_fd, GError **error);
    /** put_blob: @digest is that of @blob */
    bool (*put_blob)(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest,
                     GError **error);
    /** mount_blob: (nullable): Returns: whether the store made @copy all by itself */
    bool (*mount_blob)(VtStore *store, const VtBlobCopy *copy);
    /** list_tags: (nullable): of a kind of store that has a lock */
    bool (*list_tags)(VtStore *store, const char *repository, GPtrArray **ret_tags, GError **error);
    bool (*put_manifest)(VtStore *store, const VtStoreManifest *manifest, GError **error);
} VtStoreOps;

/**
 * VtStore: the head of every kind
 * @source: first, so that a VtSource is its VtStore
 * @streams: see vt_store_streams()
 * @connections: see vt_store_connections()
 * @requests: see vt_store_requests()
 * @retries: see vt_store_retries()
 * @ended: (element-type VtRange): ranges whose @done is to be called
 */
struct VtStore {
    VtSource source;
    const VtStoreOps *ops;
    bool writable;
    bool streams;
    unsigned connections;
    uint64_t requests;
    uint64_t retries;
    GQueue ended;
};

/** vt_store_range_ended: @range: (transfer full); @error: (nullable) (transfer full) */
void vt_store_range_ended(VtStore *store, VtRange *range, GError *error);

bool vt_layout_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                    GError **error);
bool vt_registry_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                      GError **error);
