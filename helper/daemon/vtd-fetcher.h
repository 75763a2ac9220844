/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-fetcher.h: what unpack workers need of the fetcher; only vtd-unpacker.c includes this */
#pragma once

#include "vtd-spawn.h"
#include "vtd-worker.h"

const VtdWorkerConfig *vtd_fetcher_config(const VtdFetcher *fetcher);
GCancellable *vtd_fetcher_cancellable(const VtdFetcher *fetcher);

/** vtd_fetcher_streams: Returns: whether its store is a registry, see vt_store_streams() */
bool vtd_fetcher_streams(const VtdFetcher *fetcher);

/** vtd_fetcher_join: From now on it has a share of the network, until vtd_fetcher_leave() */
bool vtd_fetcher_join(VtdFetcher *fetcher, GError **error);
void vtd_fetcher_leave(VtdFetcher *fetcher);

/** vtd_fetcher_add_ring: @count: of blobs; @fds: the ring, its socket, the table of blobs */
bool vtd_fetcher_add_ring(VtdFetcher *fetcher, const char *repository, uint32_t count,
                          const VtdFds *fds, GError **error);

/** vtd_fetcher_take_unpack: The worker that was prepared, else a new one */
bool vtd_fetcher_take_unpack(VtdFetcher *fetcher, VtdProcess *ret_process, GError **error);
