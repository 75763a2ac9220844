/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-shares.h: what jobs that fetch at the same time may take of the network */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/**
 * VtdShares: the limits of this host; may be used by several threads at once
 *
 * The connections to one registry are divided among the jobs that fetch from it, the rate among all
 * that fetch. What one does not use, the others do not get.
 */
typedef struct VtdShares VtdShares;
/** vtd_shares_new: @connections: to one registry; @rate: bytes per second of all jobs, 0: no limit
 */
VtdShares *vtd_shares_new(unsigned connections, uint64_t rate);
void vtd_shares_free(VtdShares *shares);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdShares, vtd_shares_free)

/**
 * VtdShare:
 * @socket_fd: of the fetch worker, which is told by VTD_FETCH_LIMIT
 * @host: the registry
 * @rate: the job's own limit, 0: none
 */
typedef struct {
    int socket_fd;
    const char *host;
    uint64_t rate;
} VtdShare;

/** vtd_shares_join: @share: must stay as it is until vtd_shares_leave() */
void vtd_shares_join(VtdShares *shares, const VtdShare *share);
void vtd_shares_leave(VtdShares *shares, const VtdShare *share);
