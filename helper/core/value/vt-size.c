/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-size.c: sizes and rates as people write them */
#include "vt-size.h"

#include <inttypes.h>
#include <string.h>

#define SIZE_PATTERN "^([1-9][0-9]{0,18})([KMGT]?)$"

bool
vt_size_parse(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    guint64 value = g_ascii_strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

    if (!g_regex_match_simple(SIZE_PATTERN, text, G_REGEX_DOLLAR_ENDONLY, 0) ||
        value > (UINT64_MAX >> shift >> 1))
        return false;
    *ret = value << shift;
    return true;
}

bool
vt_rate_check(uint64_t rate, GError **error)
{
    return rate >= VT_RATE_MIN ||
           vt_throw(error, VT_ERROR_INVALID,
                    "a rate of %" PRIu64 " bytes per second is too low: the least is %" PRIu64 "K",
                    rate, VT_RATE_MIN >> 10);
}

bool
vt_rate_parse(const char *text, uint64_t *ret, GError **error)
{
    uint64_t rate;

    if (!vt_size_parse(text, &rate))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' is not a rate such as 10M, per second",
                        text);
    if (!vt_rate_check(rate, error))
        return false;
    *ret = rate;
    return true;
}
