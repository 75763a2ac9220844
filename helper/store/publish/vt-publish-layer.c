/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-layer.c: the image of a request becomes a layer, of the store or of nothing */
#include "vt-publish-layer.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-publish-bridge.h"
#include "vt-publish-catalog.h"
#include "vt-sha256.h"

#include <errno.h>
#include <fcntl.h>

/*
 * A delta of more than this percentage of the data is not worth it. A host that has the parent
 * would fetch that much less; but one that has nothing fetches the parent, too, of which then more
 * than half serves nobody, and every guest reads through one more file for as long as the version
 * lives. Of a rebuilt image 42 % are new, of an upgraded one less; what is above is mostly a
 * different system under the same name.
 */
#define WORTH_PERCENT 60

typedef struct {
    VtBlobSink sink; /* first: the sink is this */
    const VtPublisher *publisher;
    char *repository;
} StoreSink;

static bool
sink_begin(VtBlobSink *sink, int *ret_fd, GError **error)
{
    return vt_store_blob_begin(((StoreSink *)sink)->publisher->store, ret_fd, error);
}

static bool
sink_commit(VtBlobSink *sink, int given_fd, const VtDigest *digest, uint64_t size, GError **error)
{
    const StoreSink *self = (StoreSink *)sink;
    char text[VT_DIGEST_STRING_MAX];
    vt_autofd fd = given_fd;
    const VtStoreBlob blob = {.repository = self->repository,
                              .fd = fd,
                              .digest = vt_digest_format(digest, text),
                              .size = size};

    return vt_store_put_blob(self->publisher->store, &blob, error);
}

static bool
nowhere_begin(VtBlobSink *sink, int *ret_fd, GError **error)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open /dev/null");
    *ret_fd = fd;
    return true;
}

static bool
nowhere_commit(VtBlobSink *sink, int fd, const VtDigest *digest, uint64_t size, GError **error)
{
    close(fd);
    return true;
}

static bool
encode(const VtPublishRequest *request, const VtPublishParent *parent, unsigned worth,
       VtBlobSink *sink, VtEncodeResult *ret, GError **error)
{
    const VtDigest *below = vt_publish_parent_index(parent);
    VtEncodeOptions options = {.level = request->level,
                               .chain = parent->chain,
                               .worth = worth,
                               .progress = request->progress,
                               .user = request->user,
                               .cancellable = request->cancellable};

    if (below)
        options.parent = *below;
    return vt_encode_image(request->image_fd, &options, sink, ret, error);
}

/* Why, in a sentence that names the parent */
static char *
describe_worthless(const VtPublishParent *parent, const VtEncodeResult *layer)
{
    return g_strdup_printf("about %.0f %% of the data is not in %s@%s, and a delta is worth it up "
                           "to %d %%",
                           100.0 * (double)layer->unique_bytes / (double)MAX(layer->data_bytes, 1),
                           parent->name, parent->version, WORTH_PERCENT);
}

