/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor-host.c: programs and users that the helper needs */
#include "vtc-doctor.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define AA_HELPER "/etc/apparmor.d/usr.lib.libvirt.virt-aa-helper"

typedef struct {
    int major;
    int minor;
    int micro;
} Version;

/* The first fixed release of each branch that got one; of later branches all are */
static const Version fixed[] = {{7, 2, 13}, {8, 2, 6}, {9, 0, 2}};
static const Version fixed_for_good = {9, 1, 0};
#define DEBIAN_MARK  "deb12u"
#define DEBIAN_FIXED 7

static bool
is_at_least(const Version *version, const Version *least)
{
    if (version->major != least->major)
        return version->major > least->major;
    if (version->minor != least->minor)
        return version->minor > least->minor;
    return version->micro >= least->micro;
}

bool
vtc_qemu_is_safe(const char *version)
{
    const char *debian = strstr(version, DEBIAN_MARK);
    Version is = {0};

    if (sscanf(version, "%d.%d.%d", &is.major, &is.minor, &is.micro) < 2)
        return false;
    if (debian && g_ascii_strtoull(debian + strlen(DEBIAN_MARK), NULL, 10) >= DEBIAN_FIXED)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        if (is.major == fixed[i].major && is.minor == fixed[i].minor)
            return is.micro >= fixed[i].micro;
    }
    return is_at_least(&is, &fixed_for_good);
}

/* `qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)`, and more lines */
static void
check_qemu(VtcReport *report)
{
    g_autofree char *program = vtc_doctor_find_program("qemu-img");
    const char *const argv[] = {program, "--version", NULL};
    g_autofree char *output = program ? vtc_doctor_output(argv) : NULL;
    const char *version = output ? strstr(output, "version ") : NULL;
    char *end;

    if (!version) {
        vtc_report_fail(report, "qemu-img",
                        "install it (Debian: qemu-utils); full copies and qcow2 images need it",
                        "qemu-img is not installed");
        return;
    }
    version += strlen("version ");
    end = strchr(version, '\n');
    if (end)
        *end = '\0';
    if (vtc_qemu_is_safe(version))
        vtc_report_ok(report, "qemu-img", "%s", version);
    else
        vtc_report_warn(report, "qemu-img",
                        "upgrade it, unless your distribution's changelog names the fix",
                        "%s is not known to have the fix of CVE-2024-4467", version);
}

static void
check_users(VtcReport *report)
{
    static const char *const users[] = {"virt-template-fetch", "virt-template-unpack"};

    for (size_t i = 0; i < G_N_ELEMENTS(users); i++) {
        if (!getpwnam(users[i])) {
            vtc_report_fail(report, "users", "run 'systemd-sysusers'",
                            "there is no user '%s' for the worker processes", users[i]);
            return;
        }
    }
    vtc_report_ok(report, "users", "%s and %s", users[0], users[1]);
}

static void
check_apparmor(VtcReport *report)
{
    g_autofree char *enabled = NULL, *profile = NULL;

    if (!g_file_get_contents("/sys/module/apparmor/parameters/enabled", &enabled, NULL, NULL) ||
        enabled[0] != 'Y') {
        vtc_report_ok(report, "AppArmor", "not enabled");
        return;
    }
    if (!g_file_get_contents(AA_HELPER, &profile, NULL, NULL)) {
        vtc_report_ok(report, "AppArmor", "enabled, without a profile of virt-aa-helper");
        return;
    }
    /* As libvirt ships it: a rule "qcow2 files wherever they are" */
    if (strstr(profile, "/**.qcow{,2} r,"))
        vtc_report_ok(report, "AppArmor", "enabled; virt-aa-helper may read *.qcow2");
    else
        vtc_report_warn(report, "AppArmor",
                        "add '/**.qcow2 r,' to /etc/apparmor.d/local/"
                        "usr.lib.libvirt.virt-aa-helper",
                        "%s does not let virt-aa-helper read *.qcow2, so guests may be denied "
                        "their templates",
                        AA_HELPER);
}

void
vtc_doctor_host(VtcReport *report, bool session)
{
    if (!session)
        check_users(report);
    check_qemu(report);
    check_apparmor(report);
}
