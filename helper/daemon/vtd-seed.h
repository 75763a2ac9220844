/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seed.h: the seed worker, as a call sees it */
#pragma once

#include "vtd-spawn.h"
#include "vtd-worker.h"

/**
 * VtdSeeder: makes seeds, each in a worker of its own; belongs to the main thread
 *
 * After the first seed there is always one worker that waits: loading it takes longer than a seed.
 * All are started by the main thread, for a worker dies with the thread that started it.
 */
typedef struct VtdSeeder VtdSeeder;

/**
 * VtdSeed:
 * @said: called in the main loop when the worker has said something, or, with an @error that it
 *   frees, when that is the end
 * @user: for @said
 * @path: where the domain expects it; %NULL if the domain has no instance in its metadata
 * @owner: UUID of the domain
 * @asks: the worker waits for documents: the secrets, and those of a template
 * @reference: (nullable): the template, NAME@VERSION
 * @image: (nullable): of the medium
 */
typedef struct {
    void (*said)(gpointer user, GError *error);
    gpointer user;
    char *path;
    char *owner;
    bool asks;
    char *reference;
    GBytes *image;
    /* private */
    VtdSeeder *seeder;
    VtdProcess worker;
    int image_fd;
    bool answered;
    GSource *source;
} VtdSeed;
void vtd_seed_clear(VtdSeed *seed);

/** vtd_seeder_new: Starts nothing yet */
VtdSeeder *vtd_seeder_new(const VtdWorkerConfig *config);
/** vtd_seeder_free: Ends the worker that waits */
void vtd_seeder_free(VtdSeeder *seeder);

/**
 * vtd_seeder_begin: Returns at once; @said follows
 * @xml: of a domain
 * @with_image: or the path alone
 * @seed: (in) (out): what the worker says; it may say anything, so check the path. If it asks,
 *   vtd_seeder_answer() completes it. Stays where it is until then
 *
 * The error that @said gets: what the worker found wrong in @xml; %VT_ERROR_FAILED: it ended, or is
 * silent
 */
bool vtd_seeder_begin(VtdSeeder *seeder, GBytes *xml, bool with_image, VtdSeed *seed,
                      GError **error);

/**
 * vtd_seeder_answer: As vtd_seeder_begin(), but the path and the owner are what they were
 * @documents: (array fixed-size=VTD_SEED_DOCUMENTS): by #VtdSeedDocument, or %NULL for none
 */
bool vtd_seeder_answer(GBytes *const *documents, VtdSeed *seed, GError **error);
