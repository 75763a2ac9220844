/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-prepare.c: virt-template prepare: a program of its own, see prepare.c */
#include "vtc-verb.h"

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    return vtc_verb_exec("prepare", self, argv, error);
}

const VtcVerb vtc_verb_prepare = {
    .name = "prepare",
    .summary = "Take out of an image what belongs to one machine",
    .run = run,
};
