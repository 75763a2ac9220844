/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker.h: the two workers, as a job sees them */
#pragma once

#include "vt-chain.h"
#include "vt-source.h"
#include "vt-store-url.h"
#include "vtd-monitor.h"
#include "vtd-shares.h"

#include <gio/gio.h>
#include <stdint.h>
#include <sys/types.h>

/* As %VT_HTTP_PATIENCE_S: a stalled transfer is given up within a minute */
#define VTD_STALL_S 20

/**
 * VtdWorkerConfig:
 * @program_dir: where fetch-worker and unpack-worker are
 * @fetch_uid: who the fetch worker becomes; 0 keeps the daemon's own, which then must not be root
 * @unpack_uid: the same for the unpack worker
 * @auth_file: (nullable): containers-auth.json(5), read by the daemon; need not exist
 * @ca_file: (nullable): PEM of additional CAs, read by the daemon
 * @insecure: accept plain HTTP
 * @tries: see #VtStoreOptions
 * @patience_s: the same
 * @shares: (nullable): limits of all fetchers together
 * @monitor: (nullable): counts what all do
 */
typedef struct {
    const char *program_dir;
    uid_t fetch_uid, unpack_uid;
    gid_t fetch_gid, unpack_gid;
    const char *auth_file;
    const char *ca_file;
    bool insecure;
    unsigned tries;
    unsigned patience_s;
    VtdShares *shares;
    VtdMonitor *monitor;
} VtdWorkerConfig;

/**
 * VtdFetcher:
 *
 * A running fetch worker. Its calls block, so they belong in a job's thread; one at a time.
 */
typedef struct VtdFetcher VtdFetcher;

/**
 * vtd_fetcher_start:
 * @config: must outlive the fetcher
 * @cancellable: (nullable): ends every later call too
 *
 * Does not wait for the worker: whether it could open the store is the first call's error.
 */
bool vtd_fetcher_start(const VtdWorkerConfig *config, const VtStoreUrl *url,
                       GCancellable *cancellable, VtdFetcher **ret_fetcher, GError **error);
/** vtd_fetcher_free: Ends the process and waits for it */
void vtd_fetcher_free(VtdFetcher *fetcher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdFetcher, vtd_fetcher_free)

/** vtd_fetcher_source: Returns: (transfer none): reads documents through the worker */
VtSource *vtd_fetcher_source(VtdFetcher *fetcher);

/** vtd_fetcher_limit: @rate: bytes per second that it may receive while it unpacks; 0: no limit */
void vtd_fetcher_limit(VtdFetcher *fetcher, uint64_t rate);

/** vtd_fetcher_count: Asks the worker for the number of its requests; unpacking does not tell */
void vtd_fetcher_count(VtdFetcher *fetcher);

/** vtd_fetcher_requests: Returns: requests to the store, as far as the worker has told */
uint64_t vtd_fetcher_requests(const VtdFetcher *fetcher);

/**
 * VtdUnpackRequest:
 * @index: the index blob, whose digest the caller has checked
 * @repository: where the frame blobs are
 * @blobs: (element-type VtDescriptor): in the order of the index
 * @ancestors: see vt_unpack_run(); with @backing
 * @output_fd: see vt_unpack_run()
 * @resume: see vt_unpack_run()
 * @progress: (nullable): called in the calling thread
 */
typedef struct {
    GBytes *index;
    const char *repository;
    GPtrArray *blobs;
    const VtAncestor *ancestors;
    uint32_t ancestor_count;
    const char *backing;
    int output_fd;
    bool resume;
    void (*progress)(void *user, uint64_t done, uint64_t total, uint64_t received);
    void *user;
} VtdUnpackRequest;

/**
 * vtd_fetcher_prepare_unpack:
 *
 * Starts an unpack worker beside the fetcher, to be ready when the index is here: loading it takes
 * about as long as a request to the store.
 */
bool vtd_fetcher_prepare_unpack(VtdFetcher *fetcher, GError **error);

/**
 * vtd_fetcher_unpack_chain:
 * @requests: the lowest layer first; what is below each is complete, or one of those before it
 * @ret_failed: (out): the number of the one that failed; only if one did
 *
 * Makes the layers, each with an unpack worker of its own, and waits until all are done. While one
 * is unpacked, frames of some of the next ones are fetched.
 */
bool vtd_fetcher_unpack_chain(VtdFetcher *fetcher, const VtdUnpackRequest *requests, guint count,
                              guint *ret_failed, GError **error);

/** vtd_fetcher_unpack: vtd_fetcher_unpack_chain() for one layer */
bool vtd_fetcher_unpack(VtdFetcher *fetcher, const VtdUnpackRequest *request, GError **error);
