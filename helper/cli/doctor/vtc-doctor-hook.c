/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor-hook.c: libvirt's hook, which makes the seeds of domains that start */
#include "vtc-doctor.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

void
vtc_doctor_hook(VtcReport *report)
{
    struct stat st;

    if (stat(VT_HOOK, &st) < 0)
        vtc_report_fail(report, "hook",
                        "install virt-template again, then restart the daemon that runs QEMU "
                        "('systemctl restart libvirtd', or virtqemud)",
                        "%s: %s; domains start without their seeds", VT_HOOK, g_strerror(errno));
    else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
        vtc_report_fail(report, "hook", "chmod 0755 " VT_HOOK,
                        "libvirt does not run %s: it is no executable file", VT_HOOK);
    else if (access(VT_PROGRAM, X_OK) < 0)
        vtc_report_fail(report, "hook", "install virt-template again", "the hook cannot run %s: %s",
                        VT_PROGRAM, g_strerror(errno));
    else
        vtc_report_ok(report, "hook", "%s", VT_HOOK);
}
