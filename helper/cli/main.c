/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c: virt-template: finds the verb, runs it, reports its error */
#include "vtc-verb.h"

#include <locale.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>

static const VtcVerb *const verbs[] = {
    &vtc_verb_list,
    &vtc_verb_info,
    &vtc_verb_diff,
    &vtc_verb_pull,
    &vtc_verb_verify,
    &vtc_verb_evict,
    &vtc_verb_jobs,
    &vtc_verb_metrics,
    &vtc_verb_doctor,
    &vtc_verb_prepare,
    &vtc_verb_publish,
    &vtc_verb_store_init,
    &vtc_verb_key_generate,
    &vtc_verb_provision,
    &vtc_verb_domain_xml,
    &vtc_verb_application_up,
    &vtc_verb_application_down,
    &vtc_verb_application_list,
    &vtc_verb_instance_prepare,
    &vtc_verb_instance_release,
    &vtc_verb_instance_secrets,
};

static void
print_usage(void)
{
    g_print("Usage:\n"
            "  virt-template VERB [OPTION...] [ARGUMENT...]\n\n"
            "Signed templates from an OCI store, as volumes of a libvirt pool.\n\n"
            "Verbs:\n");
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        g_print("  %-16s  %s\n", verbs[i]->name, verbs[i]->summary);
    g_print("\nOptions:\n"
            "  --help        this text; 'virt-template VERB --help' for a verb's options\n"
            "  --version     the version of virt-template\n\n"
            "Exit status:\n");
    for (const VtcExit *row = vtc_exit_table(); row->meaning; row++)
        g_print("  %-13d %s\n", row->status, row->meaning);
}

/* How many words of @argv the verb's name takes; 0 if it is another verb */
static unsigned
match_verb(const VtcVerb *verb, char **argv)
{
    g_auto(GStrv) name = g_strsplit(verb->name, " ", 0);
    unsigned count = g_strv_length(name);

    for (unsigned i = 0; i < count; i++) {
        if (g_strcmp0(name[i], argv[i]) != 0)
            return 0;
    }
    return count;
}

/* Returns: (nullable): the verb that @argv begins with; *@ret_taken is how many words that are */
static const VtcVerb *
find_verb(char **argv, unsigned *ret_taken)
{
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        *ret_taken = match_verb(verbs[i], argv);
        if (*ret_taken > 0)
            return verbs[i];
    }
    return NULL;
}

/* @word may be the first of two words: "store" of "store init" */
static bool
throw_no_verb(const char *word, GError **error)
{
    g_autofree char *start = g_strconcat(word, " ", NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (g_str_has_prefix(verbs[i]->name, start))
            return vtc_usage(error,
                             "there is no verb '%s', but '%s'; see 'virt-template %s --help'", word,
                             verbs[i]->name, verbs[i]->name);
    }
    return vtc_usage(error, "there is no verb '%s'; see 'virt-template --help'", word);
}

static bool
help(char **argv, GError **error)
{
    char *wants_help[] = {(char *)(uintptr_t) "--help", NULL};
    unsigned taken = 0;
    const VtcVerb *verb = argv[0] ? find_verb(argv, &taken) : NULL;

    if (verb)
        return verb->run(verb, wants_help, error);
    if (argv[0])
        return throw_no_verb(argv[0], error);
    print_usage();
    return true;
}

static bool
run(char **argv, GError **error)
{
    const VtcVerb *verb;
    unsigned taken = 0;

    if (!argv[0])
        return vtc_usage(error, "no verb is given; see 'virt-template --help'");
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return help(argv + g_strv_length(argv), error);
    if (strcmp(argv[0], "help") == 0)
        return help(argv + 1, error);
    if (strcmp(argv[0], "--version") == 0) {
        g_print("virt-template %s\n", VT_VERSION);
        return true;
    }
    verb = find_verb(argv, &taken);
    return verb ? verb->run(verb, argv + taken, error) : throw_no_verb(argv[0], error);
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    char *none = NULL;

    setlocale(LC_ALL, "");
    /* A server that closes a connection is an error of that connection */
    signal(SIGPIPE, SIG_IGN);
    if (!run(argc > 0 ? argv + 1 : &none, &error))
        g_printerr("virt-template: %s\n", error ? error->message : "failed");
    return vtc_exit_status(error);
}
