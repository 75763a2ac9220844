/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool-fixture.h: a directory of a pool, and fetches into it */
#pragma once

#include "vt-pool.h"

typedef struct {
    char *dir;
    VtPool *pool;
} PoolFixture;

/** pool_set_up, pool_tear_down: for g_test_add() */
void pool_set_up(PoolFixture *fixture, gconstpointer data);
void pool_tear_down(PoolFixture *fixture, gconstpointer data);

/** pool_commit: Commits @content under debian-12@@version, as a fetch job does */
bool pool_commit(PoolFixture *fixture, const char *version, const char *content,
                 VtDigest *ret_index, GError **error);
