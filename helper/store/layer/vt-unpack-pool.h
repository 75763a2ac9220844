/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unpack-pool.h: threads that check, decode and write the frames that lie in a ring */
#pragma once

#include "vt-chain.h"
#include "vt-layer-writer.h"
#include "vt-ring.h"
#include "vt-unpack-plan.h"

#include <glib.h>

/**
 * VtUnpackPool:
 *
 * A thread takes the next frames of any slot that has complete ones, so all of them work to the
 * end: what is left of a layer may be one range, of which a delta makes ten times its bytes. The
 * slot of a range that is written is free. Who fails first is remembered; nothing new is begun
 * then.
 *
 * Belongs to one thread, which owns the ring; any may call vt_unpack_pool_fail().
 */
typedef struct VtUnpackPool VtUnpackPool;

/**
 * VtUnpackPoolSetup: all of it must outlive the pool
 * @ring_fd: see vt-ring.h
 * @socket_fd: gets told of room in slots
 * @wake_fd: eventfd, non-blocking: counts slots that became free, and failures
 * @threads: at most; 0: as many as suit the machine
 */
typedef struct {
    const VtIndex *index;
    const VtChain *chain;
    VtLayerWriter *writer;
    int ring_fd;
    int socket_fd;
    int wake_fd;
    unsigned threads;
} VtUnpackPoolSetup;

VtUnpackPool *vt_unpack_pool_new(const VtUnpackPoolSetup *setup);
/** vt_unpack_pool_free: Waits for what is being written */
void vt_unpack_pool_free(VtUnpackPool *pool);

/** vt_unpack_pool_begin: The ancestors are complete: what came may be decoded */
void vt_unpack_pool_begin(VtUnpackPool *pool);

/** vt_unpack_pool_take: @ret_slot: (out): a free one. Returns: false if none is, or something
 *  failed */
bool vt_unpack_pool_take(VtUnpackPool *pool, uint32_t *ret_slot);

/** vt_unpack_pool_give: @slot is not needed after all */
void vt_unpack_pool_give(VtUnpackPool *pool, uint32_t slot);

/** vt_unpack_pool_ask: @frames: what a slot that was taken gets. Returns: (transfer none): the
 *  request for it, until vt_unpack_pool_have() */
const VtRingRequest *vt_unpack_pool_ask(VtUnpackPool *pool, uint32_t slot,
                                        const VtFrameRange *frames);

/** vt_unpack_pool_have: @length: bytes of the range in @slot that have come. Returns: false if it
 *  cannot be so */
bool vt_unpack_pool_have(VtUnpackPool *pool, uint32_t slot, uint64_t length);

/** vt_unpack_pool_fail: @error: (transfer full) */
void vt_unpack_pool_fail(VtUnpackPool *pool, GError *error);

/**
 * VtUnpackState:
 * @idle: all slots are free
 * @failed: something failed
 * @blocks: of frames that are written, @bytes: that these had in the store
 */
typedef struct {
    bool idle;
    bool failed;
    uint64_t blocks;
    uint64_t bytes;
} VtUnpackState;

VtUnpackState vt_unpack_pool_state(VtUnpackPool *pool);

/** vt_unpack_pool_finish: Waits for the threads. @error: what failed first */
bool vt_unpack_pool_finish(VtUnpackPool *pool, GError **error);
