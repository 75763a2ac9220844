/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-kernel.h: a kernel for a throw-away guest, and the modules it needs */
#pragma once

#include "vt-error.h"

/**
 * VtcKernel:
 * @image: path of the kernel
 * @modules: folder that has modules.dep
 */
typedef struct {
    char *image;
    char *modules;
} VtcKernel;
void vtc_kernel_clear(VtcKernel *kernel);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcKernel, vtc_kernel_clear)

/**
 * vtc_kernel_find:
 * @image: (nullable): path of a kernel; %NULL: the newest that can be read and has modules
 * @modules: (nullable): folder of its modules; %NULL: by the kernel's version
 * @error: %VT_ERROR_NOT_FOUND
 */
bool vtc_kernel_find(const char *image, const char *modules, VtcKernel *ret_kernel, GError **error);

/**
 * vtc_kernel_order:
 * @dep: modules.dep(5)
 * @builtin: modules.builtin: one path a line
 * @names: (array zero-terminated=1): what is needed, e.g. `virtio_blk`; a leading '?' says that it
 *   can be done without
 * @ret_paths: (out) (transfer full): in the order of loading, as in @dep
 * @error: %VT_ERROR_NOT_FOUND for a module that is in neither; %VT_ERROR_INVALID
 */
bool vtc_kernel_order(const char *dep, const char *builtin, const char *const *names,
                      char ***ret_paths, GError **error);
