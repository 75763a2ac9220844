/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-dedup.c: which blocks were seen before */
#include "vt-dedup.h"

#include <string.h>

/* Open addressing, at most half full: two words for each block, 32 bytes for each on average. */
#define INITIAL_SLOTS (1u << 16)
#define BLOCK_WORDS   (4096 / sizeof(uint64_t))
/* Independent lanes keep the multiplier busy */
#define LANES 4

typedef struct {
    uint64_t hash;
    uint64_t value;
} Slot;

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

static Slot *
find_slot(Slot *slots, uint64_t mask, uint64_t hash)
{
    uint64_t at = hash & mask;

    while (slots[at].hash && slots[at].hash != hash)
        at = (at + 1) & mask;
    return &slots[at];
}

static void
grow(VtDedup *dedup)
{
    uint64_t mask = dedup->mask * 2 + 1;
    Slot *slots = g_new0(Slot, mask + 1);

    for (uint64_t i = 0; i <= dedup->mask; i++) {
        if (dedup->slots[i].hash)
            *find_slot(slots, mask, dedup->slots[i].hash) = dedup->slots[i];
    }
    g_free(dedup->slots);
    dedup->slots = slots;
    dedup->mask = mask;
}

bool
vt_dedup_find(const VtDedup *dedup, uint64_t hash, uint64_t *ret_value)
{
    const Slot *slot = find_slot(dedup->slots, dedup->mask, hash);

    if (!slot->hash)
        return false;
    *ret_value = slot->value;
    return true;
}

void
vt_dedup_add(VtDedup *dedup, uint64_t hash, uint64_t value)
{
    Slot *slot;

    if (dedup->used * 2 >= dedup->mask)
        grow(dedup);
    slot = find_slot(dedup->slots, dedup->mask, hash);
    slot->hash = hash;
    slot->value = value;
    dedup->used++;
}
