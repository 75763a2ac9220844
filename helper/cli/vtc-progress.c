/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-progress.c: a bar that says how far, how fast and how long
 *
 * Theory of operation. The rate is an exponential average: a sample that covers t seconds has the
 * weight 1 - exp(-t / SMOOTH_S), so it does not matter how often samples come.
 */
#include "vtc-progress.h"

#include "vtc-print.h"

#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define US_PER_S 1e6
/* What happened longer ago hardly counts */
#define SMOOTH_S 3.0
/* Shorter samples say nothing about the rate */
#define SAMPLE_MIN_US 20000
#define REDRAW_US     200000
#define WIDTH_DEFAULT 80
#define BAR_MIN       8
#define BAR_MAX       40

void
vtc_rate_add(VtcRate *rate, int64_t now_us, uint64_t done)
{
    double seconds, sample, weight;

    if (rate->started_us == 0 || done < rate->last_done) {
        *rate = (VtcRate){.started_us = now_us, .last_us = now_us, .last_done = done};
        return;
    }
    if (now_us - rate->last_us < SAMPLE_MIN_US)
        return;
    seconds = (double)(now_us - rate->last_us) / US_PER_S;
    sample = (double)(done - rate->last_done) / seconds;
    weight = rate->per_second > 0 ? 1 - exp(-seconds / SMOOTH_S) : 1;
    rate->per_second += weight * (sample - rate->per_second);
    rate->last_us = now_us;
    rate->last_done = done;
}

int64_t
vtc_rate_left_us(const VtcRate *rate, uint64_t total)
{
    double left;

    if (rate->last_done >= total)
        return 0;
    if (rate->per_second < 1)
        return -1;
    left = (double)(total - rate->last_done) / rate->per_second * US_PER_S;
    return left < (double)INT64_MAX / 2 ? (int64_t)left : -1;
}

static char *
format_left(const VtcRate *rate, uint64_t total)
{
    int64_t left = vtc_rate_left_us(rate, total);

    if (left < 0)
        return g_strdup("--:-- left");
    left = (left + 999999) / 1000000;
    if (left >= 3600)
        return g_strdup_printf("%d:%02d:%02d left", (int)(left / 3600), (int)(left / 60 % 60),
                               (int)(left % 60));
    return g_strdup_printf("%d:%02d left", (int)(left / 60), (int)(left % 60));
}

static void
add_bar(GString *line, uint64_t done, uint64_t total, unsigned length)
{
    unsigned full = total > 0 ? (unsigned)((double)done / (double)total * length) : 0;

    g_string_append(line, " [");
    for (unsigned i = 0; i < length; i++)
        g_string_append_c(line, i < full ? '#' : '-');
    g_string_append_c(line, ']');
}

char *
vtc_progress_format(const char *phase, const VtcRate *rate, uint64_t total, unsigned width)
{
    uint64_t done = MIN(rate->last_done, total);
    int percent = total > 0 ? (int)((double)done / (double)total * 100) : 0;
    g_autofree char *now = vtc_print_size(done), *all = vtc_print_size(total);
    g_autofree char *speed = vtc_print_size((uint64_t)rate->per_second);
    g_autofree char *left = format_left(rate, total);
    g_autofree char *tail = g_strdup_printf(" %s of %s  %s/s  %s", now, all, speed, left);
    GString *line = g_string_new(NULL);
    glong room;

    g_string_printf(line, "%s %3d%%", phase, percent);
    room = (glong)width - 1 - (glong)line->len - g_utf8_strlen(tail, -1) - 3;
    if (room >= BAR_MIN)
        add_bar(line, done, total, (unsigned)MIN(room, BAR_MAX));
    g_string_append(line, tail);
    if (width > 0 && line->len > width - 1)
        g_string_truncate(line, width - 1);
    return g_string_free(line, FALSE);
}

static unsigned
terminal_width(void)
{
    struct winsize size = {0};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return WIDTH_DEFAULT;
}

void
vtc_progress_init(VtcProgress *progress, bool wanted)
{
    *progress = (VtcProgress){.on = wanted && isatty(STDERR_FILENO) == 1};
}

void
vtc_progress_draw(VtcProgress *progress, const char *phase, uint64_t done, uint64_t total)
{
    int64_t now = g_get_monotonic_time();
    g_autofree char *line = NULL;

    if (!progress->on || total == 0)
        return;
    if (g_strcmp0(progress->phase, phase) != 0) {
        g_autofree char *plain = vtc_print_plain(phase);

        g_strlcpy(progress->phase, plain, sizeof(progress->phase));
        progress->rate = (VtcRate){0};
    }
    vtc_rate_add(&progress->rate, now, done);
    if (progress->drawn && now - progress->drawn_us < REDRAW_US)
        return;
    line = vtc_progress_format(progress->phase, &progress->rate, total, terminal_width());
    g_printerr("\r\033[K%s", line);
    progress->drawn = true;
    progress->drawn_us = now;
}

void
vtc_progress_clear(VtcProgress *progress)
{
    if (progress->drawn)
        g_printerr("\r\033[K");
    progress->drawn = false;
}
