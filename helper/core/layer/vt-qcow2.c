/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-qcow2.c: reading and judging QCOW2 headers */
#include "vt-qcow2.h"

#include "vt-qcow2-format.h"

#include <inttypes.h>

/* qemu block/qcow2.h: MIN_CLUSTER_BITS, MAX_CLUSTER_BITS, QCOW_MAX_L1_SIZE, QCOW_MAX_REFTABLE_SIZE
 */
#define CLUSTER_BITS_MIN 9u
#define CLUSTER_BITS_MAX 21u
#define L1_BYTES_MAX     (32u << 20)
#define REFTABLE_MAX     (8u << 20)
/* A subcluster is a 32nd of a cluster and at least a sector */
#define EXTENDED_L2_CLUSTER_BITS_MIN 14u
#define REFCOUNT_ORDER_MAX           6u
/* zlib 0, zstd 1 */
#define COMPRESSION_MAX 1u

/* A header with version 3's defaults filled in for version 2 */
typedef struct {
    const uint8_t *data;
    size_t length;
    uint32_t version;
    uint32_t cluster_bits;
    uint32_t header_length;
    uint32_t refcount_order;
    uint32_t compression;
    uint64_t capacity;
    uint64_t incompatible;
    uint64_t autoclear;
    uint64_t backing_offset;
    uint32_t backing_size;
} Header;

void
vt_qcow2_info_clear(VtQcow2Info *info)
{
    g_clear_pointer(&info->backing_file, g_free);
    g_clear_pointer(&info->backing_format, g_free);
}

static bool
read_version(const uint8_t *data, size_t length, Header *ret, GError **error)
{
    if (length < QCOW2_HEADER_2 || qcow2_get32(data + QCOW2_MAGIC) != QCOW2_MAGIC_VALUE)
        return vt_throw(error, VT_ERROR_INVALID, "not a QCOW2 image");
    ret->version = qcow2_get32(data + QCOW2_VERSION);
    if (ret->version != 2 && ret->version != 3)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 version %u, not 2 or 3", ret->version);
    if (ret->version == 3 && length < QCOW2_HEADER_3)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 header is cut off at %zu bytes", length);
    return true;
}

static void
read_fields(const uint8_t *data, size_t length, Header *ret)
{
    ret->data = data;
    ret->length = length;
    ret->cluster_bits = qcow2_get32(data + QCOW2_CLUSTER_BITS);
    ret->capacity = qcow2_get64(data + QCOW2_CAPACITY);
    ret->backing_offset = qcow2_get64(data + QCOW2_BACKING_OFFSET);
    ret->backing_size = qcow2_get32(data + QCOW2_BACKING_SIZE);
    ret->header_length = QCOW2_HEADER_2;
    ret->refcount_order = QCOW2_REFCOUNT_ORDER_16;
    if (ret->version == 2)
        return;
    ret->incompatible = qcow2_get64(data + QCOW2_INCOMPATIBLE);
    ret->autoclear = qcow2_get64(data + QCOW2_AUTOCLEAR);
    ret->refcount_order = qcow2_get32(data + QCOW2_REFCOUNT_ORDER);
    ret->header_length = qcow2_get32(data + QCOW2_HEADER_LENGTH);
    if (ret->header_length > QCOW2_COMPRESSION && length > QCOW2_COMPRESSION)
        ret->compression = data[QCOW2_COMPRESSION];
}

static bool
check_sizes(const Header *header, GError **error)
{
    uint64_t first_cluster = UINT64_C(1) << MIN(header->cluster_bits, CLUSTER_BITS_MAX);

    if (header->cluster_bits < CLUSTER_BITS_MIN || header->cluster_bits > CLUSTER_BITS_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 cluster_bits is %u, not %u to %u",
                        header->cluster_bits, CLUSTER_BITS_MIN, CLUSTER_BITS_MAX);
    if (header->version == 3 &&
        (header->header_length < QCOW2_HEADER_3 || header->header_length > first_cluster))
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 header_length is %u",
                        header->header_length);
    if (header->refcount_order > REFCOUNT_ORDER_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 refcount_order is %u, more than %u",
                        header->refcount_order, REFCOUNT_ORDER_MAX);
    if (header->backing_offset == 0)
        return true;
    if (header->backing_size > VT_QCOW2_BACKING_MAX ||
        header->backing_offset > first_cluster - MIN(header->backing_size, first_cluster))
        return vt_throw(error, VT_ERROR_INVALID,
                        "QCOW2 backing file name of %u bytes at %" PRIu64
                        " is too long or outside the first cluster",
                        header->backing_size, header->backing_offset);
    if (header->backing_offset + header->backing_size > header->length)
        return vt_throw(error, VT_ERROR_INVALID,
                        "QCOW2 backing file name ends behind the %zu bytes that were read",
                        header->length);
    return true;
}

