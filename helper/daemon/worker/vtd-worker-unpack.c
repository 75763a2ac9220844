/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-unpack.c: the process that decodes: no network, one file to write */
#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-unpack.h"
#include "vtd-ancestors.h"
#include "vtd-channel.h"
#include "vtd-report.h"
#include "vtd-sandbox.h"

enum {
    FD_INDEX,
    FD_OUTPUT,
    FD_RING,
    FD_SOCKET,
    FD_BLOBS,
    FD_COUNT,
};

static void
send_progress(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    VtdUnpackReport *last = user;

    last->code = -1;
    last->done = done;
    last->total = total;
    last->received = received;
    vtd_report_send(last);
}

static bool
read_sizes(int fd, uint32_t count, uint64_t **ret_sizes, GError **error)
{
    g_autofree VtRingBlob *entries = NULL;

    if (count > VT_LAYER_BLOBS_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "a layer of %u blobs", count);
    entries = g_new0(VtRingBlob, MAX(count, 1));
    if (!vt_fs_pread_all(fd, entries, count * sizeof(*entries), 0, "blob table", error))
        return false;
    *ret_sizes = g_new0(uint64_t, MAX(count, 1));
    for (uint32_t i = 0; i < count; i++)
        (*ret_sizes)[i] = entries[i].size;
    return true;
}

static bool
unpack(const VtdUnpackSetup *setup, const VtdFds *fds, VtdUnpackReport *last, GError **error)
{
    const VtdSandbox sandbox = {VTD_WORKER_UNPACK, setup->uid, setup->gid, -1};
    g_autofree uint64_t *sizes = NULL;
    g_autoptr(GArray) ancestors = NULL;
    g_autoptr(GBytes) index = NULL;
    VtUnpackJob job = {.blob_count = setup->count,
                       .output_fd = fds->fd[FD_OUTPUT],
                       .ring_fd = fds->fd[FD_RING],
                       .socket_fd = fds->fd[FD_SOCKET],
                       .ancestor_count = setup->ancestors,
                       .backing = *setup->backing ? setup->backing : NULL,
                       .ready_fd = setup->wait ? VTD_WORKER_FD : -1,
                       .resume = setup->resume,
                       .streams = setup->streams,
                       .progress = send_progress,
                       .user = last};

    if (!vtd_sandbox_enter(&sandbox, error) ||
        !read_sizes(fds->fd[FD_BLOBS], setup->count, &sizes, error) ||
        !vtd_index_read(fds->fd[FD_INDEX], setup->index_size, &index, error) ||
        !vtd_ancestors_receive(VTD_WORKER_FD, setup->ancestors, &ancestors, error))
        return false;
    job.index = index;
    job.blob_sizes = sizes;
    job.ancestors = (const VtAncestor *)(void *)ancestors->data;
    return vt_unpack_run(&job, error);
}

int
main(int argc, char **argv)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;
    VtdUnpackReport last = {.code = -1};
    bool done;
    VtdUnpackSetup setup;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    if (!vtd_channel_receive(VTD_WORKER_FD, &setup, sizeof(setup), &fds, &error))
        return 1;
    if (fds.count != FD_COUNT || setup.ancestors > VT_INDEX_ANCESTORS_MAX)
        return 1;
    setup.backing[sizeof(setup.backing) - 1] = '\0';
    done = unpack(&setup, &fds, &last, &error);
    return vtd_report_end(&last, done, error);
}
