/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-catalog-file.h: the catalog in its store: finding and reading it, before it is trusted */
#pragma once

#include "vt-catalog.h"
#include "vt-name.h"
#include "vt-source.h"
#include "vt-store-url.h"

/**
 * VtCatalogFile: the manifest at the catalog's tag, and the document it names
 * @manifest: its digest, computed
 * @manifest_size: bytes
 * @document: (nullable): the catalog's bytes, which have the digest that the manifest gives
 */
typedef struct {
    VtDigest manifest;
    uint64_t manifest_size;
    GBytes *manifest_bytes;
    GBytes *document;
} VtCatalogFile;
void vt_catalog_file_clear(VtCatalogFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtCatalogFile, vt_catalog_file_clear)

/**
 * vt_catalog_file_find:
 * @ret_file: (out): without document
 * @error: %VT_ERROR_NOT_FOUND if the store has no catalog, %VT_ERROR_NETWORK
 *
 * One request. The caller checks the signature of @manifest before it goes on.
 */
bool vt_catalog_file_find(VtSource *source, const VtStoreUrl *url, VtCatalogFile *ret_file,
                          GError **error);

/** vt_catalog_file_read: Reads the document of @file, whose manifest is trusted, into @file */
bool vt_catalog_file_read(VtSource *source, const VtStoreUrl *url, VtCatalogFile *file,
                          GError **error);
