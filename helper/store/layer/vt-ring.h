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
 * A range may be longer than a slot, where requests are what costs time: byte N of it lies at N %
 * VT_RING_SLOT_SIZE. Fetch goes no further than a slot's size beyond what unpack has taken, and
 * unpack says how far that is by the same request with a larger @taken, until there is room for
 * the rest. A transfer waits meanwhile and keeps its connection, so unpack asks for such ranges
 * only when nothing but itself can keep it waiting.
 *
 * Blobs are numbered as in the layer index; the daemon told fetch their digests. Integers are in
 * host byte order, both ends are one program.
 */
#define VT_RING_SLOTS 8
/* 4 MiB, and what zstd adds to a frame of that size that cannot be compressed */
#define VT_RING_SLOT_SIZE ((4u << 20) + (64u << 10))

/* Of a longer one too much is left to be done by the last connection */
#define VT_RING_RANGE_MAX (32u << 20)

/* One for each frame blob of the layer */
typedef struct {
    uint64_t size;
    char digest[72];
} VtRingBlob;

/** VtRingRequest: @taken: bytes of the range that unpack has no use for any more; 0 at first */
typedef struct {
    uint32_t slot;
    uint32_t blob;
    uint64_t offset;
    uint32_t length;
    uint32_t taken;
} VtRingRequest;

/**
 * VtRingAnswer:
 * @code: -1 for success, else a #VtError
 * @length: bytes that have come; on success, the last answer has all that were asked for
 * @message: NUL-terminated, empty on success
 */
typedef struct {
    uint32_t slot;
    int32_t code;
    uint32_t length;
    char message[500];
} VtRingAnswer;
