/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-chain.h: the layers below a delta layer, as their files have them */
#pragma once

#include "vt-index.h"

/**
 * VtAncestor: a layer below
 * @index: its index blob
 * @fd: its file, which follows from the index
 */
typedef struct {
    GBytes *index;
    int fd;
} VtAncestor;

/**
 * VtChain: read only; several threads may use it at once
 */
typedef struct VtChain VtChain;
void vt_chain_free(VtChain *chain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtChain, vt_chain_free)

/**
 * vt_chain_new:
 * @top: (nullable): digest of the index of the first ancestor; %NULL: there is none
 * @ancestors: the layers below a layer, its parent first; the files must stay open as long
 * @error: %VT_ERROR_INVALID naming the ancestor that is not the one that is named above it
 */
bool vt_chain_new(const VtDigest *top, const VtAncestor *ancestors, uint32_t count,
                  VtChain **ret_chain, GError **error);

/** vt_chain_blocks: Returns: blocks of the disk of @ancestor, 1 is the parent; 0 if it has none */
uint64_t vt_chain_blocks(const VtChain *chain, uint32_t ancestor);

/**
 * vt_chain_check:
 * @index: of the layer on top
 * @error: %VT_ERROR_INVALID: it takes what its ancestors do not have
 */
bool vt_chain_check(const VtChain *chain, const VtIndex *index, GError **error);

/**
 * VtChainRun: where blocks are that follow each other on a disk
 * @blocks: in one piece
 * @fd: the file that has them; -1: they are zeros
 * @offset: of the first one in the file, bytes
 * @layer: whose extent this is; 1 is the parent. 0: they are behind the end of a disk
 */
typedef struct {
    uint64_t blocks;
    uint64_t offset;
    int fd;
    uint32_t layer;
} VtChainRun;

/**
 * vt_chain_locate: Where block @block of the disk of @ancestor is, and those behind it
 * @ancestor: 1 is the parent
 */
VtChainRun vt_chain_locate(const VtChain *chain, uint32_t ancestor, uint64_t block);

/**
 * vt_chain_read:
 * @source: @ancestor and first block; @length: blocks
 * @buffer: (out): @length blocks. What is behind the end of the ancestor's disk is zeros
 */
bool vt_chain_read(const VtChain *chain, const VtPrefix *source, uint8_t *buffer, GError **error);

/** vt_chain_data_blocks: Returns: blocks in the files of all layers: the parent's disk has no more
 */
uint64_t vt_chain_data_blocks(const VtChain *chain);

/**
 * vt_chain_zeros:
 * @ancestor: 1 is the parent
 *
 * Returns: how many blocks of its disk are zeros from @block on, by what the indexes say; behind
 * its end all are
 */
uint64_t vt_chain_zeros(const VtChain *chain, uint32_t ancestor, uint64_t block);

/**
 * vt_chain_next_data:
 * @place: (in) (out): @ancestor, and behind which blocks to look; gets the next ones, @max at most,
 *   that may not be zeros, and that the layer above, if there is one, does not inherit
 *
 * From the parent to the base this comes to each block that any of the disks has once.
 *
 * Returns: false when there is none
 */
bool vt_chain_next_data(const VtChain *chain, VtPrefix *place, uint32_t max);
