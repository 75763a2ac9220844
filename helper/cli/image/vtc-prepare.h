/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-prepare.h: the two ways in which virt-template prepare works on an image */
#pragma once

#include "vtc-report.h"

/**
 * VtcPrepare: what is to be done
 * @path: of the image
 * @format: `raw` or `qcow2`
 * @fd: of the image; can be written unless @dry_run
 * @operations: a set of rows of vtc_operations()
 * @verbose: name every file
 * @kernel: (nullable): path
 * @modules: (nullable): path
 * @limit_s: how long it may take, seconds
 */
typedef struct {
    const char *path;
    const char *format;
    int fd;
    uint32_t operations;
    bool dry_run;
    bool verbose;
    const char *kernel;
    const char *modules;
    int limit_s;
} VtcPrepare;

/**
 * vtc_guest_run: By a throw-away QEMU guest
 * @report: what it says is added to this, also when it fails
 * @error: %VT_ERROR_BUSY when another QEMU has the image; %VT_ERROR_NOT_FOUND for what is not
 *   installed
 */
bool vtc_guest_run(const VtcPrepare *prepare, VtcReport *report, GError **error);

/** vtc_guestfs_present: Returns: whether libguestfs and the programs we need of it are installed */
bool vtc_guestfs_present(void);

/** vtc_guestfs_run: By guestfish(1) and virt-sparsify(1), whose errors go to the standard error */
bool vtc_guestfs_run(const VtcPrepare *prepare, VtcReport *report, GError **error);
