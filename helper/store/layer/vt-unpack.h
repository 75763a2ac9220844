/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack.h: an authenticated index and its frames become a QCOW2 file */
#pragma once

#include "vt-chain.h"
#include "vt-ring.h"

#include <stdint.h>

/**
 * VtUnpackJob:
 * @index: the index blob; the caller has checked its digest
 * @blob_sizes: bytes of each frame blob, from the manifest
 * @ancestors: of a delta layer: the layers below it, its parent first
 * @backing: (nullable): absolute path that the parent's file will have; of a delta layer
 * @output_fd: regular file, read-write; O_DIRECT is set and cleared as the file system allows
 * @ring_fd: memfd of VT_RING_SLOTS * VT_RING_SLOT_SIZE bytes
 * @socket_fd: the unpack end of the ring's socket
 * @threads: 0 is as many as the number of CPUs asks for
 * @resume: @output_fd may hold frames of an earlier attempt: those whose content digest matches are
 *   not fetched again
 * @ready_fd: when there is something to be read from it, the files of @ancestors are complete;
 * until then frames are fetched, as many as the ring holds, and nothing is taken from ancestors.
 * -1: they are complete
 * @streams: the store is one of vt_store_streams(): ranges may be longer than a slot of the ring
 * @scratch: @output_fd is read soon and does not outlive the process: it stays in the page cache
 * and is not made durable
 * @progress: (nullable): called about ten times a second: guest bytes present of @total, bytes
 * received
 */
typedef struct {
    GBytes *index;
    const uint64_t *blob_sizes;
    uint32_t blob_count;
    const VtAncestor *ancestors;
    uint32_t ancestor_count;
    const char *backing;
    int output_fd;
    int ring_fd;
    int socket_fd;
    int ready_fd;
    unsigned threads;
    bool resume;
    bool streams;
    bool scratch;
    void (*progress)(void *user, uint64_t done, uint64_t total, uint64_t received);
    void *user;
} VtUnpackJob;

/**
 * vt_unpack_run:
 *
 * Checks the index, requests frame ranges through the ring, checks each frame's digest before
 * decoding it, decodes, and writes the QCOW2 file that follows from the index. Durable (fdatasync)
 * when it returns true, but for @scratch.
 *
 * @error: %VT_ERROR_INVALID (index), %VT_ERROR_CORRUPT (frame, named by number and blob), what the
 * ring answered, %VT_ERROR_NO_SPACE
 */
bool vt_unpack_run(const VtUnpackJob *job, GError **error);
