/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-ancestors.c: layers on their way to a worker */
#include "vtd-ancestors.h"

#include "vt-fs.h"
#include "vtd-channel.h"
#include "vtd-worker-protocol.h"

static void
clear_ancestor(gpointer data)
{
    VtAncestor *ancestor = data;

    vt_close_fd(&ancestor->fd);
    g_clear_pointer(&ancestor->index, g_bytes_unref);
}

GArray *
vtd_ancestors_new(void)
{
    GArray *ancestors = g_array_new(FALSE, FALSE, sizeof(VtAncestor));

    g_array_set_clear_func(ancestors, clear_ancestor);
    return ancestors;
}

bool
vtd_ancestors_send(int socket_fd, const VtAncestor *ancestors, uint32_t count, GError **error)
{
    for (uint32_t i = 0; i < count; i++) {
        const VtdUnpackAncestor message = {g_bytes_get_size(ancestors[i].index)};
        vt_autofd index = -1;

        if (!vtd_memfd("index", ancestors[i].index, &index, error) ||
            !vtd_channel_send(socket_fd, &message, sizeof(message),
                              &(const VtdFds){{index, ancestors[i].fd}, 2}, error))
            return false;
    }
    return true;
}

bool
vtd_index_read(int fd, uint64_t size, GBytes **ret_index, GError **error)
{
    g_autofree uint8_t *data = size <= VT_INDEX_SIZE_MAX ? g_try_malloc(size + 1) : NULL;

    if (!data)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "no memory for the layer's index");
    if (!vt_fs_pread_all(fd, data, size, 0, "index", error))
        return false;
    *ret_index = g_bytes_new_take(g_steal_pointer(&data), size);
    return true;
}

bool
vtd_ancestors_receive(int socket_fd, uint32_t count, GArray **ret_ancestors, GError **error)
{
    g_autoptr(GArray) ancestors = vtd_ancestors_new();

    for (uint32_t i = 0; i < count; i++) {
        g_auto(VtdFds) fds = VTD_FDS_NONE;
        VtAncestor ancestor = {.fd = -1};
        VtdUnpackAncestor message;

        if (!vtd_channel_receive(socket_fd, &message, sizeof(message), &fds, error) ||
            !vtd_index_read(fds.fd[0], message.index_size, &ancestor.index, error))
            return false;
        ancestor.fd = vtd_fds_take(&fds, 1);
        g_array_append_val(ancestors, ancestor);
    }
    *ret_ancestors = g_steal_pointer(&ancestors);
    return true;
}
