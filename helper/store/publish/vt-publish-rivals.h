/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-rivals.h: catalogs that publishers of one registry announce to each other
 *
 * Theory of operation. A registry replaces a tag whatever it was, so of two publishers that looked
 * at the catalog at the same time, the later one hides what the other one wrote. But what tags
 * there are is a set that only grows, whoever adds to it. So a catalog is announced, by a tag
 * `announced-<serial>-<hex of its manifest>`, before its publisher looks for the last time whether
 * the one that it replaces still is there. Of two that replace the same one, both announced before
 * either looked, so each one sees the other's announcement after it has set the tag.
 */
#pragma once

#include "vt-catalog.h"
#include "vt-publish.h"

/**
 * VtPublishRivals:
 * @floor: the lowest serial of a current catalog that was seen: older ones hide nothing from us
 * @catalogs: (element-type VtCatalog): others' that may have been replaced by the current one, or
 *   may still replace it; the highest serial first
 * @listed: whether all that was announced here is in the registry's list, and could be read
 */
typedef struct {
    const VtPublisher *publisher;
    GHashTable *known;
    GHashTable *own;
    uint64_t floor;
    GPtrArray *catalogs;
    bool listed;
} VtPublishRivals;

/** vt_publish_rivals_new: Returns: (transfer full): of a registry; none are known yet */
VtPublishRivals *vt_publish_rivals_new(const VtPublisher *publisher);
void vt_publish_rivals_free(VtPublishRivals *rivals);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtPublishRivals, vt_publish_rivals_free)

/** vt_publish_rivals_announce: @digest: of the manifest of a catalog that is in the registry */
bool vt_publish_rivals_announce(VtPublishRivals *rivals, uint64_t serial, const VtDigest *digest,
                                GError **error);

/**
 * vt_publish_rivals_look: Finds the @catalogs; those that are not trusted are none
 * @base: of the manifest of @current
 */
bool vt_publish_rivals_look(VtPublishRivals *rivals, const VtCatalog *current, const VtDigest *base,
                            GError **error);
