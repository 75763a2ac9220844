/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-fetcher.c: the fetch worker seen from the daemon */
#include "vtd-fetcher.h"

#include "vt-auth-file.h"
#include "vt-fs.h"
#include "vt-hosts.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/*
 * Whatever comes back is as bad as the network: a reply's length is checked against the limit that
 * was asked for, and the document is copied out of the shared memory file before anyone looks at
 * it.
 */

/* Longer than all retries of one document in the worker; it is killed then */
#define DOCUMENT_TIMEOUT_MS (180 * 1000)
/* Credentials and CAs are small files */
#define SMALL_FILE_MAX (1u << 20)

struct VtdFetcher {
    VtSource source; /* first: the source is the fetcher */
    VtdProcess process;
    VtdProcess unpack;
    bool ready; /* the worker has answered to its set-up */
    const VtdWorkerConfig *config;
    GCancellable *cancellable;
    char *host; /* (nullable): the registry */
    VtdShare share;
    uint64_t requests;
    uint32_t retries;
};

/* The worker's numbers only grow; a hostile one that says otherwise counts nothing */
static void
take_counts(VtdFetcher *fetcher, const VtdFetchReply *reply)
{
    VtdMonitor *monitor = fetcher->config->monitor;

    vtd_monitor_add(monitor, VTD_COUNT_REQUESTS, 0,
                    reply->requests - MIN(fetcher->requests, reply->requests));
    vtd_monitor_add(monitor, VTD_COUNT_RETRIES, 0,
                    reply->retries - MIN(fetcher->retries, reply->retries));
    fetcher->requests = reply->requests;
    fetcher->retries = reply->retries;
}

static bool
take_reply(VtdFetcher *fetcher, VtdFetchReply *ret, GError **error)
{
    VtdFetchReply reply;

    if (!vtd_process_wait(&fetcher->process, DOCUMENT_TIMEOUT_MS, fetcher->cancellable, error) ||
        !vtd_channel_receive(fetcher->process.socket_fd, &reply, sizeof(reply), NULL, error)) {
        g_prefix_error(error, "fetch worker: ");
        return false;
    }
    take_counts(fetcher, &reply);
    if (!vtd_channel_check(reply.code, reply.message, sizeof(reply.message), error))
        return false;
    *ret = reply;
    return true;
}

/* The answer to its set-up is the first that a worker says */
static bool
wait_set_up(VtdFetcher *fetcher, GError **error)
{
    VtdFetchReply reply;

    fetcher->ready = fetcher->ready || take_reply(fetcher, &reply, error);
    return fetcher->ready;
}

static bool
call(VtdFetcher *fetcher, const VtdFetchRequest *request, const VtdFds *fds, VtdFetchReply *ret,
     GError **error)
{
    return wait_set_up(fetcher, error) &&
           vtd_channel_send(fetcher->process.socket_fd, request, sizeof(*request), fds, error) &&
           take_reply(fetcher, ret, error);
}

/* One document into a memory file of its own */
static bool
read_document(VtdFetcher *fetcher, VtdFetchRequest *request, GBytes **ret_bytes, GError **error)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autofree char *data = NULL;
    VtdFetchReply reply;

    if (!vtd_memfd("document", NULL, &fds.fd[0], error))
        return false;
    fds.count = 1;
    if (!call(fetcher, request, &fds, &reply, error))
        return false;
    if (reply.length > request->limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the fetch worker exceeded its limit");
    data = g_malloc(reply.length + 1);
    if (!vt_fs_pread_all(fds.fd[0], data, reply.length, 0, "document", error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&data), reply.length);
    return true;
}

static VtdFetchRequest
new_request(VtdFetchOp op, const char *text, const char *reference, uint64_t limit)
{
    VtdFetchRequest request = {.op = op, .limit = limit};

    g_strlcpy(request.text, text, sizeof(request.text));
    g_strlcpy(request.reference, reference, sizeof(request.reference));
    return request;
}

static bool
source_manifest(VtSource *source, const char *repository, const char *reference, GBytes **ret_bytes,
                GError **error)
{
    VtdFetchRequest request =
        new_request(VTD_FETCH_MANIFEST, repository, reference, VT_MANIFEST_MAX);

    return read_document((VtdFetcher *)source, &request, ret_bytes, error);
}

