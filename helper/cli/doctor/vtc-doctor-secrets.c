/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor-secrets.c: secrets of guests, kept for domains that are gone */
#include "vtc-doctor.h"

#include "vt-seed-file.h"

#include <string.h>

/* Files that are read:
 *
 *     <pool>/.seeds/web-seed.iso.6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f.secrets
 *
 * libvirt tells nobody that a domain was undefined, so they stay behind. */
#define FILE_PATTERN "^(.+)\\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\\.secrets$"
/* virttemplated looks for small letters only: with others, it belongs to no domain either */
#define FILE_FLAGS (G_REGEX_DOLLAR_ENDONLY | G_REGEX_CASELESS)

#define WHAT "secrets"

/* Returns: (transfer full) (nullable): a line for each domain; %NULL: libvirt cannot be asked */
static char *
list_domains(void)
{
    g_autofree char *virsh = vtc_doctor_find_program("virsh");
    const char *argv[] = {virsh,  "--connect", "qemu:///system", "--readonly",
                          "list", "--all",     "--uuid",         NULL};

    return virsh ? vtc_doctor_output(argv) : NULL;
}

/* Adds "PATH UUID" for each file whose domain is not in @domains */
static void
take_file(const char *dir, const char *name, const char *domains, GPtrArray *left)
{
    g_autoptr(GRegex) regex = g_regex_new(FILE_PATTERN, FILE_FLAGS, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_autofree char *seed = NULL, *uuid = NULL;

    if (!g_regex_match(regex, name, 0, &match))
        return;
    seed = g_match_info_fetch(match, 1);
    uuid = g_match_info_fetch(match, 2);
    if (!strstr(domains, uuid))
        g_ptr_array_add(left, g_strdup_printf("%s/%s %s", dir, seed, uuid));
}

static void
report_left(VtcReport *report, const GPtrArray *left)
{
    g_autoptr(GString) advice = g_string_new("if they are no longer needed:");

    if (left->len == 0) {
        vtc_report_ok(report, WHAT, "each belongs to a domain");
        return;
    }
    for (guint i = 0; i < left->len; i++)
        g_string_append_printf(advice, "%s 'virt-template instance secrets %s --remove'",
                               i ? "," : "", (const char *)left->pdata[i]);
    vtc_report_warn(report, WHAT, advice->str, "kept for %u domains that libvirt does not have",
                    left->len);
}

void
vtc_doctor_secrets(VtcReport *report, const VtcPool *pool)
{
    g_autofree char *path = g_build_filename(pool->target, VT_SEED_RECORDS_DIR, NULL);
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    g_autofree char *domains = NULL;
    const char *name;

    /* Without a seed there is no such folder; without root it is closed, which is said elsewhere */
    if (!dir)
        return;
    domains = list_domains();
    if (!domains) {
        vtc_report_warn(report, WHAT, "start libvirtd, and install virsh",
                        "libvirt does not say which domains there are");
        return;
    }
    while ((name = g_dir_read_name(dir)))
        take_file(pool->target, name, domains, left);
    report_left(report, left);
}