static bool
read_header(const uint8_t *data, size_t length, Header *ret, GError **error)
{
    Header header = {0};

    if (!read_version(data, length, &header, error))
        return false;
    read_fields(data, length, &header);
    if (!check_sizes(&header, error))
        return false;
    *ret = header;
    return true;
}

/* ---- extensions: {u32 type, u32 length, data, padding to 8}, the last of type 0 ---- */

typedef struct {
    uint32_t type;
    uint32_t length;
    const uint8_t *data;
} Extension;

/* @at: in: where it starts; out: where the next one does. False also at the end, then without an
 * error: qemu ends at the backing file name or the first cluster's end if there is no type 0. */
static bool
next_extension(const Header *header, size_t *at, Extension *ret, GError **error)
{
    size_t limit = MIN(header->length, (size_t)1 << header->cluster_bits);

    if (header->backing_offset != 0)
        limit = MIN(limit, header->backing_offset);
    if (*at >= limit || limit - *at < 8)
        return false;
    ret->type = qcow2_get32(header->data + *at);
    ret->length = qcow2_get32(header->data + *at + 4);
    ret->data = header->data + *at + 8;
    if (ret->type == QCOW2_EXTENSION_END)
        return false;
    if (ret->length > limit - *at - 8)
        return vt_throw(error, VT_ERROR_INVALID,
                        "QCOW2 header extension 0x%08x of %u bytes is larger than the header",
                        ret->type, ret->length);
    *at += 8 + ((size_t)ret->length + 7) / 8 * 8;
    return true;
}

bool
vt_qcow2_parse(const uint8_t *header, size_t length, VtQcow2Info *ret_info, GError **error)
{
    g_auto(VtQcow2Info) info = {0};
    GError *local = NULL;
    Extension extension;
    Header h = {0};
    size_t at;

    if (!read_header(header, length, &h, error))
        return false;
    at = h.header_length;
    while (next_extension(&h, &at, &extension, &local)) {
        if (extension.type != QCOW2_EXTENSION_BACKING_FORMAT)
            continue;
        g_free(info.backing_format);
        info.backing_format = g_strndup((const char *)extension.data, extension.length);
    }
    if (local) {
        g_propagate_error(error, local);
        return false;
    }
    info.capacity = h.capacity;
    info.cluster_bits = h.cluster_bits;
    info.extended_l2 = h.incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2;
    if (h.backing_offset != 0)
        info.backing_file = g_strndup((const char *)header + h.backing_offset, h.backing_size);
    *ret_info = info;
    info = (VtQcow2Info){0};
    return true;
}

/* ---- images from outside ---- */

typedef struct {
    uint64_t bit;
    const char *what;
} RefusedFeature;

static const RefusedFeature refused_features[] = {
    {QCOW2_INCOMPATIBLE_DIRTY, "is marked dirty; run 'qemu-img check -r all' on it"},
    {QCOW2_INCOMPATIBLE_CORRUPT, "is marked corrupt"},
    {QCOW2_INCOMPATIBLE_DATA_FILE, "keeps its data in another file"},
};

static bool
check_features(const Header *header, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(refused_features); i++) {
        if (header->incompatible & refused_features[i].bit)
            return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 image %s",
                            refused_features[i].what);
    }
    if (header->incompatible & ~(uint64_t)QCOW2_INCOMPATIBLE_KNOWN)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 incompatible_features are 0x%" PRIx64,
                        header->incompatible);
    if (header->autoclear != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 autoclear_features are 0x%" PRIx64,
                        header->autoclear);
    if (header->compression > COMPRESSION_MAX)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 compression_type is %u",
                        header->compression);
    return true;
}

