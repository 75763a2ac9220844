/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-bridge.c: a full layer out of its difference from what this host has
 *
 * Theory of operation. A publisher may store a version twice: as a full layer, which hosts keep and
 * later versions are made over, and as a delta over the version before it, the bridge. A host that
 * has most of the bridge's chain fetches the rest of it into partial files, reads the disk that it
 * makes, and writes what it finds into the partial file of the full layer. The transfer of that
 * layer then goes on as if it had been cut: what has the digest of its frame is not fetched. So the
 * bridge is a way to get bytes, and nothing but a way; the pool is the same whichever way was
 * taken.
 */
#include "vtd-bridge.h"

#include "vt-fill.h"
#include "vt-fs.h"
#include "vt-index.h"

#include <unistd.h>

/* A bridge must cost at most this percentage of the layer: its chain is written, and read again */
#define BRIDGE_PERCENT 75

/* A layer of the bridge; what is below it stands before it */
typedef struct {
    const VtTemplateLayer *of;
    GBytes *index;
    VtDigest parent;
    int fd;
    bool partial;
} Step;

typedef struct {
    VtdBridge *bridge;
    VtManifest *manifest;
    GPtrArray *layers;
    GArray *steps; /* (element-type Step) */
    bool *filled;  /* whether the file may have been written to */
} Crossing;

static void
step_clear(gpointer data)
{
    Step *step = data;

    vt_close_fd(&step->fd);
    g_clear_pointer(&step->index, g_bytes_unref);
}

static void
crossing_clear(Crossing *crossing)
{
    g_clear_pointer(&crossing->steps, g_array_unref);
    g_clear_pointer(&crossing->layers, g_ptr_array_unref);
    g_clear_pointer(&crossing->manifest, vt_manifest_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Crossing, crossing_clear)

/* Bytes of the bridge's layers that a host lacks */
static uint64_t
missing_size(const GPtrArray *layers, VtdBridgeHas has, const void *user)
{
    uint64_t size = 0;

    for (guint i = 0; i < layers->len; i++) {
        if (!has(user, layers->pdata[i]))
            size += vt_template_layer_size(layers->pdata[i]);
    }
    return size;
}

/* Both without the layer's index, which is needed anyway */
static bool
is_cheaper(uint64_t bridge, uint64_t without)
{
    return (double)bridge * 100 <= (double)without * BRIDGE_PERCENT;
}

uint64_t
vtd_bridge_cost(VtdReader *reader, const char *name, const VtTemplateLayer *layer, VtdBridgeHas has,
                const void *user)
{
    const uint64_t index = layer->index->size, without = vt_template_layer_size(layer);
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GPtrArray) layers = NULL;
    VtDigest digest;
    uint64_t size;

    /* what cannot be read cannot be crossed */
    if (!vt_template_layer_bridge(layer, &digest, &size) ||
        !vtd_reader_bridge(reader, name, layer, &manifest, &layers, NULL))
        return without;
    size += missing_size(layers, has, user);
    return is_cheaper(size, without - index) ? index + size : without;
}

/* ---- which way is cheaper ---- */

static bool
is_here(const void *user, const VtTemplateLayer *layer)
{
    const VtdBridge *bridge = user;
    const VtDigest *index = &layer->index->digest;

    for (guint i = 0; i < bridge->damaged->len; i++) {
        if (vt_digest_equal(&g_array_index(bridge->damaged, VtDigest, i), index))
            return false;
    }
    return vt_pool_has_layer(bridge->pool, index);
}

/* Space that was reserved, and not written to, counts as a hole */
static uint64_t
bytes_in(int fd)
{
    off_t at = lseek(fd, 0, SEEK_DATA);
    uint64_t bytes = 0;

    while (at >= 0) {
        const off_t end = lseek(fd, at, SEEK_HOLE);

        bytes += (uint64_t)MAX(end - at, 0);
        at = end < 0 ? end : lseek(fd, end, SEEK_DATA);
    }
    return bytes;
}

/* Bytes of frames that are still to come if no bridge is crossed; of a file that was begun, in
 * proportion to what is in it */
static uint64_t
bytes_without(const VtdBridge *bridge)
{
    const uint64_t data = vt_index_peek_data(g_bytes_get_data(bridge->index, NULL));
    const uint64_t bytes = vt_template_layer_size(bridge->layer) - bridge->layer->index->size;
    const double part = (double)bytes_in(bridge->output_fd) / (double)MAX(data, 1);

    return bytes - (uint64_t)((double)bytes * MIN(part, 1.0));
}

static bool
read_manifest(Crossing *crossing, const VtDigest *digest, uint64_t size, GError **error)
{
    const VtdBridge *bridge = crossing->bridge;
    VtSource *source = vtd_fetcher_source(bridge->fetcher);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) bytes = NULL;

    return source->get_manifest(source, bridge->repository, vt_digest_format(digest, text), &bytes,
                                error) &&
           vtd_document_check(bytes, digest, size, "bridge", error) &&
           vt_manifest_parse(bytes, &crossing->manifest, error) &&
           vt_bridge_layers(crossing->manifest, &crossing->layers, error);
}

/* ---- the way ---- */

static bool
get_index(const VtdBridge *bridge, const VtDescriptor *descriptor, bool here, GBytes **ret_index,
          GError **error)
{
    VtSource *source = vtd_fetcher_source(bridge->fetcher);
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GBytes) bytes = NULL;

    if (descriptor->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "an index of %" G_GUINT64_FORMAT " bytes",
                        descriptor->size);
    if (!(here ? vt_pool_read_index(bridge->pool, &descriptor->digest, &bytes, error)
               : source->get_blob(source, bridge->repository,
                                  vt_digest_format(&descriptor->digest, text), descriptor->size,
                                  &bytes, error)) ||
        !vtd_document_check(bytes, &descriptor->digest, descriptor->size, "index", error))
        return false;
    *ret_index = g_steal_pointer(&bytes);
    return true;
}

