/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-seed.c: the process that reads a domain's XML and makes its seed: no network, no file
 */
#include "vt-fs.h"
#include "vt-iso.h"
#include "vtd-channel.h"
#include "vtd-sandbox.h"
#include "vtd-worker-protocol.h"

#include <string.h>

#define FILES_MAX 16
/* The image, and its memory file */
#define FILE_SIZE_MAX (UINT64_C(64) << 20)

enum {
    FD_XML,
    FD_IMAGE,
};

G_STATIC_ASSERT(sizeof(((VtdSeedSetup *)NULL)->random) == VT_SEED_RANDOM);

static bool
read_xml(const VtdSeedSetup *setup, const VtdFds *fds, GBytes **ret_xml, GError **error)
{
    g_autofree char *text = NULL;

    if (setup->xml_size > VT_INSTANCE_XML_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "the domain's XML has %" G_GUINT64_FORMAT " bytes", setup->xml_size);
    text = g_malloc(setup->xml_size + 1);
    if (!vt_fs_pread_all(fds->fd[FD_XML], text, setup->xml_size, 0, "the domain's XML", error))
        return false;
    *ret_xml = g_bytes_new_take(g_steal_pointer(&text), setup->xml_size);
    return true;
}

static bool
write_image(const VtdSeedSetup *setup, const VtInstance *instance, int fd, uint64_t *ret_size,
            GError **error)
{
    g_autoptr(GPtrArray) files = vt_seed_files(instance, setup->random);
    g_autoptr(GBytes) image = NULL;

    if (!vt_iso_write(vt_seed_label(instance->source), files, &image, error))
        return false;
    *ret_size = g_bytes_get_size(image);
    return vt_fs_write_all(fd, g_bytes_get_data(image, NULL), *ret_size, "the seed", error);
}

static bool
make(const VtdSeedSetup *setup, const VtdFds *fds, VtdSeedReply *reply, GError **error)
{
    const VtdSandbox sandbox = {.uid = setup->uid,
                                .gid = setup->gid,
                                .no_network = true,
                                .file_size_max = FILE_SIZE_MAX,
                                .files_max = FILES_MAX};
    g_autoptr(VtInstance) instance = NULL;
    g_autoptr(GBytes) xml = NULL;

    if (!vtd_sandbox_enter(&sandbox, error) || !read_xml(setup, fds, &xml, error) ||
        !vt_instance_parse(xml, &instance, error))
        return false;
    if (!instance)
        return true;
    g_strlcpy(reply->path, instance->seed_path, sizeof(reply->path));
    g_strlcpy(reply->owner, instance->uuid, sizeof(reply->owner));
    return fds->count <= FD_IMAGE ||
           write_image(setup, instance, fds->fd[FD_IMAGE], &reply->size, error);
}

int
main(int argc, char **argv)
{
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    g_autoptr(GError) error = NULL;
    VtdSeedReply reply = {.code = -1};
    VtdSeedSetup setup;

    if (!vtd_sandbox_greet(argc, argv))
        return 2;
    if (!vtd_channel_receive(VTD_WORKER_FD, &setup, sizeof(setup), &fds, &error) || fds.count < 1)
        return 1;
    if (!make(&setup, &fds, &reply, &error)) {
        reply.code = error->domain == VT_ERROR ? error->code : VT_ERROR_FAILED;
        g_strlcpy(reply.message, error->message, sizeof(reply.message));
        g_clear_error(&error);
    }
    return vtd_channel_send(VTD_WORKER_FD, &reply, sizeof(reply), NULL, &error) ? 0 : 1;
}
