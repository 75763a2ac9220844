/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-main.c: this program as a worker */
#include "vtd-worker-main.h"
#include "vtd-worker.h"

#include <signal.h>
#include <string.h>

static const struct {
    const char *kind;
    int (*run)(void);
} kinds[] = {
    {"fetch", vtd_worker_fetch},
    {"unpack", vtd_worker_unpack},
};

int
vtd_worker_main(const char *kind)
{
    /* a closed socket is an error that is looked at; a terminal's Ctrl-C is the daemon's business
     */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].run();
    }
    g_printerr("virttemplated: there is no worker '%s'\n", kind);
    return 2;
}
