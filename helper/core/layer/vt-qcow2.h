/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2.h: QCOW2 headers (qemu docs/interop/qcow2.txt): decode, check, and make overlays */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/* A header with its extensions and backing file name must fit in this; ours always do */
#define VT_QCOW2_HEADER_MAX (64u << 10)
/* qemu's own limit */
#define VT_QCOW2_BACKING_MAX 1023
/* Accept no larger virtual disk */
#define VT_QCOW2_CAPACITY_MAX (UINT64_C(16) << 40)

/**
 * VtQcow2Info: what a header says
 * @capacity: virtual size, bytes
 * @cluster_bits: log2 of the cluster size
 * @backing_file: (nullable): as written in the header
 * @backing_format: (nullable): of the backing format extension
 */
typedef struct {
    uint64_t capacity;
    uint32_t cluster_bits;
    bool extended_l2;
    char *backing_file;
    char *backing_format;
} VtQcow2Info;
void vt_qcow2_info_clear(VtQcow2Info *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtQcow2Info, vt_qcow2_info_clear)

/**
 * vt_qcow2_parse:
 * @header: the first bytes of the file
 * @length: bytes, up to %VT_QCOW2_HEADER_MAX
 *
 * %VT_ERROR_INVALID when it is not a qcow2 header; accepts what qemu accepts.
 */
bool vt_qcow2_parse(const uint8_t *header, size_t length, VtQcow2Info *ret_info, GError **error);

/**
 * vt_qcow2_check_standalone:
 *
 * Whether the image may be handed to a QEMU tool as an input from outside: version 2 or 3, no
 * backing file, no data file, no encryption, no snapshots, no unknown feature, sane sizes.
 * %VT_ERROR_INVALID or %VT_ERROR_UNSUPPORTED naming the field.
 */
bool vt_qcow2_check_standalone(const uint8_t *header, size_t length, GError **error);

/**
 * VtQcow2Overlay:
 * @capacity: virtual size, bytes; a multiple of 512
 * @subclusters: 128 KiB clusters with extended L2, else plain 64 KiB
 * @backing_file: absolute path
 * @backing_format: `qcow2` or `raw`
 */
typedef struct {
    uint64_t capacity;
    bool subclusters;
    const char *backing_file;
    const char *backing_format;
} VtQcow2Overlay;

/**
 * vt_qcow2_overlay_encode:
 * @ret_bytes: (out) (transfer full): the first bytes of the file: header, refcounts; the rest
 *   of the metadata is zeros
 * @ret_file_size: (out): bytes; the file is extended with zeros (a hole) to this
 *
 * An empty overlay, as `qemu-img create -F FORMAT -b FILE` would make.
 */
bool vt_qcow2_overlay_encode(const VtQcow2Overlay *overlay, GBytes **ret_bytes,
                             uint64_t *ret_file_size, GError **error);