static bool
open_parent(const VtPublisher *publisher, const VtPublishRequest *request, VtPublishParent *parent,
            GError **error)
{
    g_autoptr(GError) local = NULL;

    if (vt_publish_parent_open(publisher, request, parent, &local))
        return true;
    if (local->domain == VT_ERROR)
        return vt_throw(error, (VtError)local->code,
                        "the parent's layers cannot be read: %s; nothing was uploaded ('--parent "
                        "none' makes a full layer, which needs no parent)",
                        local->message);
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

/* A layer that only inherits would be one more to read through, and to hold */
static bool
find_same(VtPublishParent *parent, const VtEncodeResult *layer, GError **error)
{
    g_autoptr(VtIndex) index = NULL;
    VtExtentIter iter;
    VtExtent extent;

    if (!vt_index_parse(layer->index, &index, error))
        return false;
    vt_extent_iter_init(&iter, index);
    parent->same = index->capacity / VT_INDEX_BLOCK_SIZE == vt_chain_blocks(parent->chain, 1) &&
                   index->extent_count == 1 && vt_extent_iter_next(&iter, &extent) &&
                   vt_extent_is_inherited(&extent);
    return true;
}

/* Readers of single pages start with the root, which the manifest names; others want to know what
 * to expect before they fetch anything */
static void
annotate_index(VtDescriptor *descriptor, const VtEncodeResult *layer)
{
    g_autofree char *size = g_strdup_printf("%u", layer->index_root_size);
    g_autofree char *data = g_strdup_printf(
        "%" G_GUINT64_FORMAT, vt_index_peek_data(g_bytes_get_data(layer->index, NULL)));
    char text[VT_DIGEST_STRING_MAX];
    VtDigest root;

    vt_sha256_data(g_bytes_get_data(layer->index, NULL), layer->index_root_size, &root);
    vt_descriptor_annotate(descriptor, VT_INDEX_ROOT_SIZE_KEY, size);
    vt_descriptor_annotate(descriptor, VT_INDEX_ROOT_DIGEST_KEY, vt_digest_format(&root, text));
    vt_descriptor_annotate(descriptor, VT_INDEX_DATA_SIZE_KEY, data);
}

bool
vt_publish_layer_list(const VtPublisher *publisher, const VtPublishRequest *request,
                      const VtEncodeResult *layer, VtManifest *manifest, GError **error)
{
    VtDescriptor *index = NULL;

    if (!vt_publish_put(publisher, request->name, VT_LAYER_INDEX_TYPE, layer->index, &index, error))
        return false;
    annotate_index(index, layer);
    g_ptr_array_add(manifest->layers, index);
    for (guint i = 0; i < layer->blob_digests->len; i++)
        g_ptr_array_add(manifest->layers,
                        vt_descriptor_new(VT_LAYER_FRAMES_TYPE,
                                          &g_array_index(layer->blob_digests, VtDigest, i),
                                          g_array_index(layer->blob_sizes, guint64, i)));
    return true;
}

/* A second time, in full; what was made over @parent becomes the bridge to that */
static bool
make_checkpoint(const VtPublisher *publisher, const VtPublishRequest *request,
                VtPublishParent *parent, VtBlobSink *sink, VtEncodeResult *layer, GError **error)
{
    const VtPublishParent none = {0};
    g_auto(VtEncodeResult) full = {0};
    VtPublishBridge bridge = {0};
    VtEncodeResult delta;

    if (!encode(request, &none, 0, sink, &full, error))
        return false;
    bridge.full = full.index_digest;
    if (!vt_publish_bridge(publisher, request, parent, layer, &bridge, error))
        return false;
    vt_publish_parent_drop(parent,
                           g_strdup_printf("a checkpoint: over %s the chain would have more than "
                                           "%u layers",
                                           bridge.over, request->checkpoint));
    parent->bridge = bridge;
    delta = *layer;
    *layer = full;
    full = delta;
    return true;
}

bool
vt_publish_layer(const VtPublisher *publisher, const VtPublishRequest *request,
                 VtPublishParent *parent, VtEncodeResult *ret_layer, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, request->name);
    StoreSink sink = {{sink_begin, sink_commit}, publisher, repository};
    g_auto(VtEncodeResult) layer = {0};

    if (parent->manifest) {
        if (!open_parent(publisher, request, parent, error) ||
            !encode(request, parent, WORTH_PERCENT, &sink.sink, &layer, error))
            return false;
        if (layer.worthless)
            vt_publish_parent_drop(parent, describe_worthless(parent, &layer));
        else if (!find_same(parent, &layer, error) ||
                 !vt_publish_parent_copy(publisher, parent, repository, error))
            return false;
    }
    if (!parent->manifest && !encode(request, parent, 0, &sink.sink, &layer, error))
        return false;
    if (parent->checkpoint && !parent->same &&
        !make_checkpoint(publisher, request, parent, &sink.sink, &layer, error))
        return false;
    *ret_layer = layer;
    layer = (VtEncodeResult){0};
    return true;
}

bool
vt_publish_layer_again(const VtPublisher *publisher, const VtPublishRequest *request,
                       VtPublishParent *parent, VtEncodeResult *ret_layer, GError **error)
{
    VtBlobSink nowhere = {nowhere_begin, nowhere_commit};

    return (!vt_publish_parent_index(parent) ||
            vt_publish_parent_open(publisher, request, parent, error)) &&
           encode(request, parent, 0, &nowhere, ret_layer, error);
}
