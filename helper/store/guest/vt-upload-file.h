/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-upload-file.h: volumes NAME-seed.iso that somebody has put something into */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtUploadFile: a volume that nobody has open for writing, until it is cleared
 * @fd: read-only, from its beginning
 * @size: bytes
 */
typedef struct {
    int dir_fd;
    int records_fd;
    int fd;
    uint64_t size;
    char *name;
    unsigned mode;
    unsigned uid;
    unsigned gid;
} VtUploadFile;
void vt_upload_file_clear(VtUploadFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtUploadFile, vt_upload_file_clear)

/**
 * vt_upload_list:
 * @ret_names: (out) (transfer full): files `NAME-seed.iso` of @target with data in them that are
 *   neither seeds of domains nor ISO images; for the others, what vt_upload_refuse() kept goes
 */
bool vt_upload_list(const char *target, GPtrArray **ret_names, GError **error);

/**
 * vt_upload_open:
 * @ret_file: (out)
 * @error: %VT_ERROR_BUSY: it is still being written, or another thread has it
 */
bool vt_upload_open(const char *target, const char *name, VtUploadFile *ret_file, GError **error);

/** vt_upload_replace: Puts @image in the place of the file, with its owner and mode */
bool vt_upload_replace(const VtUploadFile *file, GBytes *image, GError **error);

/**
 * vt_upload_refuse:
 * @reason: (nullable): why the file is no seed, kept as `.seeds/NAME-seed.iso.refused`, where the
 *   libvirt module finds it; %NULL: it is fine
 */
bool vt_upload_refuse(const VtUploadFile *file, const char *reason, GError **error);
