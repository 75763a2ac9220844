/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed-file.h: seeds in a pool, and whose they are */
#pragma once

#include "vt-seed.h"

/* In a pool: symbolic links, named as the seeds, to the UUIDs of their domains; its lock guards
 * both */
#define VT_SEED_RECORDS_DIR ".seeds"

/**
 * vt_seed_target:
 * @path: `/directory/NAME-seed.iso`, or `-seed.img`
 * @ret_target: (out) (transfer full): the directory
 * @error: %VT_ERROR_INVALID: a path of another form
 */
bool vt_seed_target(const char *path, char **ret_target, GError **error);

/**
 * vt_seed_place:
 * @path: see vt_seed_target(); its directory is a pool
 * @owner: UUID of the domain, remembered in `<directory>/.seeds`
 *
 * Writes the file, 0600; what libvirt does with owner and mode at a start is its business. Not
 * durable: a seed is made again at each start.
 *
 * @error: %VT_ERROR_EXISTS, and nothing is changed: the seed of another domain, a file that is no
 *   seed of ours, a symbolic link
 */
bool vt_seed_place(const char *path, const char *owner, GBytes *image, GError **error);

/**
 * vt_seed_set_secrets:
 * @owner: UUID of the domain whose secrets they are
 * @secrets: (nullable): %NULL removes them
 *
 * Keeps them in `<directory>/.seeds/<name of the seed>.<owner>.secrets`, mode 0600; durable.
 *
 * @error: %VT_ERROR_DENIED: `.seeds` is not ours alone
 */
bool vt_seed_set_secrets(const char *path, const char *owner, GBytes *secrets, GError **error);

/**
 * vt_seed_read_secrets:
 * @ret_secrets: (out) (transfer full): %NULL if there are none for @owner
 * @error: %VT_ERROR_DENIED: somebody else could read or write the file, or put it there
 */
bool vt_seed_read_secrets(const char *path, const char *owner, GBytes **ret_secrets,
                          GError **error);

/** vt_seed_remove: Removes the seed if it is there and is @owner's */
bool vt_seed_remove(const char *path, const char *owner, GError **error);
