/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-dedup.h: which blocks were seen before */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Values take 32 bits. With blocks of 4 KiB that is 16 TiB; what a caller cannot count, he leaves
 * out */
#define VT_DEDUP_VALUE_MAX UINT32_MAX

/**
 * VtDedup:
 *
 * A table from a quick hash of a block to where it was first seen, in 8 bytes for each slot: only
 * half of the hash is kept. So it is no proof, and different blocks may be found under one hash:
 * the caller compares the bytes of each. Someone who makes blocks collide only loses
 * de-duplication.
 */
typedef struct VtDedup VtDedup;
VtDedup *vt_dedup_new(void);
void vt_dedup_free(VtDedup *dedup);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDedup, vt_dedup_free)

/** vt_block_is_zero: @block: 4096 bytes, aligned to 8 */
bool vt_block_is_zero(const uint8_t *block);

/** vt_block_hash: Returns: a hash of @block (4096 bytes, aligned to 8), never 0 */
uint64_t vt_block_hash(const uint8_t *block);

/**
 * vt_dedup_next:
 * @cursor: (in) (out): 0 before the first one
 * @ret_value: (out): what was added under a hash that may be @hash
 *
 * Returns: false when there is no other one
 */
bool vt_dedup_next(const VtDedup *dedup, uint64_t hash, uint64_t *cursor, uint32_t *ret_value);

/** vt_dedup_has: Returns: whether a block that may have @hash was added */
bool vt_dedup_has(const VtDedup *dedup, uint64_t hash);

/** vt_dedup_add: Remembers @hash, also if it is there */
void vt_dedup_add(VtDedup *dedup, uint64_t hash, uint32_t value);
