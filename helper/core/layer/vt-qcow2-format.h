/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2-format.h: the bytes of a QCOW2 header, for the files that read and write them */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <string.h>

/* qemu docs/interop/qcow2.txt: offset of each field; integers are big endian */
enum {
    QCOW2_MAGIC = 0,
    QCOW2_VERSION = 4,
    QCOW2_BACKING_OFFSET = 8,
    QCOW2_BACKING_SIZE = 16,
    QCOW2_CLUSTER_BITS = 20,
    QCOW2_CAPACITY = 24,
    QCOW2_CRYPT = 32,
    QCOW2_L1_SIZE = 36,
    QCOW2_L1_OFFSET = 40,
    QCOW2_REFTABLE_OFFSET = 48,
    QCOW2_REFTABLE_CLUSTERS = 56,
    QCOW2_SNAPSHOTS = 60,
    QCOW2_HEADER_2 = 72,
    QCOW2_INCOMPATIBLE = 72,
    QCOW2_COMPATIBLE = 80,
    QCOW2_AUTOCLEAR = 88,
    QCOW2_REFCOUNT_ORDER = 96,
    QCOW2_HEADER_LENGTH = 100,
    QCOW2_HEADER_3 = 104,
    QCOW2_COMPRESSION = 104,
    /* with the compression type and its padding: what qemu writes since 5.1 */
    QCOW2_HEADER_3_FULL = 112,
};
#define QCOW2_MAGIC_VALUE 0x514649fbu /* "QFI\xfb" */

#define QCOW2_INCOMPATIBLE_DIRTY       (UINT64_C(1) << 0)
#define QCOW2_INCOMPATIBLE_CORRUPT     (UINT64_C(1) << 1)
#define QCOW2_INCOMPATIBLE_DATA_FILE   (UINT64_C(1) << 2)
#define QCOW2_INCOMPATIBLE_COMPRESSION (UINT64_C(1) << 3)
#define QCOW2_INCOMPATIBLE_EXTENDED_L2 (UINT64_C(1) << 4)
#define QCOW2_INCOMPATIBLE_KNOWN       0x1fu

#define QCOW2_EXTENSION_END            0u
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXTENSION_FEATURES       0x6803f857u
#define QCOW2_EXTENSION_DATA_FILE      0x44415441u
#define QCOW2_EXTENSION_ENCRYPTION     0x0537be77u
#define QCOW2_EXTENSION_BITMAPS        0x23852875u

/* In L1 and L2 entries: the refcount is exactly one */
#define QCOW2_COPIED (UINT64_C(1) << 63)
/* 16-bit refcounts */
#define QCOW2_REFCOUNT_ORDER_16 4u

static inline uint32_t
qcow2_get32(const uint8_t *p)
{
    uint32_t value;

    memcpy(&value, p, sizeof(value));
    return GUINT32_FROM_BE(value);
}

static inline uint64_t
qcow2_get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof(value));
    return GUINT64_FROM_BE(value);
}

static inline void
qcow2_put16(uint8_t *p, uint16_t value)
{
    value = GUINT16_TO_BE(value);
    memcpy(p, &value, sizeof(value));
}

static inline void
qcow2_put32(uint8_t *p, uint32_t value)
{
    value = GUINT32_TO_BE(value);
    memcpy(p, &value, sizeof(value));
}

static inline void
qcow2_put64(uint8_t *p, uint64_t value)
{
    value = GUINT64_TO_BE(value);
    memcpy(p, &value, sizeof(value));
}

/* What differs between the headers we write */
typedef struct {
    uint64_t capacity;
    uint32_t cluster_bits;
    uint64_t incompatible;
    uint64_t reftable_offset;
    uint32_t reftable_clusters;
    uint64_t l1_offset;
    uint32_t l1_size;
} Qcow2Header;

/* A version 3 header without extensions at @p, which is zeros */
static inline void
qcow2_put_header(uint8_t *p, const Qcow2Header *header)
{
    qcow2_put32(p + QCOW2_MAGIC, QCOW2_MAGIC_VALUE);
    qcow2_put32(p + QCOW2_VERSION, 3);
    qcow2_put32(p + QCOW2_CLUSTER_BITS, header->cluster_bits);
    qcow2_put64(p + QCOW2_CAPACITY, header->capacity);
    qcow2_put32(p + QCOW2_L1_SIZE, header->l1_size);
    qcow2_put64(p + QCOW2_L1_OFFSET, header->l1_offset);
    qcow2_put64(p + QCOW2_REFTABLE_OFFSET, header->reftable_offset);
    qcow2_put32(p + QCOW2_REFTABLE_CLUSTERS, header->reftable_clusters);
    qcow2_put64(p + QCOW2_INCOMPATIBLE, header->incompatible);
    qcow2_put32(p + QCOW2_REFCOUNT_ORDER, QCOW2_REFCOUNT_ORDER_16);
    qcow2_put32(p + QCOW2_HEADER_LENGTH, QCOW2_HEADER_3_FULL);
}

/* Behind the header at @p: backing format, end of extensions, backing file name */
static inline void
qcow2_put_backing(uint8_t *p, const char *format, const char *file)
{
    const size_t length = strlen(format);
    uint8_t *at = p + QCOW2_HEADER_3_FULL;

    qcow2_put32(at, QCOW2_EXTENSION_BACKING_FORMAT);
    qcow2_put32(at + 4, (uint32_t)length);
    memcpy(at + 8, format, length);
    /* 8 for this extension's head, 8 for the end, which is zeros */
    at += 8 + (length + 7) / 8 * 8 + 8;
    memcpy(at, file, strlen(file));
    qcow2_put64(p + QCOW2_BACKING_OFFSET, (uint64_t)(at - p));
    qcow2_put32(p + QCOW2_BACKING_SIZE, (uint32_t)strlen(file));
}
