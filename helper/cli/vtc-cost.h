/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-cost.h: what it takes to have a version on this host, for people */
#pragma once

#include "vtc-pool.h"

#include <jansson.h>

/** vtc_cost_ask: @all: see GetCost in xml/virttemplate.Helper1.xml. @ret_cost: (transfer full) */
bool vtc_cost_ask(const VtcTarget *target, bool all, json_t **ret_cost, GError **error);

/** vtc_cost_sum: Returns: (transfer full): `1.2 MiB to fetch, ...` of the answer */
char *vtc_cost_sum(const json_t *cost);

/** vtc_cost_layers: Returns: (transfer full): a table of the layers, the lowest first */
char *vtc_cost_layers(const json_t *cost);
