/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-verb-application.c: the verbs application up, down and list */
#include "vtc-verb-application.h"

#include "vtc-application.h"
#include "vtc-document.h"
#include "vtc-host.h"
#include "vtc-print.h"
#include "vtc-secrets.h"

typedef struct {
    VtApplication *application;
    char *uri;
    char *virt_type;
    char *secrets_file;
    json_t *secrets;
    int wait_s;
    gboolean start;
    gboolean json;
} Options;

static void
options_clear(Options *options)
{
    vt_application_free(options->application);
    g_free(options->uri);
    g_free(options->virt_type);
    g_free(options->secrets_file);
    json_decref(options->secrets);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

static bool
load(const VtcVerb *self, char **argv, const GOptionEntry *entries, Options *options,
     GError **error)
{
    g_autofree char *name = NULL;
    g_auto(GStrv) words = NULL;
    json_t *root = NULL;

    if (!vtc_verb_parse(self, argv, entries, &words, error) ||
        !vtc_document_load(words[0], &root, error))
        return false;
    name = g_path_get_basename(words[0]);
    return vt_application_parse(root, name, &options->application, error);
}

bool
vtc_verb_application_run_up(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {NULL};
    const GOptionEntry entries[] = {
        {"start", 0, 0, G_OPTION_ARG_NONE, &options.start, "Start them, what others need first",
         NULL},
        {"wait", 'w', 0, G_OPTION_ARG_INT, &options.wait_s, "Until they have addresses, each wave",
         "SECONDS"},
        {"secrets", 0, 0, G_OPTION_ARG_FILENAME, &options.secrets_file,
         "YAML: INSTANCE: {KEY: \"VALUE\"}; -: stdin", "FILE"},
        {"virt-type", 0, 0, G_OPTION_ARG_STRING, &options.virt_type,
         "kvm or qemu (kvm if there is one)", "TYPE"},
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &options.uri, "libvirt's URI", "URI"},
        {NULL},
    };
    VtcApplicationWish wish;

    if (!load(self, argv, entries, &options, error))
        return false;
    if (options.wait_s < 0)
        return vtc_usage(error, "--wait %d: not a number of seconds", options.wait_s);
    if (options.wait_s > 0 && !options.start)
        return vtc_usage(error, "--wait needs --start");
    if (options.virt_type && !g_str_equal(options.virt_type, "kvm") &&
        !g_str_equal(options.virt_type, "qemu"))
        return vtc_usage(error, "--virt-type %s: neither 'kvm' nor 'qemu'", options.virt_type);
    if (options.secrets_file &&
        !vtc_secrets_load_members(options.secrets_file, &options.secrets, error))
        return false;
    wish = (VtcApplicationWish){.uri = options.uri,
                                .virt_type = options.virt_type,
                                .start = options.start,
                                .wait_s = options.wait_s,
                                .secrets = options.secrets,
                                .interrupt = vtc_interrupt_watch()};
    return vtc_application_up(options.application, &wish, error);
}

static void
connection_close(virConnectPtr connection)
{
    virConnectClose(connection);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, connection_close)

bool
vtc_verb_application_run_down(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {NULL};
    g_autoptr(virConnect) connection = NULL;
    const GOptionEntry entries[] = {
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &options.uri, "libvirt's URI", "URI"},
        {NULL},
    };
    VtcInterrupt *interrupt;

    if (!load(self, argv, entries, &options, error))
        return false;
    /* Before libvirt's threads */
    interrupt = vtc_interrupt_watch();
    return vtc_host_open(options.uri, &connection, error) &&
           vtc_application_down(connection, options.application, interrupt, error);
}

static void
print_rows(const json_t *rows)
{
    static const char *const titles[] = {"DOMAIN", "INSTANCE", "STATE", "ADDRESS", NULL};
    g_autoptr(VtcTable) table = vtc_table_new(titles);
    g_autofree char *text = NULL;
    const json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const json_t *address = json_object_get(row, "address");
        const char *const cells[] = {json_string_value(json_object_get(row, "domain")),
                                     json_string_value(json_object_get(row, "instance")),
                                     json_string_value(json_object_get(row, "state")),
                                     address ? json_string_value(address) : "-", NULL};

        vtc_table_add(table, cells);
    }
    text = vtc_table_format(table);
    g_print("%s", text);
}

bool
vtc_verb_application_run_list(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {NULL};
    g_autoptr(virConnect) connection = NULL;
    const GOptionEntry entries[] = {
        {"json", 'j', 0, G_OPTION_ARG_NONE, &options.json, "Print JSON", NULL},
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &options.uri, "libvirt's URI", "URI"},
        {NULL},
    };
    json_t *rows = NULL;

    if (!load(self, argv, entries, &options, error) ||
        !vtc_host_open(options.uri, &connection, error) ||
        !vtc_application_list(connection, options.application, &rows, error))
        return false;
    if (options.json) {
        vtc_print_json(rows);
        return true;
    }
    print_rows(rows);
    json_decref(rows);
    return true;
}
