/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-network.h: the network of an <instance>, as network-config version 2 */
#pragma once

#include "vt-json.h"

#include <libxml/tree.h>

/*
 * All of these add a member to @network, which is made when it is %NULL:
 *
 *     {"version": 2, "ethernets": {"eth0": {...}}, "bonds": {...}, "vlans": {...}}
 */

/**
 * vt_instance_interface:
 * @node: <interface>; without `mac` it stands for the domain's interface of the same place
 * @error: %VT_ERROR_INVALID: no such interface in the domain, named twice, malformed address, two
 *   addresses in one subnet
 */
bool vt_instance_interface(xmlNode *node, json_t **network, GError **error);

/** vt_instance_bond: @node: <bond>, whose members are <interface>s before it */
bool vt_instance_bond(xmlNode *node, json_t **network, GError **error);

/** vt_instance_vlan: @node: <vlan>, whose link is an <interface> or <bond> before it */
bool vt_instance_vlan(xmlNode *node, json_t **network, GError **error);

/** vt_instance_network_check: Refuses a link without address that nothing else needs;
 *  @node: for messages */
bool vt_instance_network_check(const xmlNode *node, json_t *network, GError **error);
