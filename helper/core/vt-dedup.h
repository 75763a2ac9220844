/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-dedup.h: which blocks were seen before */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * VtDedup:
 *
 * A table from a quick hash of a block to where it was first seen. The hash is no proof: the caller
 * compares the bytes. Someone who makes blocks collide only loses de-duplication.
 */
typedef struct VtDedup VtDedup;
VtDedup *vt_dedup_new(void);
void vt_dedup_free(VtDedup *dedup);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDedup, vt_dedup_free)

/** vt_block_is_zero: @block: 4096 bytes, aligned to 8 */
bool vt_block_is_zero(const uint8_t *block);

/** vt_block_hash: Returns: a hash of @block (4096 bytes, aligned to 8), never 0 */
uint64_t vt_block_hash(const uint8_t *block);

/** vt_dedup_find: Returns: whether @hash was added; @ret_value: (out): what was given then */
bool vt_dedup_find(const VtDedup *dedup, uint64_t hash, uint64_t *ret_value);

/** vt_dedup_add: Remembers @hash, which vt_dedup_find() did not find */
void vt_dedup_add(VtDedup *dedup, uint64_t hash, uint64_t value);
