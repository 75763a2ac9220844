/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-restore.h: the layers of a published template as files, to encode or to compare against */
#pragma once

#include "vt-chain.h"
#include "vt-store.h"

#include <glib.h>

/** VtRestore: the files of a chain; unnamed, so that their space is given back with the process */
typedef struct VtRestore VtRestore;
void vt_restore_free(VtRestore *restore);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtRestore, vt_restore_free)

/**
 * VtRestoreJob:
 * @repository: where the blobs are
 * @layers: (element-type VtTemplateLayer): base first, of a manifest whose digest was checked
 * @progress: (nullable): bytes of content written of @total, from another thread
 */
typedef struct {
    VtStore *store;
    const char *repository;
    GPtrArray *layers;
    GCancellable *cancellable;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} VtRestoreJob;

/**
 * vt_restore_layers:
 *
 * Fetches the layers into files in $TMPDIR or /var/tmp. Each index and each frame has the digest
 * that the manifest, and the index, name. After a failure the store must not be used any more.
 *
 * @error: names the layer and the blob
 */
bool vt_restore_layers(const VtRestoreJob *job, VtRestore **ret_restore, GError **error);

/** vt_restore_ancestors: Returns: (transfer none): the parent first */
const VtAncestor *vt_restore_ancestors(const VtRestore *restore, uint32_t *ret_count);
