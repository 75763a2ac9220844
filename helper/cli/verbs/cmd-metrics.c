/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-metrics.c: virt-template metrics: how virttemplated and its pools are, as numbers */
#include "vtc-client.h"
#include "vtc-scrape.h"
#include "vtc-verb.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static bool
get_metrics(const VtcHelperOptions *helper, char **ret_text, GError **error)
{
    g_autoptr(VtcClient) client = NULL;
    g_autoptr(GVariant) reply = NULL;

    if (!vtc_client_open(helper, false, &client, error) ||
        !vtc_client_call(client, "GetMetrics", NULL, "(s)", &reply, error))
        return false;
    g_variant_get(reply, "(s)", ret_text);
    return true;
}

static bool
print(const char *text, GError **error)
{
    return (fputs(text, stdout) >= 0 && fflush(stdout) == 0) ||
           vt_throw_errno(error, errno, "cannot write the metrics");
}

/* One client of a socket, who speaks HTTP or nothing */
static bool
serve(const VtcHelperOptions *helper, GError **error)
{
    const VtcScrape scrape = vtc_scrape_read(STDIN_FILENO);
    g_autofree char *text = NULL, *answer = NULL;
    g_autoptr(GError) failure = NULL;

    if (scrape == VTC_SCRAPE_METRICS || scrape == VTC_SCRAPE_HEAD || scrape == VTC_SCRAPE_PLAIN)
        (void)get_metrics(helper, &text, &failure);
    if (scrape == VTC_SCRAPE_PLAIN && failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    answer = vtc_scrape_answer(scrape, text, failure ? failure->message : NULL);
    /* Not g_print(), which would make other bytes of it in another locale */
    return print(answer, error);
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_autofree char *text = NULL;
    g_auto(GStrv) words = NULL;
    gboolean wants_serve = FALSE;
    const GOptionEntry entries[] = {
        {"serve", 0, 0, G_OPTION_ARG_NONE, &wants_serve,
         "Answer a client on stdin and stdout, who may speak HTTP", NULL},
        VTC_SOCKET_ENTRIES(helper),
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error))
        return false;
    if (wants_serve)
        return serve(&helper, error);
    if (!get_metrics(&helper, &text, error))
        return false;
    return print(text, error);
}

const VtcVerb vtc_verb_metrics = {
    .name = "metrics",
    .words = "",
    .summary = "Print how virttemplated and its pools are, as OpenMetrics",
    .run = run,
};
