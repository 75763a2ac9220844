/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-sparse.h: files that are mostly holes */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/** vt_sparse_is_zero: Returns: whether @length bytes at @data are all zero */
bool vt_sparse_is_zero(const void *data, size_t length);

/**
 * vt_sparse_write:
 * @fd: an empty regular file
 * @bytes: how it begins
 * @file_size: bytes, at least those of @bytes
 * @what: names the file in the error
 *
 * Blocks of 4 KiB that are zero, and what is behind @bytes, become holes.
 */
bool vt_sparse_write(int fd, GBytes *bytes, uint64_t file_size, const char *what, GError **error);
