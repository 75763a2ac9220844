/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-layer.h: the image of a request becomes a layer, of the store or of nothing */
#pragma once

#include "vt-encode.h"
#include "vt-publish-parent.h"

/**
 * vt_publish_layer:
 * @parent: is dropped when a full layer is made after all; its @same, or @bridge, is set
 * @ret_layer: (out caller-allocates)
 *
 * Puts the blobs of a delta over @parent into the store, or those of a full layer; with a delta
 * also those of @parent that are in another repository.
 */
bool vt_publish_layer(const VtPublisher *publisher, const VtPublishRequest *request,
                      VtPublishParent *parent, VtEncodeResult *ret_layer, GError **error);

/** vt_publish_layer_list: Puts the index of @layer, and appends it and its blobs to the layers of
 *  @manifest */
bool vt_publish_layer_list(const VtPublisher *publisher, const VtPublishRequest *request,
                           const VtEncodeResult *layer, VtManifest *manifest, GError **error);

/** vt_publish_layer_again: What vt_publish_layer() would write over the very same layers */
bool vt_publish_layer_again(const VtPublisher *publisher, const VtPublishRequest *request,
                            VtPublishParent *parent, VtEncodeResult *ret_layer, GError **error);
