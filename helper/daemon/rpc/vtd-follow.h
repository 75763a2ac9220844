/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-follow.h: clients that are told how jobs go on */
#pragma once

#include "vtd-job.h"

typedef struct VtdFollowers VtdFollowers;

/** vtd_followers_new: @jobs: outlives it */
VtdFollowers *vtd_followers_new(VtdJobs *jobs);
void vtd_followers_free(VtdFollowers *followers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdFollowers, vtd_followers_free)

/**
 * vtd_followers_add:
 * @uid: of the peer: he is told of his own jobs, root of all
 *
 * Sends JobChanged until the connection is closed; once, however often this is called. A client
 * that does not read misses progress, never the end of a job, and in the end its connection.
 */
void vtd_followers_add(VtdFollowers *followers, GDBusConnection *connection, uint32_t uid);
