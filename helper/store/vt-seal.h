/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal.h: layers that nobody can alter: fs-verity, or the immutable flag */
#pragma once

#include "vt-error.h"

/**
 * VtSeal:
 * @VT_SEAL_NONE: mode 0444 alone
 * @VT_SEAL_IMMUTABLE: FS_IMMUTABLE_FL: no write, chown, link or unlink until it is cleared
 * @VT_SEAL_VERITY: fs-verity: content can never change again; owner and labels can
 */
typedef enum {
    VT_SEAL_NONE = 0,
    VT_SEAL_IMMUTABLE,
    VT_SEAL_VERITY,
} VtSeal;

/** vt_seal_name: Returns: `none`, `immutable` or `fs-verity` */
const char *vt_seal_name(VtSeal seal);

/**
 * vt_seal_apply:
 * @fd: the only open descriptor of a complete regular file, opened read-only
 * @ret_seal: (out): the strongest seal that kernel, file system and privileges allow. The immutable
 *   flag is not used while SELinux is enforcing: libvirt must be able to relabel
 * @ret_reason: (out) (transfer full) (nullable): why it is not a stronger one
 *
 * A file that is sealed already stays as it is.
 */
void vt_seal_apply(int fd, VtSeal *ret_seal, char **ret_reason);

/** vt_seal_query: Returns: how the file @fd is sealed */
VtSeal vt_seal_query(int fd);

/**
 * vt_seal_open: Clears the immutable flag, so that the file can get another link, or lose one.
 * Content under fs-verity stays sealed, which hinders neither.
 */
bool vt_seal_open(int fd, GError **error);

/**
 * vt_seal_probe:
 * @dir_fd: a directory on the file system in question
 *
 * Seals an unnamed file there, to know. Returns: false if none can be made
 */
bool vt_seal_probe(int dir_fd, VtSeal *ret_seal, char **ret_reason, GError **error);
