/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store-copy.c: a blob of one repository into another one of the same store */
#include "vt-store-copy.h"

#include "vt-fs.h"
#include "vt-sha256.h"
#include "vt-store-ops.h"

/* Read at once; bytes */
#define PART_SIZE (4u << 20)

typedef struct {
    bool ended;
    GError *failure;
} Part;

static void
part_ended(void *user, const GError *error)
{
    Part *part = user;

    part->ended = true;
    part->failure = error ? g_error_copy(error) : NULL;
}

static bool
read_part(VtStore *store, const VtBlobCopy *copy, uint64_t offset, GBytes **ret, GError **error)
{
    const uint32_t length = (uint32_t)MIN(PART_SIZE, copy->size - offset);
    g_autofree uint8_t *buffer = g_malloc(length);
    Part part = {0};
    const VtStoreRange range = {.repository = copy->from,
                                .digest = copy->digest,
                                .blob_size = copy->size,
                                .offset = offset,
                                .length = length,
                                .buffer = buffer,
                                .done = part_ended,
                                .user = &part};

    vt_store_start_range(store, &range);
    while (!part.ended)
        vt_store_dispatch(store, -1, -1);
    if (part.failure) {
        g_propagate_error(error, part.failure);
        return false;
    }
    *ret = g_bytes_new_take(g_steal_pointer(&buffer), length);
    return true;
}

/* Into @fd, checked */
static bool
read_blob(VtStore *store, const VtBlobCopy *copy, int fd, GError **error)
{
    g_autoptr(VtSha256) hash = vt_sha256_new();
    char found[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    for (uint64_t offset = 0; offset < copy->size; offset += PART_SIZE) {
        g_autoptr(GBytes) part = NULL;
        gsize length;
        const void *data;

        if (!read_part(store, copy, offset, &part, error))
            return false;
        data = g_bytes_get_data(part, &length);
        vt_sha256_update(hash, data, length);
        if (!vt_fs_write_all(fd, data, length, "blob", error))
            return false;
    }
    vt_sha256_finish(hash, &digest);
    return g_str_equal(vt_digest_format(&digest, found), copy->digest) ||
           vt_throw(error, VT_ERROR_CORRUPT,
                    "blob %s in '%s' does not have its digest: it is damaged", copy->digest,
                    copy->from);
}

bool
vt_store_copy_blob(VtStore *store, const VtBlobCopy *copy, GError **error)
{
    vt_autofd fd = -1;
    bool done = false;

    if (!vt_store_has_blob(store, copy->repository, copy->digest, &done, error))
        return false;
    if (!done && store->ops->mount_blob)
        done = store->ops->mount_blob(store, copy);
    return done || (vt_store_blob_begin(store, &fd, error) && read_blob(store, copy, fd, error) &&
                    vt_store_blob_commit(store, copy->repository, fd, copy->digest, copy->size,
                                         NULL, NULL, error));
}
