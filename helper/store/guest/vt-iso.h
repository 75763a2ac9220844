/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-iso.h: a few small files as an ISO 9660 image */
#pragma once

#include "vt-seed.h"

/* All files together; a NoCloud seed has 10 KiB */
#define VT_ISO_MAX (16u << 20)

/**
 * vt_iso_write:
 * @label: volume label; kept as it is, also in lower case
 * @files: (element-type VtSeedFile)
 * @ret_bytes: (out) (transfer full): ECMA-119 with Rock Ridge and Joliet, in sectors of 2048 bytes;
 *   all of it, dates too, follows from the arguments
 * @error: %VT_ERROR_TOO_LARGE, %VT_ERROR_FAILED
 */
bool vt_iso_write(const char *label, GPtrArray *files, GBytes **ret_bytes, GError **error);
