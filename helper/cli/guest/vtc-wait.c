/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-wait.c: until a guest is up */
#include "vtc-wait.h"

#include "vtc-host.h"

#define POLL_US (500 * 1000)

bool
vtc_wait_address(virConnectPtr connection, const char *name, gint64 deadline,
                 VtcInterrupt *interrupt, char **ret_address, GError **error)
{
    g_autofree char *address = NULL;

    for (;;) {
        if (!vtc_interrupt_check(interrupt, error) ||
            !vtc_host_address(connection, name, &address, error))
            return false;
        if (address) {
            *ret_address = g_steal_pointer(&address);
            return true;
        }
        if (g_get_monotonic_time() > deadline)
            return vt_throw(error, VT_ERROR_FAILED, "'%s' runs, but has no address yet", name);
        g_usleep(POLL_US);
    }
}
