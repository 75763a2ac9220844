/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-restore.c: the layers of a published template as files, to encode or to compare against
 *
 * Theory of operation. The base comes first, as each layer takes from those below it. A host makes
 * these files with two sandboxed workers; a publisher made the data himself, so here a thread
 * unpacks, and the calling thread, whose store it is, serves the ring.
 */
#include "vt-restore.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-manifest.h"
#include "vt-ring-server.h"
#include "vt-sha256.h"
#include "vt-spool.h"
#include "vt-unpack.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

struct VtRestore {
    uint32_t count;
    VtAncestor ancestors[]; /* the parent first */
};

void
vt_restore_free(VtRestore *restore)
{
    for (uint32_t i = 0; restore && i < restore->count; i++) {
        g_clear_pointer(&restore->ancestors[i].index, g_bytes_unref);
        vt_close_fd(&restore->ancestors[i].fd);
    }
    g_free(restore);
}

const VtAncestor *
vt_restore_ancestors(const VtRestore *restore, uint32_t *ret_count)
{
    *ret_count = restore->count;
    return restore->ancestors;
}

/* ---- one layer ---- */

typedef struct {
    const VtRestoreJob *job;
    VtUnpackJob unpack;
    GArray *sizes; /* (element-type guint64) */
    GArray *blobs; /* (element-type VtRingBlob) */
    int ring_fd;
    int serve_fd;
    int socket_fd;   /* of the thread, once that runs */
    GError *failure; /* of the thread */
} Layer;

static void
layer_clear(Layer *layer)
{
    g_clear_pointer(&layer->sizes, g_array_unref);
    g_clear_pointer(&layer->blobs, g_array_unref);
    vt_close_fd(&layer->ring_fd);
    vt_close_fd(&layer->serve_fd);
    vt_close_fd(&layer->socket_fd);
    g_clear_error(&layer->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Layer, layer_clear)

static void
unpack_progress(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    const Layer *layer = user;

    layer->job->progress(layer->job->user, done, total);
}

static bool
get_index(const VtRestoreJob *job, const VtDescriptor *descriptor, GBytes **ret_index,
          GError **error)
{
    VtSource *source = vt_store_source(job->store);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) bytes = NULL;

    vt_digest_format(&descriptor->digest, text);
    if (descriptor->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "its index has %" G_GUINT64_FORMAT " bytes",
                        descriptor->size);
    if (!source->get_blob(source, job->repository, text, descriptor->size, &bytes, error)) {
        g_prefix_error(error, "its index %s: ", text);
        return false;
    }
    if (!vt_sha256_matches(bytes, &descriptor->digest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "its index does not have its digest %s: it is damaged or was changed",
                        text);
    *ret_index = g_steal_pointer(&bytes);
    return true;
}

static void
list_blobs(Layer *layer, GPtrArray *descriptors)
{
    layer->sizes = g_array_new(false, false, sizeof(guint64));
    layer->blobs = g_array_new(false, true, sizeof(VtRingBlob));
    for (guint i = 0; i < descriptors->len; i++) {
        const VtDescriptor *descriptor = descriptors->pdata[i];
        VtRingBlob blob = {.size = descriptor->size};

        vt_digest_format(&descriptor->digest, blob.digest);
        g_array_append_val(layer->blobs, blob);
        g_array_append_val(layer->sizes, descriptor->size);
    }
}

static bool
make_ring(Layer *layer, GError **error)
{
    int pair[2];

    layer->ring_fd = memfd_create("vt-ring", MFD_CLOEXEC);
    if (layer->ring_fd < 0 ||
        ftruncate(layer->ring_fd, (off_t)VT_RING_SLOTS * VT_RING_SLOT_SIZE) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return vt_throw_errno(error, errno, "cannot make the ring");
    layer->serve_fd = pair[0];
    layer->socket_fd = pair[1];
    return true;
}

/* Closing its end of the ring ends the serving */
static gpointer
unpack(gpointer data)
{
    Layer *layer = data;

    (void)vt_unpack_run(&layer->unpack, &layer->failure);
    vt_close_fd(&layer->socket_fd);
    return NULL;
}

static bool
serve_ring(Layer *layer, int stop_fd, GError **error)
{
    const VtRingSource source = {.repository = layer->job->repository,
                                 .blobs = (const VtRingBlob *)(const void *)layer->blobs->data,
                                 .count = layer->blobs->len,
                                 .memory_fd = layer->ring_fd,
                                 .socket_fd = layer->serve_fd};
    g_autoptr(VtRingServer) server = vt_ring_server_new(layer->job->store);
    GThread *thread;

    if (!vt_ring_server_add(server, &source, error))
        return false;
    vt_close_fd(&layer->serve_fd);
    thread = g_thread_new("restore", unpack, layer);
    (void)vt_ring_server_run(server, stop_fd);
    g_clear_pointer(&server, vt_ring_server_free);
    g_thread_join(thread);
    if (g_cancellable_set_error_if_cancelled(layer->job->cancellable, error))
        return false;
    if (!layer->failure)
        return true;
    g_propagate_error(error, g_steal_pointer(&layer->failure));
    return false;
}

/* @ancestor: gets the index and the file; those of the layers below follow it */
static bool
restore_layer(const VtRestoreJob *job, const VtTemplateLayer *described, VtAncestor *ancestor,
              uint32_t below, GError **error)
{
    g_auto(Layer) layer = {.job = job, .ring_fd = -1, .serve_fd = -1, .socket_fd = -1};
    bool ok;
    int stop_fd;

    if (!get_index(job, described->index, &ancestor->index, error) ||
        !vt_spool_open(&ancestor->fd, error) || !make_ring(&layer, error))
        return false;
    list_blobs(&layer, described->blobs);
    layer.unpack = (VtUnpackJob){.index = ancestor->index,
                                 .blob_sizes = (const uint64_t *)(void *)layer.sizes->data,
                                 .blob_count = layer.sizes->len,
                                 .ancestors = ancestor + 1,
                                 .ancestor_count = below,
                                 .output_fd = ancestor->fd,
                                 .ring_fd = layer.ring_fd,
                                 .socket_fd = layer.socket_fd,
                                 .ready_fd = -1,
                                 .streams = vt_store_streams(job->store),
                                 .scratch = true,
                                 .progress = job->progress ? unpack_progress : NULL,
                                 .user = &layer};
    stop_fd = g_cancellable_get_fd(job->cancellable);
    ok = serve_ring(&layer, stop_fd, error);
    if (stop_fd >= 0)
        g_cancellable_release_fd(job->cancellable);
    return ok;
}

bool
vt_restore_layers(const VtRestoreJob *job, VtRestore **ret_restore, GError **error)
{
    const uint32_t count = job->layers->len;
    g_autoptr(VtRestore) restore = g_malloc0(sizeof(*restore) + count * sizeof(VtAncestor));

    restore->count = count;
    for (uint32_t i = 0; i < count; i++)
        restore->ancestors[i].fd = -1;
    for (uint32_t i = 0; i < count; i++) {
        const VtTemplateLayer *layer = job->layers->pdata[i];

        if (g_cancellable_set_error_if_cancelled(job->cancellable, error))
            return false;
        if (!restore_layer(job, layer, &restore->ancestors[count - 1 - i], i, error)) {
            char text[VT_DIGEST_STRING_MAX];

            g_prefix_error(error, "layer %u of %u (%s): ", i + 1, count,
                           vt_digest_format(&layer->index->digest, text));
            return false;
        }
    }
    *ret_restore = g_steal_pointer(&restore);
    return true;
}
