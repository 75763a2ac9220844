/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-upload.h: what somebody has put into a volume NAME-seed.iso, as the files of a seed */
#pragma once

#include "vt-seed.h"

/* Bytes that are read of a volume; a seed is a few KiB */
#define VT_UPLOAD_MAX (8u << 20)
/* Files of an archive */
#define VT_UPLOAD_FILES_MAX 32

/**
 * VtUpload:
 * @label: (nullable): of the volume; %NULL: there is nothing to be made, it is empty or an ISO
 * image
 * @files: (nullable) (element-type VtSeedFile)
 */
typedef struct {
    const char *label;
    GPtrArray *files;
} VtUpload;
void vt_upload_clear(VtUpload *upload);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtUpload, vt_upload_clear)

/**
 * vt_upload_read:
 * @name: of the volume
 * @bytes: user-data, or a tar archive of user-data, meta-data, vendor-data and network-config, of
 *   openstack/..., or of Unattend.xml; zeros behind it, up to the volume's size, do not count
 * @error: %VT_ERROR_INVALID: something else, a malformed document, an archive with anything but
 *   regular files; %VT_ERROR_TOO_LARGE
 *
 * Without meta-data of its own, the instance-id follows from @name and @bytes: what is uploaded
 * again changed is another instance.
 */
bool vt_upload_read(const char *name, GBytes *bytes, VtUpload *ret_upload, GError **error);
