/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-fetch.c: the process that talks to the store: it moves bytes and decides nothing */
#include "vt-fs.h"
#include "vt-hosts.h"
#include "vt-ring-server.h"
#include "vtd-channel.h"
#include "vtd-sandbox.h"
#include "vtd-worker-protocol.h"

#include <string.h>
#include <sys/stat.h>

typedef struct {
    VtStore *store;
    VtRingServer *rings;
    uint64_t limit;
} Fetch;

static void
reply_with(Fetch *fetch, uint64_t length, const GError *failure)
{
    VtdFetchReply reply = {.code = -1, .length = length};
    g_autoptr(GError) gone = NULL;

    if (fetch->store) {
        reply.requests = vt_store_requests(fetch->store);
        reply.retries = (uint32_t)MIN(vt_store_retries(fetch->store), UINT32_MAX);
    }
    if (failure) {
        reply.code = failure->domain == VT_ERROR ? failure->code : VT_ERROR_FAILED;
        g_strlcpy(reply.message, failure->message, sizeof(reply.message));
    }
    /* a daemon that is gone shows at the next receive */
    if (!vtd_channel_send(VTD_WORKER_FD, &reply, sizeof(reply), NULL, &gone))
        g_debug("%s", gone->message);
}

/* What the daemon read for us */
static bool
read_hosts(int fd, VtHosts **ret_hosts, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *data = NULL;
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size > VT_HOSTS_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "the certificates and rules for registries have more than %u bytes",
                        VT_HOSTS_MAX);
    data = g_malloc((gsize)st.st_size + 1);
    if (!vt_fs_pread_all(fd, data, (gsize)st.st_size, 0, "hosts", error))
        return false;
    bytes = g_bytes_new_take(g_steal_pointer(&data), (gsize)st.st_size);
    return vt_hosts_from_bytes(bytes, ret_hosts, error);
}

static bool
set_up(Fetch *fetch, const VtdFetchRequest *request, VtdFds *fds, GError **error)
{
    const bool layout = request->flags & VTD_FETCH_HAS_LAYOUT;
    const VtdSandbox sandbox = {layout ? VTD_WORKER_LAYOUT : VTD_WORKER_FETCH, request->uid,
                                request->gid, fds->fd[0]};
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtHosts) hosts = NULL;
    g_autofree char *auth = NULL, *ca = NULL;
    VtStoreOptions options = {.insecure = request->flags & VTD_FETCH_INSECURE,
                              .tries = request->tries,
                              .patience_s = request->count,
                              .layout_fd = -1};
    int next = 0;

    if (!vtd_sandbox_enter(&sandbox, error) || !vt_store_url_parse(request->text, &url, error))
        return false;
    if (layout)
        options.layout_fd = fds->fd[next++];
    if (request->flags & VTD_FETCH_HAS_AUTH)
        options.auth_file = auth = g_strdup_printf("/proc/self/fd/%d", vtd_fds_take(fds, next++));
    if (request->flags & VTD_FETCH_HAS_CA)
        options.ca_file = ca = g_strdup_printf("/proc/self/fd/%d", vtd_fds_take(fds, next++));
    if (request->flags & VTD_FETCH_HAS_HOSTS && !read_hosts(fds->fd[next++], &hosts, error))
        return false;
    options.hosts = hosts;
    if (!vt_store_open(url, &options, &fetch->store, error))
        return false;
    fetch->rings = vt_ring_server_new(fetch->store);
    return true;
}

static bool
write_document(Fetch *fetch, const VtdFetchRequest *request, int fd, GError **error)
{
    VtSource *source = vt_store_source(fetch->store);
    g_autoptr(GBytes) bytes = NULL;
    bool ok;

    if (request->op == VTD_FETCH_MANIFEST)
        ok = source->get_manifest(source, request->text, request->reference, &bytes, error);
    else if (request->op == VTD_FETCH_BLOB)
        ok = source->get_blob(source, request->text, request->reference, request->limit, &bytes,
                              error);
    else
        ok = source->get_referrers(source, request->text, request->reference, &bytes, error);
    if (!ok)
        return false;
    fetch->limit = g_bytes_get_size(bytes);
    return vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "document",
                           error);
}

/* ---- rings ---- */

static bool
read_blob_table(int fd, uint32_t count, VtRingBlob **ret_blobs, GError **error)
{
    g_autofree VtRingBlob *blobs = g_new0(VtRingBlob, MAX(count, 1));

    if (!vt_fs_pread_all(fd, blobs, count * sizeof(*blobs), 0, "blob table", error))
        return false;
    for (uint32_t i = 0; i < count; i++)
        blobs[i].digest[sizeof(blobs[i].digest) - 1] = '\0';
    *ret_blobs = g_steal_pointer(&blobs);
    return true;
}

static bool
add_ring(Fetch *fetch, const VtdFetchRequest *request, const VtdFds *fds, GError **error)
{
    g_autofree VtRingBlob *blobs = NULL;
    VtRingSource source = {.repository = request->text,
                           .count = request->count,
                           .memory_fd = fds->fd[0],
                           .socket_fd = fds->fd[1]};

    if (!read_blob_table(fds->fd[2], request->count, &blobs, error))
        return false;
    source.blobs = blobs;
    return vt_ring_server_add(fetch->rings, &source, error);
}

/* ---- requests of the daemon ---- */

static bool
handle(Fetch *fetch, const VtdFetchRequest *request, VtdFds *fds)
{
    g_autoptr(GError) error = NULL;

    fetch->limit = 0;
    if (!fetch->store && request->op != VTD_FETCH_SETUP)
        return false;
    switch ((VtdFetchOp)request->op) {
    case VTD_FETCH_SETUP:
        if (fetch->store)
            return false;
        if (!set_up(fetch, request, fds, &error)) {
            reply_with(fetch, 0, error);
            return false;
        }
        break;
    case VTD_FETCH_MANIFEST:
    case VTD_FETCH_BLOB:
    case VTD_FETCH_REFERRERS:
        write_document(fetch, request, fds->fd[0], &error);
        break;
    case VTD_FETCH_RING:
        add_ring(fetch, request, fds, &error);
        break;
    case VTD_FETCH_STATUS:
        break;
    case VTD_FETCH_LIMIT:
        vt_store_limit(fetch->store, request->count, request->limit);
        return true;
    default:
        return false;
    }
    reply_with(fetch, error ? 0 : fetch->limit, error);
    return true;
}

int
main(int argc, char **argv)
{
    Fetch fetch = {0};
    bool go_on = true;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    while (go_on) {
        g_auto(VtdFds) fds = VTD_FDS_NONE;
        g_autoptr(GError) error = NULL;
        VtdFetchRequest request;

        /* Rings are served until the daemon speaks */
        if ((fetch.rings && !vt_ring_server_run(fetch.rings, VTD_WORKER_FD)) ||
            !vtd_channel_receive(VTD_WORKER_FD, &request, sizeof(request), &fds, &error))
            break;
        request.text[sizeof(request.text) - 1] = '\0';
        request.reference[sizeof(request.reference) - 1] = '\0';
        go_on = handle(&fetch, &request, &fds);
    }
    vt_ring_server_free(fetch.rings);
    vt_store_free(fetch.store);
    return 0;
}
