/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index.h: the index of a layer (docs/layer-format.md): where each block of a disk is */
#pragma once

#include "vt-digest.h"

#include <stdint.h>

/* The unit of extents: what file systems move data in */
#define VT_INDEX_BLOCK_SIZE 4096u
/* Content of a frame: powers of two in this range */
#define VT_INDEX_FRAME_MIN (64u << 10)
#define VT_INDEX_FRAME_MAX (4u << 20)
/* What zstd may add to data that it cannot compress (ZSTD_COMPRESSBOUND), rounded up */
#define VT_INDEX_FRAME_OVERHEAD(content) ((content) / 256 + 64)
/* Registries limit uploads */
#define VT_INDEX_BLOB_MAX (256u << 20)
/* 4 TiB of compressed data */
#define VT_INDEX_BLOBS_MAX 16384u
/* Virtual disk; also the largest number of blocks that 32 bits count */
#define VT_INDEX_CAPACITY_MAX (UINT64_C(16) << 40)
/* Content that a frame may be compressed against: read from the disk before each frame */
#define VT_INDEX_PREFIX_MAX (4u << 20)
/* Prefixes of all frames: a frame's record has 24 bits for the number of its first one */
#define VT_INDEX_PREFIXES_MAX (1u << 24)
/* Ancestors of a layer: each one is a file more that a guest's read may go through */
#define VT_INDEX_ANCESTORS_MAX 63u
/* The index of about 1.5 TiB of data in frames of 128 KiB; larger disks need larger frames */
#define VT_INDEX_SIZE_MAX (1u << 30)

/* Annotations of the index descriptor in a manifest: the root alone, for readers of single pages */
#define VT_INDEX_ROOT_SIZE_KEY   "virt-template.index.root.size"
#define VT_INDEX_ROOT_DIGEST_KEY "virt-template.index.root.digest"
/* Bytes of the disk that the layer's file has: what a host without the layer will need, about */
#define VT_INDEX_DATA_SIZE_KEY "virt-template.index.data.size"

/**
 * VtExtentKind:
 * @VT_EXTENT_ZERO: reads as zeros
 * @VT_EXTENT_LITERAL: blocks of this layer's frames
 * @VT_EXTENT_ANCESTOR: blocks of the disk as a layer below has it; in delta layers
 */
typedef enum {
    VT_EXTENT_ZERO = 0,
    VT_EXTENT_LITERAL = 1,
    VT_EXTENT_ANCESTOR = 2,
} VtExtentKind;

/**
 * VtExtent: a run of guest blocks with one source
 * @guest: number of its first block on the virtual disk
 * @source: number of the first literal block, or guest block of the ancestor; 0 for zeros
 * @length: blocks, not 0
 * @ancestor: how many layers below, 1 is the parent; 0 for the other kinds
 */
typedef struct {
    uint64_t guest;
    uint64_t source;
    uint32_t length;
    VtExtentKind kind;
    uint32_t ancestor;
} VtExtent;

/** vt_extent_is_inherited: Returns: whether the parent has the same there; nothing is stored */
static inline bool
vt_extent_is_inherited(const VtExtent *extent)
{
    return extent->kind == VT_EXTENT_ANCESTOR && extent->ancestor == 1 &&
           extent->source == extent->guest;
}

/** vt_extent_is_stored: Returns: whether the layer's file has the bytes */
static inline bool
vt_extent_is_stored(const VtExtent *extent)
{
    return extent->kind != VT_EXTENT_ZERO && !vt_extent_is_inherited(extent);
}

/**
 * VtPrefix: a run of guest blocks of an ancestor, which a frame was compressed against
 * @ancestor: how many layers below, 1 is the parent
 */
typedef struct {
    uint64_t source;
    uint32_t length;
    uint32_t ancestor;
} VtPrefix;

/**
 * VtFrame: one independent zstd frame
 * @blob: number of the blob, in the order of the manifest
 * @offset: bytes in the blob
 * @size: bytes, compressed
 * @blocks: blocks of content
 * @digest: SHA-256 of the compressed bytes
 * @prefix_first: number of the first #VtPrefix of the frame
 * @prefix_count: 0: a frame that can be decoded alone
 * @content_digest: SHA-256 of the content
 */
typedef struct {
    uint32_t blob;
    uint32_t offset;
    uint32_t size;
    uint32_t blocks;
    uint32_t prefix_first;
    uint32_t prefix_count;
    VtDigest digest;
    VtDigest content_digest;
} VtFrame;

/**
 * VtIndex: a checked index; read only
 * @capacity: virtual size, bytes; a multiple of the block size
 * @frame_blocks: blocks of content in each frame but the last
 * @cluster_bits: log2 of the cluster size of the QCOW2 file made from it
 * @literal_blocks: blocks of content in all frames
 * @data_blocks: blocks of the disk that the layer's file has, see vt_extent_is_stored()
 * @parent: digest of the parent's index, if @is_delta
 * @root_size: bytes of the root, which is the index's beginning
 */
