/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-dedup.c: which blocks were seen before */
#include "vt-dedup.h"

#include <string.h>

/*
 * Open addressing. A slot is the upper half of the hash, which also says where it belongs, and the
 * value. At most three quarters are used: longer probes stay in a cache line or two, and a block
 * costs 11 to 21 bytes.
 */
#define INITIAL_SLOTS (1u << 16)
#define BLOCK_WORDS   (4096 / sizeof(uint64_t))
/* Independent lanes keep the multiplier busy */
#define LANES 4

/* mark << 32 | value; 0 is an empty slot, as a mark is never 0 */
typedef uint64_t Slot;

struct VtDedup {
    Slot *slots;
    uint64_t mask;
    uint64_t used;
};

VtDedup *
vt_dedup_new(void)
{
    VtDedup *dedup = g_new0(VtDedup, 1);

    dedup->slots = g_new0(Slot, INITIAL_SLOTS);
    dedup->mask = INITIAL_SLOTS - 1;
    return dedup;
}

void
vt_dedup_free(VtDedup *dedup)
{
    if (!dedup)
        return;
    g_free(dedup->slots);
    g_free(dedup);
}

bool
vt_block_is_zero(const uint8_t *block)
{
    /* The second half of the compare reads what the first has shown to be zero */
    return block[0] == 0 && memcmp(block, block + 1, 4095) == 0;
}

/* An odd constant: 2^64 divided by the golden ratio */
#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
mix(uint64_t value)
{
    value ^= value >> 32;
    value *= MULTIPLIER;
    return value ^ value >> 29;
}

uint64_t
vt_block_hash(const uint8_t *block)
{
    uint64_t lanes[LANES] = {1, 2, 3, 4}, hash = 0;

    for (size_t i = 0; i < BLOCK_WORDS; i += LANES) {
        uint64_t words[LANES];

        memcpy(words, block + i * sizeof(uint64_t), sizeof(words));
        for (size_t lane = 0; lane < LANES; lane++) {
            lanes[lane] = (lanes[lane] ^ words[lane]) * MULTIPLIER;
            lanes[lane] ^= lanes[lane] >> 31;
        }
    }
    for (size_t lane = 0; lane < LANES; lane++)
        hash = mix(hash + lanes[lane]);
    return hash ? hash : 1;
}

static uint32_t
mark_of(uint64_t hash)
{
    const uint32_t mark = (uint32_t)(hash >> 32);

    return mark ? mark : 1;
}

static void
put(Slot *slots, uint64_t mask, Slot slot)
{
    uint64_t at = (slot >> 32) & mask;

    while (slots[at])
        at = (at + 1) & mask;
    slots[at] = slot;
}

static void
grow(VtDedup *dedup)
{
    uint64_t mask = dedup->mask * 2 + 1;
    Slot *slots = g_new0(Slot, mask + 1);

    for (uint64_t i = 0; i <= dedup->mask; i++) {
        if (dedup->slots[i])
            put(slots, mask, dedup->slots[i]);
    }
    g_free(dedup->slots);
    dedup->slots = slots;
    dedup->mask = mask;
}

bool
vt_dedup_next(const VtDedup *dedup, uint64_t hash, uint64_t *cursor, uint32_t *ret_value)
{
    const uint32_t mark = mark_of(hash);

    for (;;) {
        const Slot slot = dedup->slots[(mark + *cursor) & dedup->mask];

        if (!slot)
            return false;
        ++*cursor;
        if (slot >> 32 == mark) {
            *ret_value = (uint32_t)slot;
            return true;
        }
    }
}

bool
vt_dedup_has(const VtDedup *dedup, uint64_t hash)
{
    uint64_t cursor = 0;
    uint32_t value;

    return vt_dedup_next(dedup, hash, &cursor, &value);
}

void
vt_dedup_add(VtDedup *dedup, uint64_t hash, uint32_t value)
{
    if (dedup->used * 4 >= dedup->mask * 3)
        grow(dedup);
    put(dedup->slots, dedup->mask, (Slot)mark_of(hash) << 32 | value);
    dedup->used++;
}
