/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-doctor.c: virt-template doctor: finds out why a host does not work */
#include "vtc-doctor.h"
#include "vtc-print.h"
#include "vtc-verb.h"

#include <string.h>
#include <unistd.h>

/* Returns: (nullable): the connection, if there is one */
static VtcClient *
check_helper(VtcReport *report, const VtcHelperOptions *helper)
{
    g_autoptr(VtcClient) client = NULL;
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GError) error = NULL;
    const char *version = "";

    if (!vtc_client_open(helper, false, &client, &error) ||
        !vtc_client_call(client, "Hello", NULL, "(s)", &reply, &error)) {
        vtc_report_fail(report, "helper",
                        vtc_helper_is_session(helper)
                            ? "'virttemplated --session' in a terminal shows its messages"
                            : "'systemctl enable --now virttemplated.socket "
                              "virttemplated-ro.socket'; 'journalctl -u virttemplated' has its "
                              "messages",
                        "%s", error->message);
        return NULL;
    }
    g_variant_get(reply, "(&s)", &version);
    if (strcmp(version, VT_VERSION) == 0)
        vtc_report_ok(report, "helper", "version %s at %s", version, vtc_client_socket(client));
    else
        vtc_report_fail(report, "helper",
                        vtc_helper_is_session(helper)
                            ? "end your virttemplated; the next one is started when it is needed"
                            : "'systemctl restart virttemplated'",
                        "virttemplated has version %s, virt-template %s", version, VT_VERSION);
    return g_steal_pointer(&client);
}

static void
print_human(const VtcReport *report)
{
    for (unsigned i = 0; i < report->findings->len; i++) {
        const VtcFinding *finding = report->findings->pdata[i];
        g_autofree char *found = vtc_print_plain(finding->found);

        g_print("%-4s  %s: %s\n", vtc_level_name(finding->level), finding->what, found);
        if (finding->advice)
            g_print("      -> %s\n", finding->advice);
    }
}

static void
print_json(const VtcReport *report, unsigned failures)
{
    json_t *checks = json_array();

    for (unsigned i = 0; i < report->findings->len; i++) {
        const VtcFinding *finding = report->findings->pdata[i];
        g_autofree char *found = g_utf8_make_valid(finding->found, -1);
        json_t *check = json_pack("{s:s, s:s, s:s}", "level", vtc_level_name(finding->level),
                                  "check", finding->what, "found", found);

        if (finding->advice)
            json_object_set_new(check, "advice", json_string(finding->advice));
        json_array_append_new(checks, check);
    }
    vtc_print_json(json_pack("{s:b, s:o}", "ok", failures == 0, "checks", checks));
}

static unsigned
count_failures(const VtcReport *report)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < report->findings->len; i++)
        failures +=
            ((const VtcFinding *)report->findings->pdata[i])->level == VTC_LEVEL_FAIL ? 1 : 0;
    return failures;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_autoptr(VtcReport) report = vtc_report_new();
    g_auto(VtcHelperOptions) helper = {0};
    g_auto(GStrv) words = NULL;
    g_autoptr(VtcClient) client = NULL;
    gboolean json = FALSE;
    unsigned failures;
    const GOptionEntry entries[] = {
        {"json", 'j', 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
        VTC_SOCKET_ENTRIES(helper),
        {NULL},
    };

    if (!vtc_verb_parse(self, argv, entries, &words, error))
        return false;
    vtc_doctor_libvirt(report, vtc_helper_is_session(&helper));
    vtc_doctor_hook(report);
    vtc_doctor_host(report, vtc_helper_is_session(&helper));
    client = check_helper(report, &helper);
    if (client)
        vtc_doctor_pools(report, client);
    failures = count_failures(report);
    if (json)
        print_json(report, failures);
    else
        print_human(report);
    if (failures > 0)
        return vt_throw(error, VT_ERROR_FAILED, "%u of %u checks failed", failures,
                        report->findings->len);
    return true;
}

const VtcVerb vtc_verb_doctor = {
    .name = "doctor",
    .words = "",
    .summary = "Find out why this host does not work",
    .detail = "Run it as root, for the system's libvirt: it looks into libvirtd, and tries to\n"
              "seal a file in each pool. Other users see what concerns the libvirt of their\n"
              "session.",
    .run = run,
};
