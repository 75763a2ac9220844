/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-floppy.h: a few small files as a floppy image, written by mtools */
#pragma once

#include "vt-seed.h"

/* What FAT12 leaves of 1.44 MB, for files in the root */
#define VT_FLOPPY_MAX 1457664u

/**
 * vt_floppy_write:
 * @label: volume label, at most 11 characters
 * @files: (element-type VtSeedFile): in the root, so their paths have no '/'
 * @ret_bytes: (out) (transfer full): an image of 1.44 MB with FAT12; all of it, dates too, follows
 *   from the arguments and the version of mtools
 *
 * Runs mtools' mformat and mcopy on files in memory; no path of the host is touched, and the
 * contents are on no command line. Blocks for some ms.
 *
 * @error: %VT_ERROR_TOO_LARGE; %VT_ERROR_FAILED: mtools is not installed, or says why
 */
bool vt_floppy_write(const char *label, GPtrArray *files, GBytes **ret_bytes, GError **error);
