/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-image.h: the image to be published, as a raw disk */
#pragma once

#include "vt-error.h"

#include <stddef.h>
#include <stdint.h>

/**
 * vtc_image_format:
 * @header: the first bytes of the file
 * @length: at most 512 of them
 *
 * What the first bytes look like. It decides what is refused, not what is trusted: `qcow2` is then
 * checked field by field, everything else that is not `raw` is not read at all.
 *
 * Returns: (transfer none): `qcow2`, `raw`, or a format that is not read: `vmdk`, `vdi`, `xz` ...
 */
const char *vtc_image_format(const uint8_t *header, size_t length);

/**
 * vtc_image_open:
 * @path: regular file or block device
 * @format: (nullable): `raw` or `qcow2`; %NULL: vtc_image_format() says which
 * @ret_fd: (out): a raw disk; qcow2 is converted into an unnamed file in $TMPDIR or /var/tmp
 * @error: %VT_ERROR_UNSUPPORTED for another format; %VT_ERROR_INVALID for a qcow2 that refers to
 *   other files or is not well formed
 */
bool vtc_image_open(const char *path, const char *format, int *ret_fd, GError **error);
