/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal.h: layers that nobody can alter: fs-verity, the immutable flag, a read-only mount */
#pragma once

#include "vt-seal-manager.h"

/**
 * VtSeal: flags
 * @VT_SEAL_NONE: mode 0444 alone
 * @VT_SEAL_IMMUTABLE: FS_IMMUTABLE_FL: no write, chown, link or unlink until it is cleared
 * @VT_SEAL_VERITY: fs-verity: content can never change again; owner and labels can
 * @VT_SEAL_MOUNT: a read-only mount over the name: nothing can change through this name
 */
typedef enum {
    VT_SEAL_NONE = 0,
    VT_SEAL_IMMUTABLE = 1 << 0,
    VT_SEAL_VERITY = 1 << 1,
    VT_SEAL_MOUNT = 1 << 2,
} VtSeal;

/** vt_seal_holds: Returns: whether neither content nor owner and mode can change */
bool vt_seal_holds(VtSeal seal);

/** vt_seal_is_right: Returns: whether vt_seal_apply() would leave it as it is */
bool vt_seal_is_right(VtSeal seal);

/** vt_seal_name: Returns: `none`, `immutable`, `fs-verity, immutable`, ... */
const char *vt_seal_name(VtSeal seal);

/**
 * vt_seal_apply:
 * @fd: the only open descriptor of a complete regular file, opened read-only by the name that is to
 *   be protected
 * @manager: that is asked for mounts
 * @ret_seal: (out): what kernel, file system and privileges allow
 * @ret_reason: (out) (transfer full) (nullable): why it is not a stronger one
 *
 * fs-verity keeps the content. Owner, mode and labels are kept by the immutable flag; where that
 * cannot be, or SELinux has to be told with EROFS that there is nothing to relabel, by a read-only
 * mount over the name. A file that is sealed already stays as it is.
 */
void vt_seal_apply(int fd, VtSealManager *manager, VtSeal *ret_seal, char **ret_reason);

/** vt_seal_query: Returns: how the file @fd is sealed under the name by which it was opened */
VtSeal vt_seal_query(int fd);

/**
 * vt_seal_open: Clears the immutable flag, or removes the mount, so that the file can get another
 * link, or lose the name by which @fd was opened. @fd then reads as before, but is good for no
 * further call of these. Content under fs-verity stays sealed, which hinders neither.
 */
bool vt_seal_open(int fd, VtSealManager *manager, GError **error);

/**
 * vt_seal_probe:
 * @dir_fd: a directory on the file system in question
 *
 * Seals a file there, to know. Returns: false if none can be made
 */
bool vt_seal_probe(int dir_fd, VtSeal *ret_seal, char **ret_reason, GError **error);
