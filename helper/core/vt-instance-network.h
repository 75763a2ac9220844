/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-network.h: <interface> of an <instance>, as network-config version 2 */
#pragma once

#include "vt-json.h"

#include <libxml/tree.h>

/**
 * vt_instance_interface:
 * @node: <interface>; without `mac` it stands for the domain's interface of the same place
 * @ethernets: the object of that name, which gets one more member
 * @error: %VT_ERROR_INVALID: no such interface in the domain, named twice, malformed address, two
 *   addresses in one subnet
 */
bool vt_instance_interface(xmlNode *node, json_t *ethernets, GError **error);
