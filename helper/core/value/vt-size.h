/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-size.h: sizes and rates as people write them */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/* Slower than this a connection cannot be told from one that is dead; bytes per second */
#define VT_RATE_MIN (UINT64_C(16) << 10)

/** vt_size_parse: `20G`, in binary units K, M, G, T. Returns: whether it is one; @ret: bytes */
bool vt_size_parse(const char *text, uint64_t *ret);

/** vt_rate_check: @rate: bytes per second */
bool vt_rate_check(uint64_t rate, GError **error);

/** vt_rate_parse: `10M`, per second; @ret: bytes per second */
bool vt_rate_parse(const char *text, uint64_t *ret, GError **error);
