/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-verb.c: the arguments of a verb */
#include "vtc-verb.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

static char **
full_argv(const VtcVerb *verb, char **argv)
{
    g_autoptr(GPtrArray) full = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(full, g_strconcat("virt-template ", verb->name, NULL));
    for (; *argv; argv++)
        g_ptr_array_add(full, g_strdup(*argv));
    g_ptr_array_add(full, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&full), FALSE);
}

bool
vtc_verb_parse(const VtcVerb *verb, char **argv, const GOptionEntry *entries, char ***ret_words,
               GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autofree char *title = g_strconcat("virt-template ", verb->name, NULL);
    g_auto(GStrv) full = full_argv(verb, argv), words = NULL;
    g_autoptr(GError) local = NULL;
    const GOptionEntry rest[] = {
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &words, "", verb->words},
        {NULL},
    };
    unsigned count;

    g_set_prgname(title);
    g_option_context_set_summary(context, verb->summary);
    g_option_context_set_description(context, verb->detail);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, rest, NULL);
    if (!g_option_context_parse_strv(context, &full, &local))
        return vtc_usage(error, "%s; see '%s --help'", local->message, title);
    count = words ? g_strv_length(words) : 0;
    if (count > verb->words_max)
        return vtc_usage(error, "'%s' is one argument too many; see '%s --help'",
                         words[verb->words_max], title);
    if (count < verb->words_min)
        return vtc_usage(error, "'%s' needs %s; see '%s --help'", title, verb->words, title);
    *ret_words = words ? g_steal_pointer(&words) : g_new0(char *, 1);
    return true;
}

bool
vtc_verb_exec(const char *name, const VtcVerb *verb, char **argv, GError **error)
{
    const char *dir = g_getenv("VIRT_TEMPLATE_LIBEXEC_DIR");
    g_autofree char *program = g_build_filename(dir ? dir : VT_LIBEXEC_DIR, name, NULL);
    g_autoptr(GPtrArray) full = g_ptr_array_new();

    g_ptr_array_add(full, program);
    g_ptr_array_add(full, (char *)(uintptr_t)verb->name);
    for (; *argv; argv++)
        g_ptr_array_add(full, *argv);
    g_ptr_array_add(full, NULL);
    execv(program, (char **)full->pdata);
    return vt_throw_errno(error, errno, "cannot run '%s'", program);
}
