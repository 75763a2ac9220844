/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vtc-progress.h"

#include <string.h>

#define SECOND INT64_C(1000000)
#define MIB    (UINT64_C(1) << 20)

static void
test_steady(void)
{
    VtcRate rate = {0};

    for (int i = 0; i <= 50; i++)
        vtc_rate_add(&rate, SECOND + i * SECOND / 10, (uint64_t)i * MIB);
    g_assert_cmpfloat_with_epsilon(rate.per_second, 10.0 * MIB, 1);
    /* 50 MiB more at 10 MiB/s */
    g_assert_cmpint((vtc_rate_left_us(&rate, 100 * MIB) + 500) / 1000, ==, 5000);
    g_assert_cmpint(vtc_rate_left_us(&rate, 50 * MIB), ==, 0);
    g_assert_cmpint(vtc_rate_left_us(&rate, 10), ==, 0);
}

/* How often samples come makes no difference */
static void
test_sampling(void)
{
    VtcRate often = {0}, seldom = {0};

    for (int i = 0; i <= 400; i++) {
        uint64_t done = (uint64_t)(i <= 200 ? i : 200 + 4 * (i - 200)) * MIB;

        vtc_rate_add(&often, SECOND + i * SECOND / 40, done);
        if (i % 40 == 0)
            vtc_rate_add(&seldom, SECOND + i * SECOND / 40, done);
    }
    g_assert_cmpfloat_with_epsilon(often.per_second / MIB, seldom.per_second / MIB, 0.5);
    g_assert_cmpfloat(often.per_second, >, 100.0 * MIB);
    g_assert_cmpfloat(often.per_second, <, 160.0 * MIB);
}

static void
test_unknown(void)
{
    VtcRate rate = {0};

    g_assert_cmpint(vtc_rate_left_us(&rate, MIB), ==, -1);
    vtc_rate_add(&rate, SECOND, 0);
    g_assert_cmpint(vtc_rate_left_us(&rate, MIB), ==, -1);
    /* two samples at the same time say nothing, and divide by nothing */
    vtc_rate_add(&rate, SECOND, MIB / 2);
    g_assert_cmpint(vtc_rate_left_us(&rate, MIB), ==, -1);
    vtc_rate_add(&rate, 2 * SECOND, MIB / 2);
    g_assert_cmpint(vtc_rate_left_us(&rate, MIB), >, 0);
    /* a smaller figure is another transfer */
    vtc_rate_add(&rate, 3 * SECOND, 1);
    g_assert_cmpfloat(rate.per_second, ==, 0);
    g_assert_cmpint(vtc_rate_left_us(&rate, UINT64_MAX), ==, -1);
}

static void
test_format(void)
{
    const VtcRate rate = {SECOND, 2 * SECOND, 210 * MIB, 120.0 * MIB};
    g_autofree char *wide = vtc_progress_format("fetch", &rate, 420 * MIB, 80);
    g_autofree char *narrow = vtc_progress_format("fetch", &rate, 420 * MIB, 60);

    g_assert_cmpstr(
        wide, ==,
        "fetch  50% [#########----------] 210.0 MiB of 420.0 MiB  120.0 MiB/s  0:02 left");
    g_assert_cmpstr(narrow, ==, "fetch  50% 210.0 MiB of 420.0 MiB  120.0 MiB/s  0:02 left");
    for (unsigned width = 1; width < 200; width++) {
        g_autofree char *line = vtc_progress_format("fetch", &rate, 420 * MIB, width);

        g_assert_cmpuint(strlen(line), <, width);
    }
}

/* More than all, nothing of nothing, and no terminal width */
static void
test_format_odd(void)
{
    const VtcRate over = {SECOND, 2 * SECOND, 500 * MIB, 0}, none = {0};
    g_autofree char *full = vtc_progress_format("x", &over, 420 * MIB, 80);
    g_autofree char *empty = vtc_progress_format("x", &none, 0, 80);
    g_autofree char *endless = vtc_progress_format("x", &none, UINT64_MAX, 80);

    g_assert_true(g_str_has_prefix(full, "x 100% [####"));
    g_assert_null(strchr(full, '-'));
    g_assert_true(g_str_has_prefix(empty, "x   0% ["));
    g_assert_nonnull(strstr(endless, "--:-- left"));
}

/* A test's standard error may be a terminal */
static void
test_off(void)
{
    VtcProgress progress;

    vtc_progress_init(&progress, false);
    vtc_progress_draw(&progress, "x", 1, 2);
    g_assert_false(progress.drawn);
    vtc_progress_clear(&progress);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cli-progress/steady", test_steady);
    g_test_add_func("/cli-progress/sampling", test_sampling);
    g_test_add_func("/cli-progress/unknown", test_unknown);
    g_test_add_func("/cli-progress/format", test_format);
    g_test_add_func("/cli-progress/format-odd", test_format_odd);
    g_test_add_func("/cli-progress/off", test_off);
    return g_test_run();
}
