/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-methods-metrics.c: how the daemon and its pools are, as numbers */
#include "vtd-methods.h"

static void
tell(VtdCall *call)
{
    VtdDaemon *daemon = call->daemon;
    g_autofree char *text = vtd_metrics_format(daemon->metrics, daemon->config->workers.monitor,
                                               daemon->jobs, daemon->pools);

    vtd_call_return(call, g_variant_new("(s)", text));
}

static void
measured(void *user)
{
    vtd_call_waited(user);
    tell(user);
}

bool
vtd_method_get_metrics(VtdCall *call, GError **error)
{
    VtdDaemon *daemon = call->daemon;
    g_autofree gpointer *targets = g_hash_table_get_keys_as_array(daemon->pools, NULL);

    if (vtd_call_may_wait(call))
        vtd_metrics_measure(daemon->metrics, g_strdupv((GStrv)targets), measured, call);
    else
        tell(call);
    return true;
}
