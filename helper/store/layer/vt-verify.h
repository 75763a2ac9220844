/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-verify.h: the files of a chain are what their indexes say, to the last byte */
#pragma once

#include "vt-chain.h"

/**
 * VtVerifyLayer:
 * @index: its index blob; the caller has checked the digest
 * @fd: its file
 * @backing: (nullable): absolute path of its parent's file, of a delta layer
 */
typedef struct {
    GBytes *index;
    int fd;
    const char *backing;
} VtVerifyLayer;

/**
 * VtVerifyJob:
 * @layers: base first
 * @threads: 0 is as many as the number of CPUs asks for
 * @progress: (nullable): bytes checked of @total, from any thread; returns false to stop
 */
typedef struct {
    const VtVerifyLayer *layers;
    uint32_t count;
    unsigned threads;
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} VtVerifyJob;

/**
 * VtLayerState: what was found in the file of a layer
 * @damaged: places that are not what they should be
 * @unknown: places about which nothing is known, because what they were taken from is damaged
 * @offset: of the first damaged place, bytes
 * @reason: (nullable): what is wrong there
 */
typedef struct {
    uint64_t damaged;
    uint64_t unknown;
    uint64_t offset;
    char *reason;
} VtLayerState;
void vt_layer_state_clear(VtLayerState *state);

/**
 * vt_verify_chain:
 * @ret_states: (out caller-allocates): of each layer; zeroed by the caller
 *
 * Reads all that the files have, each byte once: metadata must be the computed bytes, each frame's
 * content must have the digest that the index gives, what is in several places must be equal in
 * all, and what is zero must read as zero.
 *
 * Returns: whether all was read, whatever was found
 * @error: %VT_ERROR_INVALID: these layers are no chain; %VT_ERROR_FAILED when stopped
 */
bool vt_verify_chain(const VtVerifyJob *job, VtLayerState *ret_states, GError **error);
