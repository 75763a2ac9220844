/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-doctor.h: what is checked when a host does not work */
#pragma once

#include "vtc-pool.h"

#include <gio/gio.h>
#include <stdint.h>

typedef enum {
    VTC_LEVEL_OK,
    VTC_LEVEL_WARN,
    VTC_LEVEL_FAIL,
} VtcLevel;

/**
 * VtcFinding: the result of one check
 * @what: what was checked, e.g. `helper` or `pool templates: store`
 * @found: what was found; for WARN and FAIL with the reason
 * @advice: (nullable): what to do
 */
typedef struct {
    VtcLevel level;
    char *what;
    char *found;
    char *advice;
} VtcFinding;

/**
 * VtcReport: findings in the order of the checks
 * @prefix: (nullable): of a pool: put before what is checked
 * @findings: (element-type VtcFinding)
 */
typedef struct {
    char *prefix;
    GPtrArray *findings;
} VtcReport;
VtcReport *vtc_report_new(void);
void vtc_report_free(VtcReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcReport, vtc_report_free)

/** vtc_report_set_prefix: What follows is about @pool; %NULL: about the host */
void vtc_report_set_prefix(VtcReport *report, const char *pool);

/** vtc_report_ok: Adds a check that is fine; @found is a printf format */
void vtc_report_ok(VtcReport *report, const char *what, const char *found, ...) G_GNUC_PRINTF(3, 4);

/** vtc_report_warn: Adds a check that should be better; vtc_report_fail(): one that must be */
void vtc_report_warn(VtcReport *report, const char *what, const char *advice, const char *found,
                     ...) G_GNUC_PRINTF(4, 5);
void vtc_report_fail(VtcReport *report, const char *what, const char *advice, const char *found,
                     ...) G_GNUC_PRINTF(4, 5);

/** vtc_level_name: Returns: (transfer none): `OK`, `WARN`, `FAIL` */
const char *vtc_level_name(VtcLevel level);

/** vtc_doctor_output: What @argv (array zero-terminated=1) prints; an empty environment.
 *  Returns: (transfer full) (nullable) */
char *vtc_doctor_output(const char *const *argv);

/** vtc_doctor_find_program: Returns: (transfer full) (nullable): also looks into sbin */
char *vtc_doctor_find_program(const char *name);

/* vtc-doctor-libvirt.c: the module, and the libvirt that is to load it; @session: the user's */
void vtc_doctor_libvirt(VtcReport *report, bool session);

/* vtc-doctor-hook.c: libvirt's hook for domains that start */
void vtc_doctor_hook(VtcReport *report);

/* vtc-doctor-host.c: programs and users that the helper needs */
void vtc_doctor_host(VtcReport *report, bool session);

/**
 * vtc_qemu_is_safe:
 * @version: e.g. `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`
 *
 * Returns: whether it is known to have the fix of CVE-2024-4467: 7.2.13, 8.2.6, 9.0.2, 9.1, or
 *   Debian 12's deb12u7
 */
bool vtc_qemu_is_safe(const char *version);

/* vtc-doctor-secrets.c: secrets in @pool that no domain needs */
void vtc_doctor_secrets(VtcReport *report, const VtcPool *pool);

/* vtc-doctor-pool.c: each pool; @client: connected */
void vtc_doctor_pools(VtcReport *report, VtcClient *client);
