/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-upload.c: seeds that are made of what somebody has put into a volume */
#include "vtd-upload.h"

#include "vt-fs.h"
#include "vt-upload-file.h"
#include "vtd-channel.h"
#include "vtd-spawn.h"
#include "vtd-worker-protocol.h"

/* Of the 5 s within which every method answers */
#define UPLOAD_TIMEOUT_MS 2000
/* As for a seed of a domain */
#define IMAGE_MAX (UINT64_C(32) << 20)

static bool
ask(const VtdProcess *worker, const VtdWorkerConfig *config, const VtUploadFile *file,
    const VtdFds *fds, VtdUploadReply *ret, GError **error)
{
    VtdUploadRequest request = {
        .uid = config->unpack_uid, .gid = config->unpack_gid, .size = file->size};

    g_strlcpy(request.name, file->name, sizeof(request.name));
    if (!vtd_channel_send(worker->socket_fd, &request, sizeof(request), fds, error) ||
        !vtd_process_wait(worker, UPLOAD_TIMEOUT_MS, NULL, error) ||
        !vtd_channel_receive(worker->socket_fd, ret, sizeof(*ret), NULL, error)) {
        g_prefix_error(error, "upload worker: ");
        return false;
    }
    if (!vtd_channel_check(ret->code, ret->message, sizeof(ret->message), error))
        return false;
    return ret->size <= IMAGE_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE, "the upload worker exceeded its limit");
}

/* @ret_image: (nullable): there is nothing to be made */
static bool
make_image(const VtdWorkerConfig *config, const VtUploadFile *file, GBytes **ret_image,
           GError **error)
{
    g_autofree char *program = g_build_filename(config->program_dir, "upload-worker", NULL);
    g_auto(VtdProcess) worker = {.socket_fd = -1};
    vt_autofd image_fd = -1;
    VtdUploadReply reply;
    VtdFds fds = VTD_FDS_NONE; /* borrowed */
    char *data;

    if (!vtd_memfd("seed", NULL, &image_fd, error) ||
        !vtd_process_start_counted(program, config->monitor, &worker, error))
        return false;
    fds.fd[0] = file->fd;
    fds.fd[1] = image_fd;
    fds.count = 2;
    if (!ask(&worker, config, file, &fds, &reply, error))
        return false;
    if (reply.size == 0)
        return true;
    data = g_malloc(reply.size);
    *ret_image = g_bytes_new_take(data, reply.size);
    return vt_fs_pread_all(image_fd, data, reply.size, 0, "the seed", error);
}

bool
vtd_upload_take(const VtdWorkerConfig *config, const char *target, const char *name, GError **error)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    g_autoptr(GError) local = NULL, kept = NULL;
    g_autoptr(GBytes) image = NULL;

    if (!vt_upload_open(target, name, &file, error))
        return false;
    if (make_image(config, &file, &image, &local) &&
        (!image || vt_upload_replace(&file, image, &local)))
        return vt_upload_refuse(&file, NULL, error);
    if (!vt_upload_refuse(&file, local->message, &kept))
        g_warning("%s", kept->message);
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}