typedef struct {
    uint32_t type;
    const char *what;
} RefusedExtension;

static const RefusedExtension refused_extensions[] = {
    {QCOW2_EXTENSION_BACKING_FORMAT, "names the format of a backing file"},
    {QCOW2_EXTENSION_DATA_FILE, "names a data file"},
    {QCOW2_EXTENSION_ENCRYPTION, "is encrypted"},
    {QCOW2_EXTENSION_BITMAPS, "has bitmaps"},
};

static bool
check_extensions(const Header *header, GError **error)
{
    size_t at = header->header_length;
    GError *local = NULL;
    Extension extension;

    while (next_extension(header, &at, &extension, &local)) {
        for (size_t i = 0; i < G_N_ELEMENTS(refused_extensions); i++) {
            if (extension.type == refused_extensions[i].type)
                return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 image %s (header extension)",
                                refused_extensions[i].what);
        }
        if (extension.type != QCOW2_EXTENSION_FEATURES)
            return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 header extension 0x%08x is unknown",
                            extension.type);
    }
    if (local)
        g_propagate_error(error, local);
    return local == NULL;
}

/* Entries of L1 that @capacity needs */
static uint64_t
l1_entries(uint64_t capacity, uint32_t cluster_bits, bool extended_l2)
{
    uint32_t bits = 2 * cluster_bits - (extended_l2 ? 4 : 3);

    return (capacity + (UINT64_C(1) << bits) - 1) >> bits;
}

static bool
check_tables(const Header *header, GError **error)
{
    const uint8_t *data = header->data;
    bool extended = header->incompatible & QCOW2_INCOMPATIBLE_EXTENDED_L2;
    uint64_t mask = (UINT64_C(1) << header->cluster_bits) - 1;
    uint32_t l1_size = qcow2_get32(data + QCOW2_L1_SIZE);
    uint64_t reftable = qcow2_get32(data + QCOW2_REFTABLE_CLUSTERS);

    if (header->capacity == 0 || header->capacity % 512 != 0 ||
        header->capacity > VT_QCOW2_CAPACITY_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "QCOW2 size %" PRIu64 " is not a multiple of 512 up to %" PRIu64,
                        header->capacity, VT_QCOW2_CAPACITY_MAX);
    if (extended && header->cluster_bits < EXTENDED_L2_CLUSTER_BITS_MIN)
        return vt_throw(error, VT_ERROR_INVALID,
                        "QCOW2 cluster_bits is %u, too small for extended L2",
                        header->cluster_bits);
    if ((uint64_t)l1_size * 8 > L1_BYTES_MAX ||
        l1_size < l1_entries(header->capacity, header->cluster_bits, extended))
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 l1_size %u does not fit its size", l1_size);
    if (reftable == 0 || reftable << header->cluster_bits > REFTABLE_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 refcount_table_clusters is %" PRIu64,
                        reftable);
    if ((qcow2_get64(data + QCOW2_L1_OFFSET) & mask) ||
        (qcow2_get64(data + QCOW2_REFTABLE_OFFSET) & mask) ||
        qcow2_get64(data + QCOW2_L1_OFFSET) == 0 || qcow2_get64(data + QCOW2_REFTABLE_OFFSET) == 0)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 tables do not start at a cluster");
    return true;
}

bool
vt_qcow2_check_standalone(const uint8_t *header, size_t length, GError **error)
{
    Header h = {0};

    if (!read_header(header, length, &h, error))
        return false;
    if (h.backing_offset != 0 || h.backing_size != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "QCOW2 image has a backing file; flatten it with 'qemu-img convert'");
    if (qcow2_get32(header + QCOW2_CRYPT) != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "QCOW2 image is encrypted (crypt_method %u)",
                        qcow2_get32(header + QCOW2_CRYPT));
    if (qcow2_get32(header + QCOW2_SNAPSHOTS) != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "QCOW2 image has %u internal snapshots; delete them with 'qemu-img "
                        "snapshot -d'",
                        qcow2_get32(header + QCOW2_SNAPSHOTS));
    if (h.header_length % 8 != 0)
        return vt_throw(error, VT_ERROR_INVALID, "QCOW2 header_length is %u", h.header_length);
    return check_features(&h, error) && check_tables(&h, error) && check_extensions(&h, error);
}
