/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-wait.h: until a guest is up */
#pragma once

#include "vtc-interrupt.h"

#include <libvirt/libvirt.h>

/**
 * vtc_wait_address:
 * @deadline: as of g_get_monotonic_time()
 * @ret_address: (out) (transfer full): see vtc_host_address()
 * @error: the domain has stopped, it has no address by then, or there was an interrupt
 */
bool vtc_wait_address(virConnectPtr connection, const char *name, gint64 deadline,
                      VtcInterrupt *interrupt, char **ret_address, GError **error);
