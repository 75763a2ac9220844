/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-upload.h: seeds that are made of what somebody has put into a volume */
#pragma once

#include "vtd-worker.h"

/**
 * vtd_upload_take:
 * @name: of a volume that vt_upload_list() names
 * @error: why it cannot be one, which is also kept beside it; %VT_ERROR_BUSY: not complete yet
 *
 * Makes an ISO image of the file, in its place. Blocks, so it belongs in a thread.
 */
bool vtd_upload_take(const VtdWorkerConfig *config, const char *target, const char *name,
                     GError **error);
