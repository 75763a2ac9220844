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
 * vt_publish_catalog_write: Dates, signs and pushes @catalog; increases nothing
 * @base: (nullable): manifest of the catalog that it was made from; %NULL: there is none
 * @ret_written: (out): false: the store's catalog is not @base any more, and was left as it is
 */
bool vt_publish_catalog_write(const VtPublisher *publisher, VtCatalog *catalog,
                              const VtDigest *base, bool *ret_written, GError **error);

/** vt_publish_manifest: Pushes and signs a manifest; @ret_digest: (out) */
bool vt_publish_manifest(const VtPublisher *publisher, const char *name, const char *tag,
                         GBytes *manifest, VtDigest *ret_digest, GError **error);

/** vt_publish_put: Puts a small blob; @ret_descriptor: (out) (transfer full) */
bool vt_publish_put(const VtPublisher *publisher, const char *name, const char *media_type,
                    GBytes *bytes, VtDescriptor **ret_descriptor, GError **error);

/** vt_publish_now: Returns: (transfer full): RFC 3339 in UTC, @days from now */
char *vt_publish_now(unsigned days);
