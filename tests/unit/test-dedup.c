/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-dedup.c: what was added is found, with others that look the same */
#include "vt-dedup.h"

#include <string.h>

#define MANY 400000u

static uint64_t
hash_of(uint32_t number)
{
    uint64_t block[4096 / sizeof(uint64_t)] = {number};

    return vt_block_hash((const uint8_t *)block);
}

/* Whether @value is among what is found; @ret_others: (nullable): how many others are */
static bool
finds(const VtDedup *dedup, uint64_t hash, uint32_t value, guint *ret_others)
{
    uint64_t cursor = 0;
    uint32_t found;
    bool any = false;
    guint others = 0;

    while (vt_dedup_next(dedup, hash, &cursor, &found)) {
        any = any || found == value;
        others += found != value;
    }
    if (ret_others)
        *ret_others = others;
    return any;
}

static void
test_many(void)
{
    g_autoptr(VtDedup) dedup = vt_dedup_new();
    guint others = 0, all = 0, unknown = 0;

    for (uint32_t i = 0; i < MANY; i++)
        vt_dedup_add(dedup, hash_of(i), VT_DEDUP_VALUE_MAX - i);
    for (uint32_t i = 0; i < MANY; i++) {
        g_assert_true(finds(dedup, hash_of(i), VT_DEDUP_VALUE_MAX - i, &others));
        all += others;
        unknown += vt_dedup_has(dedup, hash_of(i + MANY));
    }
    /* 2^32 marks: of MANY * MANY pairs, 37 look the same */
    g_assert_cmpuint(all, <, 200);
    g_assert_cmpuint(unknown, <, 200);
}

static void
test_same_mark(void)
{
    g_autoptr(VtDedup) dedup = vt_dedup_new();
    guint others = 0;

    g_assert_false(vt_dedup_has(dedup, 7));
    for (uint32_t i = 0; i < 5; i++)
        vt_dedup_add(dedup, UINT64_C(0x1234567800000000) + i, i);
    vt_dedup_add(dedup, 3, 99);
    for (uint32_t i = 0; i < 5; i++) {
        g_assert_true(finds(dedup, UINT64_C(0x1234567800000000), i, &others));
        g_assert_cmpuint(others, ==, 4);
    }
    /* whose mark would be that of an empty slot */
    g_assert_true(finds(dedup, 3, 99, NULL));
    g_assert_false(finds(dedup, UINT64_C(0x1234567900000000), 0, NULL));
}

static void
test_zero(void)
{
    uint64_t block[4096 / sizeof(uint64_t)] = {0};

    g_assert_true(vt_block_is_zero((const uint8_t *)block));
    for (gsize i = 0; i < G_N_ELEMENTS(block); i++) {
        block[i] = UINT64_C(1) << (i % 64);
        g_assert_false(vt_block_is_zero((const uint8_t *)block));
        block[i] = 0;
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dedup/many", test_many);
    g_test_add_func("/dedup/same-mark", test_same_mark);
    g_test_add_func("/dedup/zero", test_zero);
    return g_test_run();
}
