/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-batch.h: work on many things at the same time, until one fails */
#pragma once

#include "vt-error.h"

/** VtcBatchWork: Any thread. On failure it leaves nothing of @item behind */
typedef bool (*VtcBatchWork)(gpointer item, gpointer user_data, GError **error);

/**
 * vtc_batch_run:
 * @items: in the order in which they are begun
 * @done: (in) (out): gets the items that are done, whatever the result
 * @error: the first; items that were not begun by then are left out
 */
bool vtc_batch_run(const GPtrArray *items, VtcBatchWork work, gpointer user_data, GPtrArray *done,
                   GError **error);
