/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-encode.h: a disk image becomes a layer: frames in blobs, and their index */
#pragma once

#include "vt-chain.h"

#include <gio/gio.h>
#include <stdint.h>

/**
 * VtBlobSink: where finished blobs go
 *
 * Both are called from the thread that called vt_encode_image(), in turn.
 */
typedef struct VtBlobSink VtBlobSink;
struct VtBlobSink {
    /** begin: @ret_fd: (out): an empty file for the next blob; stays owned by the sink's user */
    bool (*begin)(VtBlobSink *self, int *ret_fd, GError **error);
    /** commit: the blob in @fd is complete; closes @fd */
    bool (*commit)(VtBlobSink *self, int fd, const VtDigest *digest, uint64_t size, GError **error);
};

/**
 * VtEncodeOptions:
 * @level: zstd level, 1 to 19; 0 is the default of 3
 * @frame_size: bytes, power of two, 64 KiB to 4 MiB; 0 is the default of 128 KiB
 * @blob_max: bytes a blob may have; 0 is the default of 256 MiB
 * @threads: 0 is one for each CPU
 * @chain: (nullable): what is below a delta layer; %NULL makes a full layer
 * @parent: with @chain: digest of the parent's index
 * @worth: with @chain: when more than this percentage of the data would be stored, nothing is
 *   written, see @worthless of the result; 0: it is always worth it
 * @progress: (nullable): called now and then with bytes of the image read so far, of @total
 */
typedef struct {
    int level;
    uint32_t frame_size;
    uint64_t blob_max;
    unsigned threads;
    const VtChain *chain;
    VtDigest parent;
    unsigned worth;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
    GCancellable *cancellable;
} VtEncodeOptions;

/**
 * VtEncodeResult:
 * @index: the index blob
 * @index_digest: its digest
 * @index_root_size: bytes of its root
 * @blob_digests: (element-type VtDigest): of each blob
 * @blob_sizes: (element-type guint64): bytes of each blob
 * @capacity: virtual size, bytes
 * @worthless: what is new is above the limit that the options give; @data_bytes and @unique_bytes
 *   are those of a sample, there is nothing else
 * @data_bytes: bytes that are not zero
 * @unique_bytes: of these, what is in no ancestor and left after 4 KiB de-duplication
 * @stored_bytes: compressed, in all blobs
 */
typedef struct {
    GBytes *index;
    VtDigest index_digest;
    uint32_t index_root_size;
    GArray *blob_digests;
    GArray *blob_sizes;
    uint64_t capacity;
    bool worthless;
    uint64_t data_bytes;
    uint64_t unique_bytes;
    uint64_t stored_bytes;
} VtEncodeResult;
void vt_encode_result_clear(VtEncodeResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtEncodeResult, vt_encode_result_clear)

/**
 * vt_encode_image:
 * @image_fd: a raw disk image, regular file or block device, not changing; its size is rounded up
 *   to 4 KiB with zeros
 * @ret_result: (out caller-allocates): untouched on failure
 *
 * Writes a full layer, or with a chain a delta layer: blocks that the disk of any ancestor has,
 * anywhere, are taken from there. The same image, options and chain give the same bytes.
 */
bool vt_encode_image(int image_fd, const VtEncodeOptions *options, VtBlobSink *sink,
                     VtEncodeResult *ret_result, GError **error);
