/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed-network.h: a network in the words of OpenStack's config drive */
#pragma once

#include "vt-json.h"

/**
 * vt_seed_network_data:
 * @network: as vt_instance_interface() and its like make it
 *
 * Returns: (transfer full): network_data.json (docs.openstack.org: "Metadata", its schema in Nova's
 * doc/api_schemas): links, networks, services. A bond or VLAN is called as the guest's reader
 * likes.
 */
json_t *vt_seed_network_data(const json_t *network);
