/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-copy.h: a full copy of a template that is here */
#pragma once

#include "vt-digest.h"
#include "vt-disk-copy.h"
#include "vtd-job.h"
#include "vtd-worker.h"

/**
 * VtdCopy: all that the job's thread may look at
 * @layers: (element-type VtDigest): of the template's chain, base first
 * @output_fd: owned; an empty regular file
 * @capacity, @format, @must_reflink: see #VtDiskCopy
 */
typedef struct {
    const VtdWorkerConfig *workers;
    char *target;
    char *name;
    char *version;
    GArray *layers;
    int output_fd;
    VtDiskFormat format;
    uint64_t capacity;
    bool must_reflink;
} VtdCopy;
void vtd_copy_free(VtdCopy *copy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdCopy, vtd_copy_free)

/** vtd_copy_run: The body of a copy job; on failure the file is empty again */
bool vtd_copy_run(VtdJob *job, VtdCopy *copy, GError **error);
