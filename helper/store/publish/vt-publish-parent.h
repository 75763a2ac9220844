/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-parent.h: what a new version is a delta over */
#pragma once

#include "vt-catalog.h"
#include "vt-encode.h"
#include "vt-manifest.h"
#include "vt-publish.h"
#include "vt-restore.h"

/**
 * VtPublishBridge: a second way to a full layer
 * @full: digest of that layer's index
 * @manifest: digest
 * @size: of the manifest, bytes; 0: there is none
 * @bytes: of the layer that a host with @over lacks, in the store
 * @over: `NAME@VERSION`
 */
typedef struct {
    VtDigest full;
    VtDigest manifest;
    uint64_t size;
    uint64_t bytes;
    char *over;
} VtPublishBridge;

/**
 * VtPublishParent: a version of the catalog, and its layers
 * @why_full: (nullable): why there is none
 * @repository: where its blobs are
 * @manifest: (nullable): %NULL: there is none
 * @layers: (element-type VtTemplateLayer): those that will be below the new one, base first
 * @restore: see vt_publish_parent_open(), as @chain
 * @same: the new version is the same disk and has no layer of its own
 * @checkpoint: the new version gets a full layer, and is not over this one but for a bridge
 * @bridge: to the full layer
 * @base_bytes: stored bytes of the lowest layer
 * @base_data: bytes of the disk in it that are not zero
 */
typedef struct {
    char *name;
    char *version;
    char *why_full;
    char *repository;
    VtManifest *manifest;
    GPtrArray *layers;
    VtRestore *restore;
    VtChain *chain;
    bool same;
    bool checkpoint;
    VtPublishBridge bridge;
    uint64_t base_bytes;
    uint64_t base_data;
} VtPublishParent;
void vt_publish_parent_clear(VtPublishParent *parent);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtPublishParent, vt_publish_parent_clear)

/**
 * vt_publish_parent_choose:
 * @catalog: verified
 * @ret_parent: (out caller-allocates): what the request asks for, and what it has, by its manifest
 * @error: %VT_ERROR_NOT_FOUND: the catalog has no such version
 */
bool vt_publish_parent_choose(const VtPublisher *publisher, const VtPublishRequest *request,
                              const VtCatalog *catalog, VtPublishParent *ret_parent,
                              GError **error);

/**
 * vt_publish_parent_of:
 * @entry: of the request's own version
 * @ret_parent: (out caller-allocates): its manifest, and the layers below its top, maybe none
 * @ret_top: (out): digest of the top's index
 */
bool vt_publish_parent_of(const VtPublisher *publisher, const VtPublishRequest *request,
                          const VtCatalogEntry *entry, VtPublishParent *ret_parent,
                          VtDigest *ret_top, GError **error);

/** vt_publish_parent_index: Returns: (nullable): digest of the index right below the new layer */
const VtDigest *vt_publish_parent_index(const VtPublishParent *parent);

/**
 * vt_publish_parent_open:
 *
 * Fetches its layers, of which there is at least one, so that there is a chain to encode over.
 *
 * @error: names the template, the layer and the blob
 */
bool vt_publish_parent_open(const VtPublisher *publisher, const VtPublishRequest *request,
                            VtPublishParent *parent, GError **error);

/** vt_publish_parent_copy: Puts its blobs into @repository, too, unless they are in it */
bool vt_publish_parent_copy(const VtPublisher *publisher, const VtPublishParent *parent,
                            const char *repository, GError **error);

/** vt_publish_parent_list: Appends its layers, if any, to the layers of @manifest, which will be in
 *  the request's repository */
void vt_publish_parent_list(const VtPublisher *publisher, const VtPublishRequest *request,
                            const VtPublishParent *parent, VtManifest *manifest);

/** vt_publish_parent_drop: Makes it none; @why: (transfer full) */
void vt_publish_parent_drop(VtPublishParent *parent, char *why);
