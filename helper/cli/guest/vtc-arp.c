/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-arp.c: addresses of guests in this host's ARP table */
#include "vtc-arp.h"

#include <stdio.h>

/* The text that is parsed:
 *
 *     IP address       HW type     Flags       HW address            Mask     Device
 *     192.0.2.8        0x1         0x2         52:54:00:00:00:08     *        lan
 *     192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        lan
 *
 * libvirt could say that, too (VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP); but 9.0 takes the end of
 * the kernel's answer for an error ("wrong nlmsg len") when it comes in one message with the
 * entries, as it does from Linux 6.18, and then knows none.
 */
enum { ADDRESS, HW_TYPE, FLAGS, MAC, COLUMNS };

/* linux/if_arp.h: ATF_COM: somebody has answered */
#define IS_COMPLETE 0x02

GPtrArray *
vtc_arp_find(const char *table, const GPtrArray *macs)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(table, "\n", 0);

    for (char **line = lines; *line; line++) {
        char word[COLUMNS][64] = {{0}};

        if (sscanf(*line, "%63s %63s %63s %63s", word[ADDRESS], word[HW_TYPE], word[FLAGS],
                   word[MAC]) == COLUMNS &&
            (g_ascii_strtoull(word[FLAGS], NULL, 16) & IS_COMPLETE) &&
            g_ptr_array_find_with_equal_func((GPtrArray *)macs, word[MAC], g_str_equal, NULL))
            g_ptr_array_add(found, g_strdup(word[ADDRESS]));
    }
    return found;
}
