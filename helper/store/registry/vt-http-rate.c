/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-rate.c: how much all transfers together may receive by now */
#include "vt-http-rate.h"

/* What was not used is kept for this long: a moment without data costs nothing, a pause is not made
 * up for */
#define BURST_MS 100

void
vt_http_rate_set(VtHttpRate *rate, uint64_t per_second)
{
    rate->per_second = per_second;
    rate->credit = 0;
    rate->counted_at = g_get_monotonic_time();
}

static void
add_credit(VtHttpRate *rate)
{
    const gint64 now = g_get_monotonic_time();
    /* more than a second changes nothing, and might not fit */
    const gint64 passed = MIN(now - rate->counted_at, G_USEC_PER_SEC);
    const int64_t most = (int64_t)(rate->per_second / 1000 * BURST_MS);

    rate->counted_at = now;
    rate->credit += (int64_t)((double)rate->per_second * (double)passed / G_USEC_PER_SEC);
    rate->credit = MIN(rate->credit, most);
}

bool
vt_http_rate_take(VtHttpRate *rate, size_t length)
{
    if (rate->per_second == 0)
        return true;
    add_credit(rate);
    if (rate->credit <= 0)
        return false;
    rate->credit -= (int64_t)length;
    return true;
}

int
vt_http_rate_wait_ms(VtHttpRate *rate)
{
    if (rate->per_second == 0)
        return 0;
    add_credit(rate);
    if (rate->credit > 0)
        return 0;
    return (int)MIN(1 - rate->credit * 1000 / (int64_t)rate->per_second, 1000);
}
