/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest.h: the files of the throw-away guest of virt-template prepare */
#pragma once

#include "vtc-prepare.h"

/**
 * vtc_guest_check_static:
 * @program: bytes of an ELF file of 64 bits, this machine's byte order
 * @error: %VT_ERROR_INVALID when it is none, or needs an interpreter
 */
bool vtc_guest_check_static(GBytes *program, GError **error);

/**
 * vtc_guest_busybox:
 * @ret_bytes: (out) (transfer full): the host's static busybox
 * @error: %VT_ERROR_NOT_FOUND
 */
bool vtc_guest_busybox(GBytes **ret_bytes, GError **error);

/** vtc_guest_operations: Returns: (transfer full): names of what the script does, with blanks */
char *vtc_guest_operations(const VtcPrepare *prepare);

/** vtc_guest_job: Returns: (transfer full): what the guest's first process reads from /job */
char *vtc_guest_job(const VtcPrepare *prepare);

/** vtc_guest_files: @ret_kernel_fd, @ret_initrd_fd: (out): memory files */
bool vtc_guest_files(const VtcPrepare *prepare, int *ret_kernel_fd, int *ret_initrd_fd,
                     GError **error);