/* The layers below number @count, its parent first; they borrow from the steps */
static VtAncestor *
ancestors_of(const Crossing *crossing, guint count)
{
    VtAncestor *ancestors = g_new0(VtAncestor, MAX(count, 1));

    for (guint i = 0; i < count; i++) {
        const Step *step = &g_array_index(crossing->steps, Step, count - 1 - i);

        ancestors[i] = (VtAncestor){step->index, step->fd};
    }
    return ancestors;
}

static void
count_received(void *user, uint64_t done, uint64_t total, uint64_t received)
{
    *(uint64_t *)user = received;
}

static bool
fetch_step(Crossing *crossing, guint number, bool resumed, GError **error)
{
    VtdBridge *bridge = crossing->bridge;
    const Step *step = &g_array_index(crossing->steps, Step, number);
    const VtTemplateLayer *below = number > 0 ? crossing->layers->pdata[number - 1] : NULL;
    g_autofree VtAncestor *ancestors = ancestors_of(crossing, number);
    g_autofree char *backing =
        below ? vt_pool_layer_path(bridge->pool, &below->index->digest) : NULL;
    uint64_t received = 0;
    const VtdUnpackRequest request = {.index = step->index,
                                      .repository = bridge->repository,
                                      .blobs = step->of->blobs,
                                      .ancestors = ancestors,
                                      .ancestor_count = number,
                                      .backing = backing,
                                      .output_fd = step->fd,
                                      .resume = resumed,
                                      .progress = count_received,
                                      .user = &received};
    const bool ok = vtd_fetcher_unpack(bridge->fetcher, &request, error);

    bridge->received += received;
    return ok;
}

static bool
take_step(Crossing *crossing, const VtTemplateLayer *layer, GError **error)
{
    const VtdBridge *bridge = crossing->bridge;
    const bool here = is_here(bridge, layer);
    const guint number = crossing->steps->len;
    bool resumed = false;
    Step *step;

    g_array_append_val(crossing->steps, ((const Step){.of = layer, .fd = -1}));
    step = &g_array_index(crossing->steps, Step, number);
    if (!get_index(bridge, layer->index, here, &step->index, error))
        return false;
    if (here)
        return vt_pool_open_layer(bridge->pool, &layer->index->digest, &step->fd, error);
    if (!vt_pool_partial_open(bridge->pool, &layer->index->digest, &step->fd, &resumed, error))
        return false;
    step->partial = true;
    return fetch_step(crossing, number, resumed, error);
}

static bool
fill(Crossing *crossing, GError **error)
{
    const VtdBridge *bridge = crossing->bridge;
    const VtTemplateLayer *top = crossing->layers->pdata[crossing->layers->len - 1];
    g_autofree VtAncestor *ancestors = ancestors_of(crossing, crossing->steps->len);
    g_autoptr(VtChain) chain = NULL;
    g_autoptr(VtIndex) index = NULL;

    if (!vt_chain_new(&top->index->digest, ancestors, crossing->steps->len, &chain, error) ||
        !vt_index_parse(bridge->index, &index, error))
        return false;
    *crossing->filled = true;
    return vt_fill_layer(index, chain, bridge->output_fd, bridge->cancellable, error);
}

static bool
walk(Crossing *crossing, GError **error)
{
    crossing->steps = g_array_new(FALSE, FALSE, sizeof(Step));
    g_array_set_clear_func(crossing->steps, step_clear);
    for (guint i = 0; i < crossing->layers->len; i++) {
        if (!take_step(crossing, crossing->layers->pdata[i], error))
            return false;
    }
    return fill(crossing, error);
}

/* Behind the bridge they are of no use, but one who was stopped on it will want to go on; unless
 * they take the space that the layer needs. What was right in one is not told apart from what was
 * not. */
static void
remove_steps(const Crossing *crossing)
{
    for (guint i = 0; i < crossing->steps->len; i++) {
        const Step *step = &g_array_index(crossing->steps, Step, i);

        if (step->partial)
            vt_pool_partial_remove(crossing->bridge->pool, &step->of->index->digest);
    }
}

static bool
cross(VtdBridge *bridge, const VtDigest *digest, uint64_t size, bool *filled, GError **error)
{
    g_auto(Crossing) crossing = {.bridge = bridge, .filled = filled};
    GError *local = NULL;
    const uint64_t without = bytes_without(bridge);

    if (!is_cheaper(size, without))
        return true;
    if (!read_manifest(&crossing, digest, size, error))
        return false;
    if (!is_cheaper(size + missing_size(crossing.layers, is_here, bridge), without))
        return true;
    if (walk(&crossing, &local)) {
        remove_steps(&crossing);
        return true;
    }
    if (g_error_matches(local, VT_ERROR, VT_ERROR_CORRUPT) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_INVALID) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_NO_SPACE))
        remove_steps(&crossing);
    g_propagate_error(error, local);
    return false;
}

bool
vtd_bridge_fill(VtdBridge *bridge)
{
    g_autoptr(GError) error = NULL;
    bool filled = false;
    uint64_t size;
    VtDigest digest;

    if (vt_template_layer_bridge(bridge->layer, &digest, &size) &&
        !cross(bridge, &digest, size, &filled, &error)) {
        char text[VT_DIGEST_STRING_MAX];

        g_message("layer %s is fetched in full, not as a difference: %s",
                  vt_digest_format(&bridge->layer->index->digest, text), error->message);
    }
    return filled;
}
