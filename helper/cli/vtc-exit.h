/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-exit.h: what the exit status of virt-template says */
#pragma once

#include "vt-error.h"

/**
 * VtcError: errors that only the command line has
 * @VTC_ERROR_USAGE: the command line itself is wrong
 * @VTC_ERROR_NO_HELPER: virttemplated cannot be reached
 * @VTC_ERROR_INTERRUPTED: by Ctrl-C
 */
typedef enum {
    VTC_ERROR_USAGE,
    VTC_ERROR_NO_HELPER,
    VTC_ERROR_INTERRUPTED,
} VtcError;

#define VTC_ERROR (vtc_error_quark())
GQuark vtc_error_quark(void);

/** vtc_usage: Sets %VTC_ERROR_USAGE. Returns: false */
bool vtc_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/**
 * vtc_exit_status:
 * @error: (nullable): how the verb ended; %NULL is success
 *
 * Returns: the exit status that virt-template(1) documents
 */
int vtc_exit_status(const GError *error);

/** VtcExit: one row of the table of virt-template(1); the last has a %NULL @meaning */
typedef struct {
    int status;
    const char *meaning;
} VtcExit;

/** vtc_exit_table: Returns: (transfer none): ordered by status */
const VtcExit *vtc_exit_table(void);
