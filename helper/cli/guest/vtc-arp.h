/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-arp.h: addresses of guests in this host's ARP table */
#pragma once

#include <glib.h>

#define VTC_ARP_TABLE "/proc/net/arp"

/**
 * vtc_arp_find:
 * @table: what VTC_ARP_TABLE holds, proc_net(5)
 * @macs: (element-type utf8): of a guest's interfaces, in small letters
 *
 * Returns: (transfer full): (element-type utf8): the addresses that are known to be theirs
 */
GPtrArray *vtc_arp_find(const char *table, const GPtrArray *macs);
