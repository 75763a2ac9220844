/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-evict.c: virt-template evict NAME[@VERSION] */
#include "vtc-pool.h"
#include "vtc-verb.h"

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(VtcTarget) target = {0};
    g_auto(GStrv) words = NULL;
    gboolean quiet = FALSE;
    const GOptionEntry entries[] = {
        VTC_HELPER_ENTRIES(helper),
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "Print nothing", NULL},
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_target_open(&helper, true, words[0], &target, error) ||
        !vtc_target_call(&target, "Evict", "()", NULL, error))
        return false;
    if (!quiet)
        g_print("the local copy of %s is removed; it stays listed, and is fetched again when it "
                "is used\n",
                words[0]);
    return true;
}

const VtcVerb vtc_verb_evict = {
    .name = "evict",
    .words = "NAME[@VERSION]",
    .words_min = 1,
    .words_max = 1,
    .summary = "Remove the local copy of a template",
    .detail = "Refused while clones need it; the error names them.",
    .run = run,
};
