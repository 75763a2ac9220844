/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seed.c: the seed worker, as a call sees it */
#include "vtd-seed.h"

#include "vt-fs.h"
#include "vtd-spawn.h"
#include "vtd-worker-protocol.h"

#include <sys/random.h>

/* Below the 5 s within which every method answers */
#define SEED_TIMEOUT_MS 4000
/* A seed is at most 16 MiB of files, and the structure around them */
#define IMAGE_MAX (UINT64_C(32) << 20)

void
vtd_seed_clear(VtdSeed *seed)
{
    g_clear_pointer(&seed->path, g_free);
    g_clear_pointer(&seed->owner, g_free);
    g_clear_pointer(&seed->image, g_bytes_unref);
}

static bool
send_setup(const VtdWorkerConfig *config, const VtdProcess *process, GBytes *xml, const VtdFds *fds,
           GError **error)
{
    VtdSeedSetup setup = {
        .uid = config->unpack_uid, .gid = config->unpack_gid, .xml_size = g_bytes_get_size(xml)};

    if (getrandom(setup.random, sizeof(setup.random), 0) != (ssize_t)sizeof(setup.random))
        return vt_throw(error, VT_ERROR_FAILED, "there is no randomness for the seed");
    return vtd_channel_send(process->socket_fd, &setup, sizeof(setup), fds, error);
}

static bool
take_reply(const VtdProcess *process, VtdSeedReply *ret, GError **error)
{
    if (!vtd_process_wait(process, SEED_TIMEOUT_MS, NULL, error) ||
        !vtd_channel_receive(process->socket_fd, ret, sizeof(*ret), NULL, error)) {
        g_prefix_error(error, "seed worker: ");
        return false;
    }
    ret->path[sizeof(ret->path) - 1] = ret->owner[sizeof(ret->owner) - 1] =
        ret->message[sizeof(ret->message) - 1] = '\0';
    if (ret->code >= 0)
        return vt_throw(error, ret->code < VT_ERROR_LAST ? (VtError)ret->code : VT_ERROR_FAILED,
                        "%s", ret->message);
    return ret->size <= IMAGE_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE, "the seed worker exceeded its limit");
}

static bool
read_image(int fd, uint64_t size, GBytes **ret_image, GError **error)
{
    g_autofree char *data = g_malloc(size + 1);

    if (!vt_fs_pread_all(fd, data, size, 0, "the seed", error))
        return false;
    *ret_image = g_bytes_new_take(g_steal_pointer(&data), size);
    return true;
}

bool
vtd_seed_make(const VtdWorkerConfig *config, GBytes *xml, bool with_image, VtdSeed *ret_seed,
              GError **error)
{
    g_autofree char *program = g_build_filename(config->program_dir, "seed-worker", NULL);
    g_auto(VtdProcess) process = {.socket_fd = -1};
    g_auto(VtdFds) fds = VTD_FDS_NONE;
    VtdSeedReply reply;

    if (!vtd_process_start(program, &process, error) ||
        !vtd_memfd("domain", xml, &fds.fd[0], error) ||
        (with_image && !vtd_memfd("seed", NULL, &fds.fd[1], error)))
        return false;
    fds.count = with_image ? 2 : 1;
    if (!send_setup(config, &process, xml, &fds, error) || !take_reply(&process, &reply, error))
        return false;
    if (*reply.path && with_image && !read_image(fds.fd[1], reply.size, &ret_seed->image, error))
        return false;
    ret_seed->path = *reply.path ? g_strdup(reply.path) : NULL;
    ret_seed->owner = g_strdup(reply.owner);
    return true;
}
