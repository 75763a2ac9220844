/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-upload.c: the process that makes a seed of what was uploaded: no network, no file */
#include "vt-fs.h"
#include "vt-iso.h"
#include "vt-upload.h"
#include "vtd-channel.h"
#include "vtd-sandbox.h"
#include "vtd-worker-protocol.h"

enum {
    FD_UPLOAD,
    FD_IMAGE,
    FD_COUNT,
};

static bool
make(const VtdUploadRequest *request, const VtdFds *fds, VtdUploadReply *reply, GError **error)
{
    g_autoptr(GBytes) bytes = NULL, image = NULL;
    g_auto(VtUpload) upload = {0};
    char *data;

    if (request->size > VT_UPLOAD_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "%" G_GUINT64_FORMAT " bytes, at most %u are read; an ISO image may be "
                        "larger",
                        request->size, VT_UPLOAD_MAX);
    data = g_malloc(request->size + 1);
    bytes = g_bytes_new_take(data, request->size);
    if (!vt_fs_pread_all(fds->fd[FD_UPLOAD], data, request->size, 0, "the volume", error) ||
        !vt_upload_read(request->name, bytes, &upload, error))
        return false;
    if (!upload.label)
        return true;
    if (!vt_iso_write(upload.label, upload.files, &image, error))
        return false;
    reply->size = g_bytes_get_size(image);
    return vt_fs_write_all(fds->fd[FD_IMAGE], g_bytes_get_data(image, NULL), reply->size,
                           "the seed", error);
}

static bool
run(VtdUploadRequest *request, const VtdFds *fds, VtdUploadReply *reply, GError **error)
{
    const VtdSandbox sandbox = {VTD_WORKER_UPLOAD, request->uid, request->gid, -1};

    request->name[sizeof(request->name) - 1] = '\0';
    return vtd_sandbox_enter(&sandbox, error) && make(request, fds, reply, error);
}

int
main(int argc, char **argv)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL, gone = NULL;
    VtdUploadReply reply = {.code = -1};
    VtdUploadRequest request;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    if (!vtd_channel_receive(VTD_WORKER_FD, &request, sizeof(request), &fds, &gone) ||
        fds.count != FD_COUNT)
        return 1;
    if (!run(&request, &fds, &reply, &error)) {
        reply.code = error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;
        g_strlcpy(reply.message, error->message, sizeof(reply.message));
    }
    return vtd_channel_send(VTD_WORKER_FD, &reply, sizeof(reply), NULL, &gone) ? 0 : 1;
}
