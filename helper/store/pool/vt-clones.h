/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-clones.h: which files have a version of a pool in their backing chain */
#pragma once

#include "vt-pool.h"

/**
 * vt_clones_record:
 * @path: absolute path of a clone of the version, which need not exist yet
 *
 * Not durable by itself, to be quick: what a power failure takes is found again by
 * vt_clones_list(), which looks into the files themselves.
 */
bool vt_clones_record(VtPool *pool, const char *name, const char *version, const char *path,
                      GError **error);

/**
 * VtClonesQuery:
 * @index: (nullable): the version's layer; its path counts as a backing file, too
 * @keep: (nullable): a set of paths whose record stays although there is no such file yet
 * @elsewhere: (nullable): a set of the target directories of other pools. A version that is there
 * is not this one, nor is what is below it, and nobody looks at it: it may be on a server that does
 *   not answer
 * @prune: remove records of files that are gone, or have another backing file
 */
typedef struct {
    const char *name;
    const char *version;
    const VtDigest *index;
    GHashTable *keep;
    GHashTable *elsewhere;
    bool prune;
} VtClonesQuery;

/**
 * vt_clones_list:
 * @ret_paths: (out) (transfer full) (array zero-terminated=1): sorted
 *
 * Looks at the recorded files, and at all files in the target and in the directories of recorded
 * files of any version. A recorded file that cannot be looked at counts: it may be a clone; so does
 * one whose directory is not there, or whose file system is not mounted.
 */
bool vt_clones_list(VtPool *pool, const VtClonesQuery *query, char ***ret_paths, GError **error);
