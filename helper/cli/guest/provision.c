/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* provision.c: virt-template provision, domain-xml: clone, seed and domain of a guest, or of many
 */
#include "vtc-batch.h"
#include "vtc-guest-options.h"
#include "vtc-secrets.h"
#include "vtc-verb-application.h"
#include "vtc-wait.h"

#include <libxml/parser.h>
#include <locale.h>

/* A program of its own, because no other verb needs libvirt's library */

#define COUNT_MAX 1000

typedef struct {
    VtcGuestOptions guest;
    char *secrets_file;
    json_t *secrets;
    int count;
    int wait_s;
    gboolean start;
    gboolean dry_run;
} Options;

static void
options_clear(Options *options)
{
    vtc_guest_options_clear(&options->guest);
    g_free(options->secrets_file);
    json_decref(options->secrets);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* What the threads of a batch share */
typedef struct {
    VtcSession *session;
    VtcInterrupt *interrupt;
    bool start;
} Making;

/* web, or web-1, web-2, ... */
static GPtrArray *
names_of(const char *name, int count)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < count; i++)
        g_ptr_array_add(names, count == 1 ? g_strdup(name) : g_strdup_printf("%s-%d", name, i + 1));
    return names;
}

static bool
make_one(gpointer name, gpointer user_data, GError **error)
{
    const Making *making = user_data;

    return vtc_interrupt_check(making->interrupt, error) &&
           vtc_session_make(making->session, name, making->start, error);
}

/* All or none */
static bool
make_all(Making *making, const GPtrArray *names, GError **error)
{
    g_autoptr(GPtrArray) made = g_ptr_array_new();
    const bool ok = vtc_batch_run(names, make_one, making, made, error);

    for (guint i = 0; i < made->len; i++) {
        if (ok)
            g_print("%s is %s\n", (char *)made->pdata[i], making->start ? "started" : "defined");
        else
            vtc_session_remove(making->session, made->pdata[i]);
    }
    return ok;
}

static bool
wait_one(const Making *making, const char *name, gint64 deadline, GError **error)
{
    g_autofree char *address = NULL;

    if (!vtc_wait_address(vtc_session_connection(making->session), name, deadline,
                          making->interrupt, &address, error)) {
        g_prefix_error(error, "what was made is left as it is: ");
        return false;
    }
    g_print("%s %s\n", name, address);
    return true;
}

static bool
wait_all(const Making *making, const GPtrArray *names, int seconds, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;

    for (guint i = 0; i < names->len; i++) {
        if (!wait_one(making, names->pdata[i], deadline, error))
            return false;
    }
    return true;
}

static bool
print_all(VtcSession *session, const GPtrArray *names, GError **error)
{
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *xml = NULL;

        if (!vtc_session_xml(session, names->pdata[i], &xml, error))
            return false;
        g_print("%s", xml);
    }
    return true;
}

static bool
check_options(const Options *options, GError **error)
{
    if (options->count < 1 || options->count > COUNT_MAX)
        return vtc_usage(error, "--count %d: not between 1 and %d", options->count, COUNT_MAX);
    if (options->wait_s < 0)
        return vtc_usage(error, "--wait %d: not a number of seconds", options->wait_s);
    return options->wait_s == 0 || options->start || vtc_usage(error, "--wait needs --start");
}

/* The XML has none in it */
static bool
read_secrets(Options *options, GError **error)
{
    if (!options->secrets_file || options->dry_run)
        return true;
    if (!vtc_secrets_load(options->secrets_file, &options->secrets, error))
        return false;
    options->guest.provision.secrets = options->secrets;
    return true;
}

static bool
run_parsed(Options *options, char **words, GError **error)
{
    g_autoptr(VtcSession) session = NULL;
    g_autoptr(GPtrArray) names = NULL;
    Making making = {.start = options->start};

    if (!check_options(options, error) ||
        !vtc_guest_complete(&options->guest, words[0], (unsigned)options->count, error) ||
        !read_secrets(options, error))
        return false;
    making.interrupt = vtc_interrupt_watch();
    if (!vtc_session_open(&options->guest.provision, &session, error))
        return false;
    making.session = session;
    names = names_of(words[1], options->count);
    if (options->dry_run)
        return print_all(session, names, error);
    return vtc_session_check(session, names->pdata[0], error) && make_all(&making, names, error) &&
           (options->wait_s <= 0 || wait_all(&making, names, options->wait_s, error));
}

static bool
run_provision(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {.count = 1};
    g_auto(GStrv) words = NULL;
    const GOptionEntry more[] = {
        {"secrets", 0, 0, G_OPTION_ARG_FILENAME, &options.secrets_file,
         "YAML: KEY: \"VALUE\"; -: stdin", "FILE"},
        {"count", 0, 0, G_OPTION_ARG_INT, &options.count, "That many: DOMAIN-1, DOMAIN-2 ...", "N"},
        {"start", 0, 0, G_OPTION_ARG_NONE, &options.start, "Start it", NULL},
        {"wait", 'w', 0, G_OPTION_ARG_INT, &options.wait_s, "Until it has an address", "SECONDS"},
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &options.dry_run, "Print the XML, make nothing", NULL},
        {NULL},
    };
    g_autofree GOptionEntry *entries = vtc_guest_entries(&options.guest, more);

    return vtc_verb_parse(self, argv, entries, &words, error) && run_parsed(&options, words, error);
}

static bool
run_domain_xml(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {.count = 1, .dry_run = TRUE};
    g_auto(GStrv) words = NULL;
    const GOptionEntry none[] = {{NULL}};
    g_autofree GOptionEntry *entries = vtc_guest_entries(&options.guest, none);

    return vtc_verb_parse(self, argv, entries, &words, error) && run_parsed(&options, words, error);
}

static char *
detail_of_guest(void)
{
    g_autofree char *keys = vtc_domain_keys(), *hardware = vt_hardware_keys();

    return g_strconcat("Keys of --set:\n", keys, "\nKeys of --hardware:\n", hardware, NULL);
}

/* argv[1]: the verb, as virt-template says it */
static bool
run(char **argv, GError **error)
{
    g_autofree char *detail = detail_of_guest();
    const VtcVerb verbs[] = {
        {"provision", "NAME[@VERSION] DOMAIN", 2, 2, "Make a guest from a template", detail,
         run_provision},
        {"domain-xml", "NAME[@VERSION] DOMAIN", 2, 2,
         "Print the XML of the domain that provision would make", detail, run_domain_xml},
        {"application up", "FILE", 1, 1, "Make the guests of an application, all or none", NULL,
         vtc_verb_application_run_up},
        {"application down", "FILE", 1, 1, "Remove the guests of an application", NULL,
         vtc_verb_application_run_down},
        {"application list", "FILE", 1, 1, "List the guests of an application", NULL,
         vtc_verb_application_run_list},
    };

    for (gsize i = 0; argv[0] && i < G_N_ELEMENTS(verbs); i++) {
        if (g_str_equal(verbs[i].name, argv[0]))
            return verbs[i].run(&verbs[i], argv + 1, error);
    }
    return vtc_usage(error, "virt-template runs this program");
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "");
    /* Before there are threads */
    xmlInitParser();
    if (!run(argc > 0 ? argv + 1 : argv, &error))
        g_printerr("virt-template: %s\n", error ? error->message : "failed");
    xmlCleanupParser();
    return vtc_exit_status(error);
}
