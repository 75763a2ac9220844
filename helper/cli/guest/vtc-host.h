/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-host.h: a connection to libvirt, and what is asked of domains and volumes by name */
#pragma once

#include "vtc-client.h"

#include <libvirt/libvirt.h>

/**
 * vtc_host_open:
 * @uri: (nullable)
 * @ret_connection: (out): for virConnectClose()
 */
bool vtc_host_open(const char *uri, virConnectPtr *ret_connection, GError **error);

/** vtc_host_throw: Sets @what 'NAME': libvirt's last error. Returns: false */
bool vtc_host_throw(GError **error, VtError code, const char *what, const char *name);

/** vtc_host_is_remote: Returns: whether its pools and files are not on this host */
bool vtc_host_is_remote(virConnectPtr connection);

/** vtc_host_helper: Returns: (transfer full): whose virttemplated is that of this
 *  libvirt */
VtcHelperOptions vtc_host_helper(virConnectPtr connection);

/** vtc_host_virt_type: Returns: (transfer none): `kvm` if the host has it, else `qemu` */
const char *vtc_host_virt_type(virConnectPtr connection);

/** vtc_host_pool_target: Returns: (transfer full) (nullable): path of @pool's directory */
char *vtc_host_pool_target(virStoragePoolPtr pool);

/** vtc_host_pool_defaults: Returns: (transfer full) (nullable): path of the file that a template
 *  pool has for all its guests */
char *vtc_host_pool_defaults(virStoragePoolPtr pool);

/** vtc_host_runs: Returns: whether there is a domain @name that runs */
bool vtc_host_runs(virConnectPtr connection, const char *name);

/** vtc_host_start: @name: a domain that is defined */
bool vtc_host_start(virConnectPtr connection, const char *name, GError **error);

/** vtc_host_remove_domain: Ends the domain @name and removes it with all that libvirt keeps of it,
 *  if it is there */
bool vtc_host_remove_domain(virConnectPtr connection, const char *name, GError **error);

/** vtc_host_remove_volume: Removes the volume if it is there */
bool vtc_host_remove_volume(virStoragePoolPtr pool, const char *volume, GError **error);

/**
 * vtc_host_address:
 * @ret_address: (out) (transfer full): the guest's first address that is not a link's own; %NULL if
 *   none is known yet, by lease, guest agent or ARP
 * @error: the domain does not run any more
 */
bool vtc_host_address(virConnectPtr connection, const char *name, char **ret_address,
                      GError **error);