typedef struct {
    uint64_t capacity;
    uint32_t frame_blocks;
    uint32_t cluster_bits;
    uint64_t literal_blocks;
    uint64_t data_blocks;
    VtDigest parent;
    bool is_delta;
    uint64_t extent_count;
    uint64_t frame_count;
    uint64_t prefix_count;
    uint32_t blob_count;
    uint32_t root_size;
    /*< private >*/
    GBytes *bytes;
    const uint8_t *extents;
    const uint8_t *frames;
    const uint8_t *prefixes;
    uint64_t *marks;
} VtIndex;
void vt_index_free(VtIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtIndex, vt_index_free)

/**
 * vt_index_parse:
 * @bytes: a whole index blob
 * @ret_index: (out) (transfer full): keeps a reference on @bytes
 *
 * Checks all that docs/layer-format.md demands of a layer, the digests of the pages included. What
 * a delta layer takes from its ancestors is checked when they are known, see vt-chain.h.
 *
 * @error: %VT_ERROR_INVALID; %VT_ERROR_UNSUPPORTED for another version or an unknown
 * feature or section that must be understood; %VT_ERROR_CORRUPT for a page that does not have its
 * digest; %VT_ERROR_TOO_LARGE
 */
bool vt_index_parse(GBytes *bytes, VtIndex **ret_index, GError **error);

/* What vt_index_peek_parent() wants */
#define VT_INDEX_HEAD_SIZE 128u
/** vt_index_peek_parent: @head: the first bytes of an index that was checked once. Returns: whether
 *  it is of a delta layer */
bool vt_index_peek_parent(const uint8_t head[VT_INDEX_HEAD_SIZE], VtDigest *ret_parent);
/** vt_index_peek_data: @head: the same. Returns: bytes of the disk that the layer's file has */
uint64_t vt_index_peek_data(const uint8_t head[VT_INDEX_HEAD_SIZE]);

/**
 * vt_index_check_blobs:
 * @sizes: bytes of each blob, as a manifest gives them
 *
 * Whether the frames are exactly in these blobs; %VT_ERROR_INVALID naming the blob.
 */
bool vt_index_check_blobs(const VtIndex *index, const uint64_t *sizes, uint32_t count,
                          GError **error);

/** vt_index_frame_bytes: Returns: content of a frame, but maybe the last one */
static inline uint64_t
vt_index_frame_bytes(const VtIndex *index)
{
    return (uint64_t)index->frame_blocks * VT_INDEX_BLOCK_SIZE;
}

/** vt_index_frame: @number: below @frame_count */
void vt_index_frame(const VtIndex *index, uint64_t number, VtFrame *ret_frame);

/** vt_index_prefix: @number: below @prefix_count of the index */
void vt_index_prefix(const VtIndex *index, uint64_t number, VtPrefix *ret_prefix);

/** VtExtentIter: walks the extents in guest order; start with vt_extent_iter_init() */
typedef struct {
    const VtIndex *index;
    uint64_t number;
    uint64_t guest;
} VtExtentIter;
void vt_extent_iter_init(VtExtentIter *iter, const VtIndex *index);
/** vt_extent_iter_seek: The next extent is the one that has guest block @block, which is on the
 *  disk */
void vt_extent_iter_seek(VtExtentIter *iter, const VtIndex *index, uint64_t block);
/** vt_extent_iter_next: Returns: false behind the last extent */
bool vt_extent_iter_next(VtExtentIter *iter, VtExtent *ret_extent);

/**
 * VtIndexBuilder:
 *
 * Puts an index together. What is added must make a valid index; vt_index_parse() tells.
 */
typedef struct VtIndexBuilder VtIndexBuilder;
VtIndexBuilder *vt_index_builder_new(uint32_t frame_size);
/** vt_index_builder_set_parent: Makes it a delta layer; before anything is added */
void vt_index_builder_set_parent(VtIndexBuilder *builder, const VtDigest *parent);
void vt_index_builder_free(VtIndexBuilder *builder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtIndexBuilder, vt_index_builder_free)

/** vt_index_builder_add_extent: Appends in guest order; merges with the extent before it */
void vt_index_builder_add_extent(VtIndexBuilder *builder, VtExtentKind kind, uint64_t source,
                                 uint32_t length);
/** vt_index_builder_add_ancestor: The same with blocks of a layer below; 1 is the parent */
void vt_index_builder_add_ancestor(VtIndexBuilder *builder, uint32_t ancestor, uint64_t source,
                                   uint32_t length);
/** vt_index_builder_add_prefix: Appends; returns: its number */
uint32_t vt_index_builder_add_prefix(VtIndexBuilder *builder, const VtPrefix *prefix);
/** vt_index_builder_add_frame: Appends in literal order */
void vt_index_builder_add_frame(VtIndexBuilder *builder, const VtFrame *frame);
/** vt_index_builder_finish: Returns: (transfer full): the index blob */
GBytes *vt_index_builder_finish(VtIndexBuilder *builder);
/** vt_index_builder_root_size: Returns: bytes of the root of a blob that was just finished */
uint32_t vt_index_builder_root_size(const VtIndexBuilder *builder);
