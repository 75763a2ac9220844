/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ring.h: how the unpack worker asks the fetch worker for bytes */
#pragma once

#include <stdint.h>

/*
 * The two workers share a memfd of VT_RING_SLOTS slots of VT_RING_SLOT_SIZE bytes and a
 * SOCK_SEQPACKET socket pair. Unpack sends a request that names a free slot and a range of a blob;
 * fetch fills the slot from its first byte and answers. Answers come in any order. Unpack owns a
 * slot until it sends a request for it, and again from the last answer on. There may be answers
 * before that one, with a length that grows: what lies before it is complete. Fetch may write into
 * a slot at any time if it is hostile: unpack reads a frame out with pread() before it hashes it,
 * so that neither a change nor a truncation of the memfd does harm.
 *
 * Blobs are numbered as in the layer index; the daemon told fetch their digests. Integers are in
 * host byte order, both ends are one program.
 */
#define VT_RING_SLOTS 8
/* 4 MiB, and what zstd adds to a frame of that size that cannot be compressed */
#define VT_RING_SLOT_SIZE ((4u << 20) + (64u << 10))

/* One for each frame blob of the layer */
typedef struct {
    uint64_t size;
    char digest[72];
} VtRingBlob;

typedef struct {
    uint32_t slot;
    uint32_t blob;
    uint64_t offset;
    uint32_t length;
    uint32_t reserved;
} VtRingRequest;

/**
 * VtRingAnswer:
 * @code: -1 for success, else a #VtError
 * @length: bytes that are in the slot; on success, the last answer has all that were asked for
 * @message: NUL-terminated, empty on success
 */
typedef struct {
    uint32_t slot;
    int32_t code;
    uint32_t length;
    char message[500];
} VtRingAnswer;
