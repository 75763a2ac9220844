/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-progress.h: a bar that says how far, how fast and how long */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtcRate: speed, smoothed so that the time left does not jump about
 * @started_us: when the first sample was taken
 * @last_us: when the last one was
 * @last_done: what it said
 * @per_second: bytes; 0 as long as it is not known
 */
typedef struct {
    int64_t started_us;
    int64_t last_us;
    uint64_t last_done;
    double per_second;
} VtcRate;

/** vtc_rate_add: Takes a sample; @now_us: monotonic clock. A smaller @done starts anew */
void vtc_rate_add(VtcRate *rate, int64_t now_us, uint64_t done);

/** vtc_rate_left_us: Returns: microseconds until @total, -1 if that is not known */
int64_t vtc_rate_left_us(const VtcRate *rate, uint64_t total);

/**
 * vtc_progress_format:
 * @width: columns of the terminal
 *
 * Returns: (transfer full): at most @width - 1 columns:
 * `fetch  45% [#########-----------] 210.0 MiB of 463.2 MiB  120.3 MiB/s  0:02 left`; the bar
 * gives way first
 */
char *vtc_progress_format(const char *phase, const VtcRate *rate, uint64_t total, unsigned width);

/**
 * VtcProgress: the bar on stderr; nothing at all if that is no terminal
 */
typedef struct {
    bool on;
    bool drawn;
    int64_t drawn_us;
    VtcRate rate;
    char phase[24];
} VtcProgress;

/** vtc_progress_init: @wanted: false: never draw anything */
void vtc_progress_init(VtcProgress *progress, bool wanted);

/** vtc_progress_draw: Draws, at most five times a second */
void vtc_progress_draw(VtcProgress *progress, const char *phase, uint64_t done, uint64_t total);

/** vtc_progress_clear: Takes the bar off the terminal; to be called before anything is printed */
void vtc_progress_clear(VtcProgress *progress);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcProgress, vtc_progress_clear)
