/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store-copy.h: a blob of one repository into another one of the same store */
#pragma once

#include "vt-store.h"

/**
 * VtBlobCopy:
 * @from: a repository that has the blob
 * @repository: to put it into
 * @digest: `sha256:<hex>`
 * @size: bytes
 */
typedef struct {
    const char *from;
    const char *repository;
    const char *digest;
    uint64_t size;
} VtBlobCopy;

/**
 * vt_store_copy_blob:
 *
 * Nothing if it is there. Else the store does it if it can (a registry's cross-repository mount);
 * else the blob is read, checked and written.
 */
bool vt_store_copy_blob(VtStore *store, const VtBlobCopy *copy, GError **error);
