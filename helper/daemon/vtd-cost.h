/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-cost.h: what it takes to have a version on this host */
#pragma once

#include "vtd-document.h"

/**
 * VtdCost: all that a thread may look at
 * @version: of which it is asked
 * @others: (element-type VtdVersion): those that may share layers with it, and are here
 * @elsewhere: (element-type VtdVersion): the same, and their manifests are in the store
 */
typedef struct {
    VtdReader reader;
    VtdVersion *version;
    GPtrArray *others;
    GPtrArray *elsewhere;
} VtdCost;
void vtd_cost_free(VtdCost *cost);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdCost, vtd_cost_free)

/**
 * vtd_cost_run: Blocks; changes nothing, and asks the store for manifests and signatures only
 * @ret_reply: (out) (transfer full): the `cost` of GetCost in xml/virttemplate.Helper1.xml
 */
bool vtd_cost_run(VtdCost *cost, GVariant **ret_reply, GError **error);
