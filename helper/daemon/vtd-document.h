/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-document.h: documents of versions, from the pool or the store, checked by their digests */
#pragma once

#include "vt-manifest.h"
#include "vt-pool.h"
#include "vtd-worker.h"

/** vtd_document_check: %VT_ERROR_CORRUPT naming @what unless @bytes have that digest and size */
bool vtd_document_check(GBytes *bytes, const VtDigest *digest, uint64_t size, const char *what,
                        GError **error);

/**
 * VtdVersion: a version, as the trusted catalog has it
 * @manifest: digest
 * @manifest_size: bytes
 */
typedef struct {
    char *name;
    char *version;
    VtDigest manifest;
    uint64_t manifest_size;
} VtdVersion;
void vtd_version_free(VtdVersion *version);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdVersion, vtd_version_free)

/**
 * VtdReader: reads documents of versions, as long as possible without the store
 * @target: directory of the pool
 * @policy: path of the policy
 * @away: (nullable): why the store is not asked
 * @cancellable: ends every later call too
 *
 * What is here has been checked when it came, and is checked again. The store is asked through a
 * fetch worker, which is started when it is needed. Its calls block; it belongs to one thread.
 */
typedef struct {
    const VtdWorkerConfig *workers;
    VtStoreUrl *url;
    char *target;
    char *policy;
    char *away;
    GCancellable *cancellable;
    /*< private >*/
    VtPool *files;
    VtdFetcher *fetcher;
} VtdReader;
/** vtd_reader_clear: Frees what it has, but not @workers */
void vtd_reader_clear(VtdReader *reader);

/** vtd_reader_files: @ret_files: (out) (transfer none): the pool's directory */
bool vtd_reader_files(VtdReader *reader, VtPool **ret_files, GError **error);

/** vtd_reader_kept: @ret_manifest: (out) (transfer full): of a version that is here */
bool vtd_reader_kept(VtdReader *reader, const VtdVersion *version, VtManifest **ret_manifest,
                     GError **error);

/** vtd_reader_manifest: The same, or what the store has under the digest of the catalog */
bool vtd_reader_manifest(VtdReader *reader, const VtdVersion *version, VtManifest **ret_manifest,
                         GError **error);

/** vtd_reader_trust: Whether the policy accepts the version's signatures */
bool vtd_reader_trust(VtdReader *reader, const VtdVersion *version, GError **error);

/**
 * vtd_reader_bridge:
 * @layer: of the verified manifest of a version called @name
 * @ret_layers: (out) (transfer full) (element-type VtTemplateLayer): they borrow from @ret_manifest
 * @error: %VT_ERROR_NOT_FOUND: it has none
 */
bool vtd_reader_bridge(VtdReader *reader, const char *name, const VtTemplateLayer *layer,
                       VtManifest **ret_manifest, GPtrArray **ret_layers, GError **error);

/** vtd_reader_index: @layer: of the verified manifest of a version called @name */
bool vtd_reader_index(VtdReader *reader, const char *name, const VtDescriptor *layer,
                      GBytes **ret_index, GError **error);
