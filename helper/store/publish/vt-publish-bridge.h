/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-bridge.h: a second way to a full layer, for hosts that have the version before it */
#pragma once

#include "vt-publish-parent.h"

/**
 * vt_publish_bridge:
 * @parent: what @delta is over; its blobs are in the request's repository
 * @delta: makes the same disk as the full layer
 * @bridge: has @full; the rest is set
 *
 * Puts a manifest that lists @parent's layers and @delta. It has a tag, because registries remove
 * what has none, and no signature: the manifest of a version names it by its digest.
 */
bool vt_publish_bridge(const VtPublisher *publisher, const VtPublishRequest *request,
                       const VtPublishParent *parent, const VtEncodeResult *delta,
                       VtPublishBridge *bridge, GError **error);

/** vt_publish_bridge_annotate: Adds @bridge to the descriptor of a layer's index */
void vt_publish_bridge_annotate(const VtPublishBridge *bridge, VtDescriptor *index);

/** vt_publish_bridge_strip: The reverse, for a repository that has no bridge */
void vt_publish_bridge_strip(VtDescriptor *index);
