/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-index-format.h: the bytes of an index, for its reader and its writer only */
#pragma once

#include "vt-index.h"

#include <string.h>

/* As PNG's: not text, and damage by line-end conversion or a 7-bit channel shows */
#define INDEX_MAGIC   "\x89VTL\r\n\x1a\n"
#define INDEX_VERSION 1u
#define PAGE_SIZE     16384u
/* 64 KiB clusters: qemu's default, and tables small enough to be written whole */
#define CLUSTER_BITS_FULL 16u
/* 128 KiB clusters with subclusters of 4 KiB: what changed, and nothing around it */
#define CLUSTER_BITS_DELTA 17u
/* An index of VT_INDEX_SIZE_MAX has no more */
#define PAGES_MAX    (VT_INDEX_SIZE_MAX / PAGE_SIZE)
#define SECTIONS_MAX 16u

/* Root: offset of each field; docs/layer-format.md 3 */
enum {
    ROOT_MAGIC = 0,
    ROOT_VERSION = 8,
    ROOT_HEADER_SIZE = 12,
    ROOT_REQUIRED = 16,
    ROOT_OPTIONAL = 24,
    ROOT_BLOCK_SIZE = 32,
    ROOT_FRAME_SIZE = 36,
    ROOT_PAGE_SIZE = 40,
    ROOT_CLUSTER_BITS = 44,
    ROOT_CAPACITY = 48,
    ROOT_LITERAL_BLOCKS = 56,
    ROOT_DATA_BLOCKS = 64,
    ROOT_BLOB_COUNT = 72,
    ROOT_SECTION_COUNT = 76,
    ROOT_PAGE_COUNT = 80,
    ROOT_RESERVED_1 = 84,
    ROOT_PARENT = 88,
    ROOT_RESERVED_2 = 120,
    ROOT_HEADER = 128,
};

/* Section table entry */
enum {
    SECTION_TYPE = 0,
    SECTION_FLAGS = 4,
    SECTION_RECORD_SIZE = 8,
    SECTION_FIRST_PAGE = 12,
    SECTION_RECORD_COUNT = 16,
    SECTION_RESERVED = 24,
    SECTION_ENTRY = 32,
};
#define SECTION_TYPE_EXTENTS    1u
#define SECTION_TYPE_FRAMES     2u
#define SECTION_TYPE_PREFIXES   3u
#define SECTION_MUST_UNDERSTAND 1u

/* Page table entry */
enum {
    PAGE_DIGEST = 0,
    PAGE_FIRST_KEY = 32,
    PAGE_ENTRY = 40,
};

/* Extent record: u32 length, u64 {kind:4, ancestor:12, source:48}, highest bits first */
enum {
    EXTENT_LENGTH = 0,
    EXTENT_SOURCE = 4,
    EXTENT_RECORD = 12,
};
#define EXTENT_KIND_SHIFT     60
#define EXTENT_ANCESTOR_SHIFT 48
#define EXTENT_SOURCE_MASK    ((UINT64_C(1) << 48) - 1)
#define EXTENT_ANCESTOR_MASK  0xfffu

/* Frame record */
enum {
    FRAME_OFFSET = 0,
    FRAME_SIZE = 4,
    FRAME_BLOB = 8,
    FRAME_BLOCKS = 10,
    FRAME_PREFIX = 12,
    FRAME_DIGEST = 16,
    FRAME_CONTENT_DIGEST = 48,
    FRAME_RECORD = 80,
};
/* u32: how many prefixes, and the number of the first */
#define FRAME_PREFIX_COUNT_SHIFT 24
#define FRAME_PREFIX_FIRST_MASK  0xffffffu

/* Prefix record: as an extent of the kind ancestor */
#define PREFIX_RECORD EXTENT_RECORD

static inline uint16_t
get16(const uint8_t *p)
{
    uint16_t value;

    memcpy(&value, p, sizeof(value));
    return GUINT16_FROM_LE(value);
}

static inline uint32_t
get32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof(value));
    return GUINT32_FROM_LE(value);
}

static inline uint64_t
get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof(value));
    return GUINT64_FROM_LE(value);
}

static inline void
put16(uint8_t *p, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    memcpy(p, &value, sizeof(value));
}

static inline void
put32(uint8_t *p, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(p, &value, sizeof(value));
}

static inline void
put64(uint8_t *p, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, sizeof(value));
}

/* Where record @number of a section whose first page is at @first is: no record straddles pages */
static inline const uint8_t *
record_at(const uint8_t *first, uint64_t number, uint32_t record_size)
{
    const uint32_t per_page = PAGE_SIZE / record_size;

    return first + number / per_page * PAGE_SIZE + number % per_page * record_size;
}

/* SHA-256 of a page. GLib's, because core calls no library of cryptography; an index is small. */
static inline void
page_digest(const uint8_t *page, VtDigest *ret)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize length = VT_DIGEST_BYTES;

    g_checksum_update(checksum, page, PAGE_SIZE);
    g_checksum_get_digest(checksum, ret->bytes, &length);
}
