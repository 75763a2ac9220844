/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-salvage.h: what can still be read of a damaged file goes into a new one */
#pragma once

#include "vt-error.h"

/**
 * vt_salvage:
 * @from: the damaged file
 * @to: an empty regular file, opened for writing
 * @go_on: called now and then; returns false to stop
 *
 * Shares the data where the file system can, else copies it. Holes stay holes, and what cannot be
 * read becomes one.
 *
 * @error: %VT_ERROR_NO_SPACE, before anything was copied if that can be told; %VT_ERROR_FAILED when
 * stopped
 */
bool vt_salvage(int from, int to, bool (*go_on)(void *user), void *user, GError **error);
