/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-disk-copy.h: the disk of a template as a file that needs no other */
#pragma once

#include "vt-chain.h"

typedef enum {
    VT_DISK_RAW,
    VT_DISK_QCOW2,
} VtDiskFormat;

/**
 * VtDiskCopy:
 * @top: digest of the index of the first layer
 * @layers: of the template's chain, the top first
 * @output_fd: an empty regular file, open for writing
 * @capacity: bytes, 0 or at least the template's; rounded up to 512
 * @must_reflink: fail where the file system cannot share the blocks
 * @threads: 0: what fits the machine
 * @progress: (nullable): called by the calling thread, bytes of data
 */
typedef struct {
    VtDigest top;
    const VtAncestor *layers;
    uint32_t layer_count;
    int output_fd;
    VtDiskFormat format;
    uint64_t capacity;
    bool must_reflink;
    unsigned threads;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} VtDiskCopy;

/**
 * vt_disk_copy:
 *
 * Writes the whole disk, durable. Blocks are shared with the layers where the file system can; what
 * is zeros stays a hole. On failure the file has any content.
 *
 * @error: %VT_ERROR_NO_SPACE; %VT_ERROR_UNSUPPORTED for @must_reflink; %VT_ERROR_INVALID when the
 * layers are not the chain below @top, or the capacity is too small
 */
bool vt_disk_copy(const VtDiskCopy *copy, GError **error);
