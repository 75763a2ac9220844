/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-copy.c: the process that makes full copies: no network, one file to write */
#include "vt-disk-copy.h"
#include "vt-fs.h"
#include "vtd-ancestors.h"
#include "vtd-channel.h"
#include "vtd-report.h"
#include "vtd-sandbox.h"

#include <string.h>

static void
send_progress(void *user, uint64_t done, uint64_t total)
{
    VtdUnpackReport *last = user;

    last->code = -1;
    last->done = done;
    last->total = total;
    vtd_report_send(last);
}

static bool
copy(const VtdCopySetup *setup, int output_fd, VtdUnpackReport *last, GError **error)
{
    const VtdSandbox sandbox = {VTD_WORKER_COPY, setup->uid, setup->gid, -1};
    g_autoptr(GArray) layers = NULL;
    VtDiskCopy request = {.layer_count = setup->layers,
                          .output_fd = output_fd,
                          .format = setup->format,
                          .capacity = setup->capacity,
                          .must_reflink = setup->must_reflink,
                          .progress = send_progress,
                          .user = last};

    if (!vtd_sandbox_enter(&sandbox, error) ||
        !vtd_ancestors_receive(VTD_WORKER_FD, setup->layers, &layers, error))
        return false;
    memcpy(request.top.bytes, setup->top, sizeof(setup->top));
    request.layers = (const VtAncestor *)(void *)layers->data;
    return vt_disk_copy(&request, error);
}

int
main(int argc, char **argv)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;
    VtdUnpackReport last = {.code = -1};
    bool done;
    VtdCopySetup setup;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    if (!vtd_channel_receive(VTD_WORKER_FD, &setup, sizeof(setup), &fds, &error))
        return 1;
    if (fds.count != 1 || setup.layers > VT_INDEX_ANCESTORS_MAX + 1)
        return 1;
    done = copy(&setup, fds.fd[0], &last, &error);
    return vtd_report_end(&last, done, error);
}
