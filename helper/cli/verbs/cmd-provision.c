/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-provision.c: the verbs that make guests: a program of its own, see provision.c */
#include "vtc-verb.h"

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    return vtc_verb_exec("provision", self, argv, error);
}

const VtcVerb vtc_verb_provision = {
    .name = "provision",
    .summary = "Make a guest from a template: clone, seed, domain",
    .run = run,
};

const VtcVerb vtc_verb_domain_xml = {
    .name = "domain-xml",
    .summary = "Print the XML of such a guest",
    .run = run,
};

const VtcVerb vtc_verb_application_up = {
    .name = "application up",
    .summary = "Make the guests of an application, all or none",
    .run = run,
};

const VtcVerb vtc_verb_application_down = {
    .name = "application down",
    .summary = "Remove them",
    .run = run,
};

const VtcVerb vtc_verb_application_list = {
    .name = "application list",
    .summary = "List them",
    .run = run,
};
