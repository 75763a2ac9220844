/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-fill.h: what a layer has in common with a disk that is here already */
#pragma once

#include "vt-chain.h"

#include <gio/gio.h>

/**
 * vt_fill_layer:
 * @index: of the layer
 * @chain: its first ancestor is the disk
 * @fd: the layer's file, not yet begun, see vt_layer_file_begin()
 *
 * Writes what the disk has at the same place to where the layer has it. Nothing of this is
 * verified: who goes on with the file compares each frame with its digest, as after a transfer that
 * was cut.
 */
bool vt_fill_layer(const VtIndex *index, const VtChain *chain, int fd, GCancellable *cancellable,
                   GError **error);
