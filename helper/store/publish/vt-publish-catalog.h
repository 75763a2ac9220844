/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-catalog.h: reading and replacing the catalog as a publisher */
#pragma once

#include "vt-catalog.h"
#include "vt-catalog-file.h"
#include "vt-manifest.h"
#include "vt-publish.h"

/** vt_publish_catalog_read: The current catalog, verified; @ret_digest: of its manifest */
bool vt_publish_catalog_read(const VtPublisher *publisher, VtCatalog **ret_catalog,
                             VtDigest *ret_digest, GError **error);

/**
 * vt_publish_catalog_read_announced: One that may never have been the current one, verified
 * @digest: of its manifest
 * @error: %VT_ERROR_NETWORK if it cannot be asked for; whatever else makes it useless
 */
bool vt_publish_catalog_read_announced(const VtPublisher *publisher, const VtDigest *digest,
                                       VtCatalog **ret_catalog, GError **error);

/**
 * vt_publish_catalog_put: Dates, signs and pushes @catalog, by digest: nobody sees it yet
 * @ret_manifest: (out) (transfer full)
 */
bool vt_publish_catalog_put(const VtPublisher *publisher, VtCatalog *catalog, GBytes **ret_manifest,
                            VtDigest *ret_digest, GError **error);

/**
 * vt_publish_catalog_replace: Makes what was put the store's catalog
 * @base: (nullable): manifest of the catalog that it was made from; %NULL: there is none
 * @ret_written: (out): false: the store's catalog is not @base any more, and was left as it is
 */
bool vt_publish_catalog_replace(const VtPublisher *publisher, GBytes *manifest,
                                const VtDigest *base, bool *ret_written, GError **error);

/** vt_publish_tag: Sets a tag to a manifest that is signed, or that says nothing */
bool vt_publish_tag(const VtPublisher *publisher, const char *name, const char *tag,
                    GBytes *manifest, GError **error);

/** vt_publish_manifest: Pushes and signs a manifest; @ret_digest: (out) */
bool vt_publish_manifest(const VtPublisher *publisher, const char *name, const char *tag,
                         GBytes *manifest, VtDigest *ret_digest, GError **error);

/** vt_publish_put: Puts a small blob; @ret_descriptor: (out) (transfer full) */
bool vt_publish_put(const VtPublisher *publisher, const char *name, const char *media_type,
                    GBytes *bytes, VtDescriptor **ret_descriptor, GError **error);

/** vt_publish_now: Returns: (transfer full): RFC 3339 in UTC, @days from now */
char *vt_publish_now(unsigned days);

/** vt_publish_days: Returns: for how long a catalog of @publisher is valid */
unsigned vt_publish_days(const VtPublisher *publisher);
