/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-ancestry.h: which blocks the ancestors of a delta layer have, for its encoder */
#pragma once

#include "vt-chain.h"
#include "vt-dedup.h"
#include "vt-similar.h"

#include <gio/gio.h>

/* Blocks have numbers of up to 31 bits, 8 TiB over the disks of all ancestors, the parent's first.
 * What is behind is not found. */
#define VT_ANCESTRY_NUMBER_MAX ((UINT32_C(1) << 31) - 1)

/**
 * VtAncestry: for one thread
 *
 * Has a follower, too: the block behind the last one that was taken, which the next one is most
 * probably the same as, because files move as a whole.
 */
typedef struct VtAncestry VtAncestry;
/** vt_ancestry_new: @chain: must stay as long, and have a parent */
VtAncestry *vt_ancestry_new(const VtChain *chain);
void vt_ancestry_free(VtAncestry *ancestry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtAncestry, vt_ancestry_free)

/**
 * VtAncestryTables: what a scan fills
 * @dedup: gets @mark | number of each block, the first of those that are the same
 * @similar: gets those of the parent's disk, by their number there
 */
typedef struct {
    VtDedup *dedup;
    uint32_t mark;
    VtSimilar *similar;
} VtAncestryTables;

/**
 * vt_ancestry_scan:
 *
 * All blocks that are not zeros: first those of the parent's disk, then those of each ancestor that
 * the layer above it hides. Each is read once.
 */
bool vt_ancestry_scan(VtAncestry *ancestry, const VtAncestryTables *tables,
                      GCancellable *cancellable, GError **error);

/** vt_ancestry_same: @number: from the table; @ret_same: whether that block is @block, 4096 bytes
 */
bool vt_ancestry_same(VtAncestry *ancestry, uint32_t number, const uint8_t *block, bool *ret_same,
                      GError **error);

/** vt_ancestry_follows: @ret_same: whether there is a follower, and it is @block, 4096 bytes */
bool vt_ancestry_follows(VtAncestry *ancestry, const uint8_t *block, bool *ret_same,
                         GError **error);

/** vt_ancestry_take: Returns: where block @number is; the next one is the follower */
VtPrefix vt_ancestry_take(VtAncestry *ancestry, uint32_t number);

/** vt_ancestry_take_follower: the same for the follower, which there is */
VtPrefix vt_ancestry_take_follower(VtAncestry *ancestry);

/** vt_ancestry_stop: there is no follower any more */
void vt_ancestry_stop(VtAncestry *ancestry);
