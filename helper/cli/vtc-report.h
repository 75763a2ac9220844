/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-report.h: what the guest of virt-template prepare says that it did */
#pragma once

#include "vt-error.h"
#include "vtc-operations.h"

/* An image may hold very many files, and --verbose names them */
#define VTC_REPORT_MAX (64u << 20)

/**
 * VtcReport: sums over all root file systems
 * @hello: the guest runs
 * @cleaned: the script has come to its end in a root file system
 * @finished: the guest has
 * @roots: of `Debian GNU/Linux 12 (bookworm), ext4, partition 1`
 * @notes: to be shown
 * @paths: what was removed, if that was asked for
 * @failure: (nullable): why it could not go on
 * @ran: operations that were done
 * @files: how many, for each operation
 * @bytes: of the disk, for each operation
 */
typedef struct {
    bool hello;
    bool cleaned;
    bool finished;
    GPtrArray *roots;
    GPtrArray *notes;
    GPtrArray *paths;
    char *failure;
    uint32_t ran;
    uint64_t files[VTC_OPERATIONS_MAX];
    uint64_t bytes[VTC_OPERATIONS_MAX];
} VtcReport;
void vtc_report_init(VtcReport *report);
void vtc_report_clear(VtcReport *report);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcReport, vtc_report_clear)

/**
 * vtc_report_line:
 * @line: words joined by tabs, without the line's end:
 *   `hello`, `cleaned`, `finished`, `root NAME`, `note TEXT`, `path OPERATION PATH`, `fail TEXT`,
 *   `did OPERATION FILES BYTES`
 * @error: %VT_ERROR_INVALID for any other
 *
 * Control characters of texts, which come from the image, become '?'.
 */
bool vtc_report_line(VtcReport *report, const char *line, GError **error);
