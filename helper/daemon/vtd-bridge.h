/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-bridge.h: a full layer out of its difference from what this host has */
#pragma once

#include "vtd-document.h"

/** VtdBridgeHas: whether a host has a layer */
typedef bool (*VtdBridgeHas)(const void *user, const VtTemplateLayer *layer);

/**
 * vtd_bridge_cost:
 * @layer: of the verified manifest of a version called @name; the host lacks it
 *
 * Returns: bytes that are fetched to get it, by the cheaper way
 */
uint64_t vtd_bridge_cost(VtdReader *reader, const char *name, const VtTemplateLayer *layer,
                         VtdBridgeHas has, const void *user);

/**
 * VtdBridge: a layer on its way
 * @repository: where its blobs and its bridge are
 * @layer: of a verified manifest
 * @index: its index blob, checked
 * @output_fd: its partial file
 * @damaged: (element-type VtDigest): layers here that must not be used
 * @received: (out): bytes of frames
 */
typedef struct {
    VtdFetcher *fetcher;
    VtPool *pool;
    const char *repository;
    const VtTemplateLayer *layer;
    GBytes *index;
    int output_fd;
    const GArray *damaged;
    GCancellable *cancellable;
    uint64_t received;
} VtdBridge;

/**
 * vtd_bridge_fill:
 *
 * If the layer has a bridge, and crossing it is cheaper than fetching the layer, does so: the
 * partial file then has data as after a transfer that was cut. Nothing of it is verified yet.
 * Whatever goes wrong is logged: then there is more to fetch.
 *
 * Returns: whether the partial file may have data now
 */
bool vtd_bridge_fill(VtdBridge *bridge);
