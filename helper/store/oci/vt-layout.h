/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layout.h: an OCI image layout directory; only vt-layout*.c include this */
#pragma once

#include "vt-oci-index.h"
#include "vt-store-ops.h"

/*
 * Theory of operation. A layout (image-spec image-layout.md) is
 *
 *     oci-layout                 {"imageLayoutVersion":"1.0.0"}
 *     index.json                 an image index; an entry's annotation ref.name is its tag
 *     blobs/sha256/<64 hex>      manifests and blobs
 *
 * One layout holds all templates, so that they share blobs; therefore a tag carries its
 * repository: `debian-12/1.2.0`, `catalog/latest`, `debian-12/sha256-<hex>.sig`. That form is
 * addressed by `skopeo ... oci:/path:debian-12/1.2.0` and `oras ... --oci-layout
 * /path:debian-12/1.2.0`. With ':' in place of '/' only skopeo works, oras splits at the last ':'.
 * skopeo's grammar of references has no `__` and no `---`, so it cannot address such names.
 *
 * The directory may be writable by others while it is read: each file is opened once, below the
 * directory, through no symbolic link, and must be regular; no content is remembered.
 */

/* Blob files kept open for ranges; a layer's chain is read from few blobs at a time */
#define VT_LAYOUT_OPEN_MAX 8

typedef struct {
    char digest[VT_DIGEST_STRING_MAX];
    int fd;
    uint64_t size;
} VtLayoutBlob;

/**
 * VtLayout:
 * @path: for messages
 * @dir_fd: the directory
 * @pending: (element-type VtRange): not read yet
 * @open: ring of blobs, @next is the one to be replaced
 */
typedef struct {
    VtStore store;
    char *path;
    int dir_fd;
    GQueue pending;
    VtLayoutBlob open[VT_LAYOUT_OPEN_MAX];
    unsigned next;
} VtLayout;

/** vt_layout_open_file: @path: below the layout; regular files only. @ret_size: (out) */
bool vt_layout_open_file(VtLayout *layout, const char *path, int *ret_fd, uint64_t *ret_size,
                         GError **error);

/** vt_layout_open_dir: @ret_fd: (out): a directory below the layout, or "." */
bool vt_layout_open_dir(VtLayout *layout, const char *path, int *ret_fd, GError **error);

/** vt_layout_read_index: @ret_index: (out) (transfer full): index.json as it is now */
bool vt_layout_read_index(VtLayout *layout, json_t **ret_index, GError **error);

/** vt_layout_read_document: The bytes of the manifest that @descriptor names */
bool vt_layout_read_document(VtLayout *layout, const json_t *descriptor, GBytes **ret_bytes,
                             GError **error);

/** vt_layout_find: @ret_descriptor: (out) (transfer none): what @tag of @repository names */
bool vt_layout_find(const json_t *index, const char *repository, const char *tag,
                    const json_t **ret_descriptor, GError **error);

/* vt-layout-write.c */
bool vt_layout_has_blob(VtStore *store, const char *repository, const VtDigest *digest,
                        bool *ret_has, GError **error);
bool vt_layout_blob_begin(VtStore *store, int *ret_fd, GError **error);
bool vt_layout_put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest,
                        GError **error);
bool vt_layout_put_manifest(VtStore *store, const VtStoreManifest *manifest, GError **error);
