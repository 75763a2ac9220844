/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-catalog.h: the signed document that names every template of a store */
#pragma once

#include "vt-digest.h"

#include <stdint.h>

#define VT_CATALOG_MEDIA_TYPE    "application/vnd.virt-template.catalog.v1+json"
#define VT_CATALOG_ARTIFACT_TYPE "application/vnd.virt-template.catalog.v1"
/* Tag of the catalog's manifest in the repository VT_CATALOG_NAME */
#define VT_CATALOG_TAG "latest"
/* About 50,000 versions */
#define VT_CATALOG_MAX (16u << 20)

/*
 * {"_type":"virt-template-catalog","spec_version":"1","store":"<UUID>","serial":7,
 *  "created":"2026-11-21T10:00:00Z","expires":"2027-11-21T10:00:00Z",
 *  "templates":{"debian-12":{"current":"1.2.0","versions":{
 *    "1.2.0":{"manifest":"sha256:...","size":1234,"capacity":4294967296,"format":"qcow2",
 *             "serial":7,"os":"linux","architecture":"amd64","created":"2026-11-21T10:00:00Z"}}}}}
 *
 * It is the only layer of an OCI manifest (artifactType VT_CATALOG_ARTIFACT_TYPE, empty config)
 * with the tag VT_CATALOG_TAG; that manifest is what is signed.
 */

/**
 * VtCatalogEntry: one version of one template
 * @manifest: digest of the OCI manifest
 * @manifest_size: its size, bytes
 * @capacity: virtual disk size, bytes
 * @serial: catalog serial in which it was added
 */
typedef struct {
    char *version;
    VtDigest manifest;
    uint64_t manifest_size;
    uint64_t capacity;
    uint64_t serial;
    char *format;
    char *os;
    char *architecture;
    char *created;
} VtCatalogEntry;

/**
 * VtCatalogTemplate:
 * @current: the current version, one of @versions
 * @versions: (element-type VtCatalogEntry): ordered by vt_version_compare(), lowest first
 */
typedef struct {
    char *name;
    char *current;
    GPtrArray *versions;
} VtCatalogTemplate;

/**
 * VtCatalog:
 * @store: UUID of the store, lower case
 * @serial: grows by one with each change, from 1
 * @created: RFC 3339, UTC
 * @expires: RFC 3339, UTC
 * @templates: (element-type VtCatalogTemplate): ordered by name
 */
typedef struct {
    char *store;
    uint64_t serial;
    char *created;
    char *expires;
    GPtrArray *templates;
} VtCatalog;

/** vt_catalog_new: @store: UUID. Returns: (transfer full): empty, serial 0, no dates */
VtCatalog *vt_catalog_new(const char *store);
/** vt_catalog_ref: Returns: (transfer full): the same, for another thread: from then on nobody
 * changes it. vt_catalog_free() gives back one reference; @catalog: (nullable) */
VtCatalog *vt_catalog_ref(VtCatalog *catalog);
void vt_catalog_free(VtCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtCatalog, vt_catalog_free)

/** vt_catalog_parse: Strict; @bytes are the verified document. %VT_ERROR_INVALID */
bool vt_catalog_parse(GBytes *bytes, VtCatalog **ret_catalog, GError **error);

/** vt_catalog_format: Returns: (transfer full): the document; the same value, the same bytes */
GBytes *vt_catalog_format(const VtCatalog *catalog);

/** vt_catalog_find: @version: (nullable): %NULL is the current one. Returns: (nullable) */
const VtCatalogEntry *vt_catalog_find(const VtCatalog *catalog, const char *name,
                                      const char *version);

/** vt_catalog_find_template: Returns: (nullable) */
const VtCatalogTemplate *vt_catalog_find_template(const VtCatalog *catalog, const char *name);

/**
 * vt_catalog_add:
 * @entry: (transfer full): consumed also on failure; its `serial` 0 becomes the catalog's, which
 *   the caller has increased before
 * @make_current: make it the name's current version (always so for the first one)
 * @error: %VT_ERROR_EXISTS: versions are immutable; %VT_ERROR_INVALID
 */
bool vt_catalog_add(VtCatalog *catalog, const char *name, VtCatalogEntry *entry, bool make_current,
                    GError **error);

/**
 * vt_catalog_merge: Adds the versions that @other has and @catalog has not; where both have one,
 *   that of @catalog stays. What is the current version of a name in @other and new in @catalog
 *   becomes its current one
 *
 * Returns: how many versions were added
 */
guint vt_catalog_merge(VtCatalog *catalog, const VtCatalog *other);

/** vt_catalog_entry_copy: Returns: (transfer full) */
VtCatalogEntry *vt_catalog_entry_copy(const VtCatalogEntry *entry);
void vt_catalog_entry_free(VtCatalogEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtCatalogEntry, vt_catalog_entry_free)
