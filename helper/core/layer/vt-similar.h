/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-similar.h: which blocks of a parent look like those that are to be compressed */
#pragma once

#include <glib.h>
#include <stdint.h>

/* Segments that vt_similar_find() gives at most: a frame record counts them in 8 bits */
#define VT_SIMILAR_SEGMENTS_MAX 255u
/*
 * Blocks in all segments: twice the content's, and no more than this (4 MiB). Each of them is read
 * and indexed by zstd again; measured, thrice the content saves 0.3 % of the bytes for a quarter
 * more reads.
 */
#define VT_SIMILAR_FACTOR     2u
#define VT_SIMILAR_BLOCKS_MAX 1024u

/**
 * VtSimilar:
 *
 * An index of the content of a disk by features, which tells for some new content where the disk
 * has something like it. A feature is a hash of 24 bytes at places that the bytes themselves
 * choose, so it is found again wherever these bytes move (shingles: Broder, "On the resemblance and
 * containment of documents", 1997; chosen by a gear hash: Zou et al., "Odess", ICDE 2021). Unlike
 * in the super-features of these, and of Zhang et al., "Finesse", FAST 2019, which ask whether two
 * whole chunks are alike, one feature in common counts: zstd gains from each string that it finds
 * again.
 *
 * Memory follows from the blocks that were announced, and never exceeds 128 MiB. What does not fit
 * is thinned evenly: nearly all 32 features of each block are kept for a disk with 1 GiB of data, 3
 * for one with 20 GiB. Keeping a tenth was measured to cost 1.6 % more bytes: a block is found by
 * its neighbours, too.
 *
 * The same blocks added in the same order, and the same content, give the same segments everywhere.
 * A wrong or hostile answer costs bytes, never correctness: zstd compares what it uses.
 */
typedef struct VtSimilar VtSimilar;

/** vt_similar_new: @blocks: about how many will be added; sizes the index */
VtSimilar *vt_similar_new(uint64_t blocks);
void vt_similar_free(VtSimilar *similar);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtSimilar, vt_similar_free)

/**
 * vt_similar_add:
 * @block: its number on the disk, below 2^32 (16 TiB); of equal content the first one added counts
 * @content: 4096 bytes
 */
void vt_similar_add(VtSimilar *similar, uint64_t block, const uint8_t *content);

/** VtSimilarSegment: @length blocks of the disk from @block on; may have blocks that were not added
 */
typedef struct {
    uint64_t block;
    uint32_t length;
} VtSimilarSegment;

/**
 * vt_similar_find:
 * @content: @blocks blocks of 4096 bytes, to be compressed together
 * @ret_segments: (element-type VtSimilarSegment): gets the segments, in the order of the disk, with
 *   gaps between them, none of them behind the last block added. Emptied first.
 *
 * Any number of threads may ask at a time, once all blocks were added.
 */
void vt_similar_find(const VtSimilar *similar, const uint8_t *content, uint32_t blocks,
                     GArray *ret_segments);