static bool
source_blob(VtSource *source, const char *repository, const char *digest, gsize limit,
            GBytes **ret_bytes, GError **error)
{
    VtdFetchRequest request = new_request(VTD_FETCH_BLOB, repository, digest, limit);

    return read_document((VtdFetcher *)source, &request, ret_bytes, error);
}

static bool
source_referrers(VtSource *source, const char *repository, const char *digest, GBytes **ret_bytes,
                 GError **error)
{
    VtdFetchRequest request = new_request(VTD_FETCH_REFERRERS, repository, digest, VT_MANIFEST_MAX);

    return read_document((VtdFetcher *)source, &request, ret_bytes, error);
}

/* @ret_bytes: (out) (nullable): of a file that is not there, NULL */
static bool
read_if_there(const char *path, GBytes **ret_bytes, GError **error)
{
    g_autoptr(GError) local = NULL;

    *ret_bytes = NULL;
    if (!path || vt_fs_read(AT_FDCWD, path, SMALL_FILE_MAX, ret_bytes, &local) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

/* A copy, because the worker may not read the file itself */
static bool
pass_ca(const char *path, VtdFetchRequest *request, VtdFds *fds, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;

    if (!read_if_there(path, &bytes, error))
        return false;
    if (!bytes)
        return true;
    request->flags |= VTD_FETCH_HAS_CA;
    return vtd_memfd("CA", bytes, &fds->fd[fds->count++], error);
}

/* Of the registry and of those that rules name: a worker that another one took over has no more */
static bool
pass_auth(const VtdFetcher *fetcher, const VtHosts *hosts, VtdFetchRequest *request, VtdFds *fds,
          GError **error)
{
    g_autoptr(GBytes) bytes = NULL, reduced = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_auto(GStrv) others = vt_registries_hosts(hosts->registries);

    if (fetcher->host && !read_if_there(fetcher->config->auth_file, &bytes, error))
        return false;
    if (!bytes)
        return true;
    g_ptr_array_add(names, fetcher->host);
    for (gsize i = 0; i == 0 || others[i - 1]; i++)
        g_ptr_array_add(names, others[i]);
    reduced = vt_auth_file_for(bytes, (const char *const *)names->pdata);
    request->flags |= VTD_FETCH_HAS_AUTH;
    return vtd_memfd("credentials", reduced, &fds->fd[fds->count++], error);
}

/* Keys of client certificates are root's, and the worker reads no configuration */
static bool
pass_hosts(const VtHosts *hosts, VtdFetchRequest *request, VtdFds *fds, GError **error)
{
    g_autoptr(GBytes) bytes = vt_hosts_to_bytes(hosts);

    request->flags |= VTD_FETCH_HAS_HOSTS;
    return vtd_memfd("hosts", bytes, &fds->fd[fds->count++], error);
}

static bool
pass_layout(const VtStoreUrl *url, VtdFetchRequest *request, VtdFds *fds, GError **error)
{
    int fd;

    if (url->transport != VT_TRANSPORT_OCI)
        return true;
    fd = open(url->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return vt_throw(error, VT_ERROR_NETWORK, "cannot open the store 'oci:%s': %s", url->path,
                        g_strerror(errno));
    request->flags |= VTD_FETCH_HAS_LAYOUT;
    fds->fd[fds->count++] = fd;
    return true;
}

static bool
set_up(VtdFetcher *fetcher, const VtStoreUrl *url, GError **error)
{
    g_autofree char *text = vt_store_url_format(url);
    VtdFetchRequest request = new_request(VTD_FETCH_SETUP, text, "", 0);
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(VtHosts) hosts = NULL;

    request.uid = fetcher->config->fetch_uid;
    request.gid = fetcher->config->fetch_gid;
    request.flags = fetcher->config->insecure ? VTD_FETCH_INSECURE : 0;
    request.tries = fetcher->config->tries;
    request.count = fetcher->config->patience_s;
    return vt_hosts_read(url, &hosts, error) && pass_layout(url, &request, &fds, error) &&
           pass_auth(fetcher, hosts, &request, &fds, error) &&
           pass_ca(fetcher->config->ca_file, &request, &fds, error) &&
           pass_hosts(hosts, &request, &fds, error) &&
           vtd_channel_send(fetcher->process.socket_fd, &request, sizeof(request), &fds, error);
}

static bool
start_process(const VtdWorkerConfig *config, const char *name, VtdProcess *ret, GError **error)
{
    g_autofree char *program = g_build_filename(config->program_dir, name, NULL);

    return vtd_process_start_counted(program, config->monitor, ret, error);
}

bool
vtd_fetcher_start(const VtdWorkerConfig *config, const VtStoreUrl *url, GCancellable *cancellable,
                  VtdFetcher **ret_fetcher, GError **error)
{
    g_autoptr(VtdFetcher) fetcher = g_new0(VtdFetcher, 1);

    fetcher->source = (VtSource){source_manifest, source_blob, source_referrers};
    fetcher->process.socket_fd = fetcher->unpack.socket_fd = -1;
    fetcher->config = config;
    fetcher->host = g_strdup(url->host);
    fetcher->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
    if (!start_process(config, "fetch-worker", &fetcher->process, error) ||
        !set_up(fetcher, url, error))
        return false;
    *ret_fetcher = g_steal_pointer(&fetcher);
    return true;
}

void
vtd_fetcher_free(VtdFetcher *fetcher)
{
    if (!fetcher)
        return;
    vtd_process_end(&fetcher->unpack);
    vtd_process_end(&fetcher->process);
    g_free(fetcher->host);
    g_clear_object(&fetcher->cancellable);
    g_free(fetcher);
}

VtSource *
vtd_fetcher_source(VtdFetcher *fetcher)
{
    return &fetcher->source;
}

void
vtd_fetcher_limit(VtdFetcher *fetcher, uint64_t rate)
{
    fetcher->share.rate = rate;
}

bool
vtd_fetcher_join(VtdFetcher *fetcher, GError **error)
{
    if (!fetcher->config->shares || !fetcher->host)
        return true;
    /* The worker has no store before, which could have limits */
    if (!wait_set_up(fetcher, error))
        return false;
    fetcher->share.socket_fd = fetcher->process.socket_fd;
    fetcher->share.host = fetcher->host;
    vtd_shares_join(fetcher->config->shares, &fetcher->share);
    return true;
}

void
vtd_fetcher_leave(VtdFetcher *fetcher)
{
    if (fetcher->config->shares)
        vtd_shares_leave(fetcher->config->shares, &fetcher->share);
}

void
vtd_fetcher_count(VtdFetcher *fetcher)
{
    const VtdFetchRequest status = new_request(VTD_FETCH_STATUS, "", "", 0);
    g_autoptr(GError) gone = NULL;
    VtdFetchReply reply;

    if (!call(fetcher, &status, NULL, &reply, &gone))
        g_debug("%s", gone->message);
}

uint64_t
vtd_fetcher_requests(const VtdFetcher *fetcher)
{
    return fetcher->requests;
}

bool
vtd_fetcher_add_ring(VtdFetcher *fetcher, const char *repository, uint32_t count, const VtdFds *fds,
                     GError **error)
{
    VtdFetchRequest request = new_request(VTD_FETCH_RING, repository, "", 0);
    VtdFetchReply reply;

    request.count = count;
    return call(fetcher, &request, fds, &reply, error);
}

bool
vtd_fetcher_prepare_unpack(VtdFetcher *fetcher, GError **error)
{
    return fetcher->unpack.pid != 0 ||
           start_process(fetcher->config, "unpack-worker", &fetcher->unpack, error);
}

bool
vtd_fetcher_take_unpack(VtdFetcher *fetcher, VtdProcess *ret_process, GError **error)
{
    if (!vtd_fetcher_prepare_unpack(fetcher, error))
        return false;
    *ret_process = fetcher->unpack;
    fetcher->unpack = (VtdProcess){.socket_fd = -1};
    return true;
}

const VtdWorkerConfig *
vtd_fetcher_config(const VtdFetcher *fetcher)
{
    return fetcher->config;
}

bool
vtd_fetcher_streams(const VtdFetcher *fetcher)
{
    return fetcher->host != NULL;
}

GCancellable *
vtd_fetcher_cancellable(const VtdFetcher *fetcher)
{
    return fetcher->cancellable;
}
