/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-initramfs.h: archives of cpio "newc" for a kernel, made with libarchive */
#pragma once

#include "vt-error.h"

/**
 * VtcInitramfs: an archive in memory
 */
typedef struct VtcInitramfs VtcInitramfs;
VtcInitramfs *vtc_initramfs_new(void);
void vtc_initramfs_free(VtcInitramfs *archive);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcInitramfs, vtc_initramfs_free)

/** vtc_initramfs_add_folder: @name: without a leading '/' */
bool vtc_initramfs_add_folder(VtcInitramfs *archive, const char *name, GError **error);

/** vtc_initramfs_add: @name: of a file that can be run, without a leading '/' */
bool vtc_initramfs_add(VtcInitramfs *archive, const char *name, GBytes *bytes, GError **error);

/** vtc_initramfs_finish: @ret_fd: (out): a memory file with the archive; nothing can be added then
 */
bool vtc_initramfs_finish(VtcInitramfs *archive, int *ret_fd, GError **error);

/**
 * vtc_initramfs_unpacked:
 * @path: a file, compressed by gzip, xz, zstd ... or not at all
 * @limit: bytes when it is unpacked; more is %VT_ERROR_TOO_LARGE
 * @ret_bytes: (out) (transfer full): unpacked
 */
bool vtc_initramfs_unpacked(const char *path, size_t limit, GBytes **ret_bytes, GError **error);
