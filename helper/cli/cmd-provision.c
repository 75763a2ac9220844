/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-provision.c: the verbs that make guests: a program of its own, see provision.c */
#include "vtc-verb.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    const char *dir = g_getenv("VIRT_TEMPLATE_LIBEXEC_DIR");
    g_autofree char *program = g_build_filename(dir ? dir : VT_LIBEXEC_DIR, "provision", NULL);
    g_autoptr(GPtrArray) full = g_ptr_array_new();

    g_ptr_array_add(full, program);
    g_ptr_array_add(full, (char *)(uintptr_t)self->name);
    for (; *argv; argv++)
        g_ptr_array_add(full, *argv);
    g_ptr_array_add(full, NULL);
    execv(program, (char **)full->pdata);
    return vt_throw_errno(error, errno, "cannot run '%s'", program);
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
