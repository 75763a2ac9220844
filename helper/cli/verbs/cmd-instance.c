/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-instance.c: virt-template instance prepare|release, for libvirt's hook; and secrets */
#include "vt-instance.h"
#include "vtc-secrets.h"
#include "vtc-verb.h"

#include <stdio.h>

static bool
read_stdin(char **ret_text, GError **error)
{
    g_autofree char *text = g_malloc(VT_INSTANCE_XML_MAX + 1);
    gsize size = fread(text, 1, VT_INSTANCE_XML_MAX, stdin);

    if (ferror(stdin) || size == VT_INSTANCE_XML_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "cannot read the domain's XML from stdin");
    text[size] = '\0';
    if (!g_utf8_validate(text, (gssize)size, NULL))
        return vt_throw(error, VT_ERROR_INVALID, "the domain's XML on stdin is not UTF-8");
    *ret_text = g_steal_pointer(&text);
    return true;
}

static bool
run_method(const VtcVerb *self, char **argv, const char *method, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_autoptr(VtcClient) client = NULL;
    g_autofree char *xml = NULL;
    g_auto(GStrv) words = NULL;
    const GOptionEntry entries[] = {
        VTC_SOCKET_ENTRIES(helper),
        {NULL},
    };

    return vtc_verb_parse(self, argv, entries, &words, error) && read_stdin(&xml, error) &&
           vtc_client_open(&helper, true, &client, error) &&
           vtc_client_call(client, method, g_variant_new("(s)", xml), "(s)", NULL, error);
}

static bool
run_prepare(const VtcVerb *self, char **argv, GError **error)
{
    return run_method(self, argv, "PrepareInstance", error);
}

static bool
run_release(const VtcVerb *self, char **argv, GError **error)
{
    return run_method(self, argv, "ReleaseInstance", error);
}

const VtcVerb vtc_verb_instance_prepare = {
    .name = "instance prepare",
    .words = "",
    .summary = "Make the seed of a domain (for libvirt's hook)",
    .detail = "The XML of the domain comes on stdin.",
    .run = run_prepare,
};

const VtcVerb vtc_verb_instance_release = {
    .name = "instance release",
    .words = "",
    .summary = "Remove the seed of a domain (for libvirt's hook)",
    .detail = "The XML of the domain comes on stdin.",
    .run = run_release,
};

static bool
run_secrets(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(VtcHelperOptions) helper = {0};
    g_autoptr(VtcClient) client = NULL;
    json_auto_t *secrets = NULL;
    g_auto(GStrv) words = NULL;
    gboolean removes = FALSE;
    const GOptionEntry entries[] = {
        {"remove", 0, 0, G_OPTION_ARG_NONE, &removes, "Forget them; stdin is not read", NULL},
        VTC_SOCKET_ENTRIES(helper),
        {NULL},
    };

    return vtc_verb_parse(self, argv, entries, &words, error) &&
           (removes || vtc_secrets_read(stdin, "stdin", &secrets, error)) &&
           vtc_client_open(&helper, true, &client, error) &&
           vtc_secrets_send(client, words[0], words[1], secrets, error);
}

const VtcVerb vtc_verb_instance_secrets = {
    .name = "instance secrets",
    .words = "SEED_PATH DOMAIN_UUID",
    .words_min = 2,
    .words_max = 2,
    .summary = "Keep what must not stand in the XML of a domain",
    .detail = "The secrets come on stdin, in YAML: KEY: \"VALUE\". They replace those that the\n"
              "domain had. Its guest gets them when it starts the next time.",
    .run = run_secrets,
};
