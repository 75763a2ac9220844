/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seed.h: the seed worker, as a call sees it */
#pragma once

#include "vtd-spawn.h"
#include "vtd-worker.h"

/**
 * VtdSeed:
 * @path: where the domain expects it; %NULL if the domain has no instance in its metadata
 * @owner: UUID of the domain
 * @asks: the worker waits for documents: the secrets, and those of a template
 * @reference: (nullable): the template, NAME@VERSION
 * @image: (nullable): of the medium
 */
typedef struct {
    char *path;
    char *owner;
    bool asks;
    char *reference;
    GBytes *image;
    /* private */
    VtdProcess worker;
    int image_fd;
} VtdSeed;
#define VTD_SEED_NONE                                                                              \
    {                                                                                              \
        .worker = {.socket_fd = -1}, .image_fd = -1                                                \
    }
void vtd_seed_clear(VtdSeed *seed);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtdSeed, vtd_seed_clear)

/**
 * VtdSeeder: makes seeds, each in a worker of its own
 *
 * After the first seed there is always one worker that waits: loading it takes longer than a seed.
 */
typedef struct VtdSeeder VtdSeeder;

/** vtd_seeder_new: Starts nothing yet */
VtdSeeder *vtd_seeder_new(const VtdWorkerConfig *config);
VtdSeeder *vtd_seeder_ref(VtdSeeder *seeder);
/** vtd_seeder_unref: The last one ends the worker that waits */
void vtd_seeder_unref(VtdSeeder *seeder);

/**
 * vtd_seeder_begin: Blocks for some ms, so it belongs in a thread; any thread
 * @xml: of a domain
 * @with_image: or the path alone
 * @seed: (in) (out): %VTD_SEED_NONE; what the worker says; it may say anything, so check the path.
 *   If it asks, vtd_seeder_answer() completes it
 * @error: what the worker found wrong in @xml; %G_IO_ERROR_TIMED_OUT
 */
bool vtd_seeder_begin(VtdSeeder *seeder, GBytes *xml, bool with_image, VtdSeed *seed,
                      GError **error);

/**
 * vtd_seeder_answer: As vtd_seeder_begin(), but the path and the owner are what they were
 * @documents: (array fixed-size=VTD_SEED_DOCUMENTS): by #VtdSeedDocument, or %NULL for none
 */
bool vtd_seeder_answer(VtdSeeder *seeder, GBytes *const *documents, VtdSeed *seed, GError **error);

/** vtd_seeder_refill: Starts the worker that waits, unless there is one; any thread */
void vtd_seeder_refill(VtdSeeder *seeder);
