/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-dirs.h: private to vt-pool.c and vt-clones.c: the directories of a pool */
#pragma once

#include "vt-pool.h"

struct VtPool {
    char *target;
    int target_fd;
    int layers_fd;
    int partial_fd;
    int manifests_fd;
    int clones_fd;
};

/** vt_pool_dirs: Opens the directories below the target; @create: makes those that are missing */
bool vt_pool_dirs(VtPool *pool, bool create, GError **error);
