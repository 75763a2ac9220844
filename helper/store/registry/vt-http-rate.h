/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-rate.h: how much all transfers together may receive by now */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtHttpRate: zeroed: there is no limit
 * @per_second: bytes, 0: no limit
 * @credit: bytes that may be taken at @counted_at, in microseconds; below 0 after a large one
 */
typedef struct {
    uint64_t per_second;
    int64_t credit;
    gint64 counted_at;
} VtHttpRate;

void vt_http_rate_set(VtHttpRate *rate, uint64_t per_second);

/** vt_http_rate_take: Returns: whether @length bytes may be taken now; then they are counted */
bool vt_http_rate_take(VtHttpRate *rate, size_t length);

/** vt_http_rate_wait_ms: Returns: how long until anything may be taken; 0: now */
int vt_http_rate_wait_ms(VtHttpRate *rate);
