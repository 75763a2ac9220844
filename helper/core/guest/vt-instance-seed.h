/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-seed.h: <seed> of an <instance>: where the medium is to be, and for whom */
#pragma once

#include "vt-instance.h"

#include <libxml/tree.h>

/**
 * vt_instance_source:
 * @instance: <instance>; what its other elements mean depends on the datasource
 *
 * Returns: what its <seed> says; %VT_SEED_NOCLOUD if that says nothing that is known
 */
VtSeedSource vt_instance_source(xmlNode *instance);

/**
 * vt_instance_seed:
 * @node: <seed>
 * @instance: gets `source` and `seed_path`
 * @error: %VT_ERROR_INVALID: no absolute path, unknown datasource, a floppy that is not for Windows
 */
bool vt_instance_seed(xmlNode *node, VtInstance *instance, GError **error);
