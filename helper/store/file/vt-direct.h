/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-direct.h: large writes past the page cache, into space that is reserved */
#pragma once

#include "vt-error.h"

#include <stdint.h>
#include <stdlib.h>

/* O_DIRECT wants memory aligned to the device's block; all have at most a page */
#define VT_DIRECT_ALIGN 4096u

/** vt_aligned_new: Returns: (transfer full): @size bytes for O_DIRECT, not cleared; free() it */
uint8_t *vt_aligned_new(size_t size);

static inline void
vt_aligned_free(uint8_t **memory)
{
    free(*memory);
}
#define vt_autoaligned __attribute__((cleanup(vt_aligned_free)))

/** vt_direct_set: Turns O_DIRECT on or off. On can fail (tmpfs): then the page cache does the work
 */
void vt_direct_set(int fd, bool on);

/**
 * vt_direct_fallocate: fallocate() that does not change the file's size
 * @mode: 0 or %FALLOC_FL_PUNCH_HOLE
 * @range: bytes from, and up to
 * @ret_can: becomes false if the file system cannot do this
 *
 * @error: %VT_ERROR_NO_SPACE
 */
bool vt_direct_fallocate(int fd, int mode, const uint64_t range[2], bool *ret_can, GError **error);
