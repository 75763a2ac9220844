/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish.c: an image becomes a signed template of a store */
#include "vt-publish.h"

#include "vt-encode.h"
#include "vt-fs.h"
#include "vt-index.h"
#include "vt-name.h"
#include "vt-publish-catalog.h"
#include "vt-sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

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
encode(const VtPublisher *publisher, const VtPublishRequest *request, VtEncodeResult *ret,
       GError **error)
{
    const VtEncodeOptions options = {
        .level = request->level, .progress = request->progress, .user = request->user};
    g_autofree char *repository = vt_store_url_repository(publisher->url, request->name);
    StoreSink sink = {{sink_begin, sink_commit}, publisher, repository};

    return vt_encode_image(request->image_fd, &options, &sink.sink, ret, error);
}

static bool
add_config(const VtPublisher *publisher, const VtPublishRequest *request, uint64_t capacity,
           VtDescriptor **ret_config, char **ret_created, GError **error)
{
    g_autofree char *created = vt_publish_now(0);
    const VtTemplateConfig config = {.name = (char *)(uintptr_t)request->name,
                                     .version = (char *)(uintptr_t)request->version,
                                     .os = (char *)(uintptr_t)request->os,
                                     .architecture = (char *)(uintptr_t)request->architecture,
                                     .created = created,
                                     .capacity = capacity};
    g_autoptr(GBytes) bytes = vt_template_config_format(&config);

    if (!vt_publish_put(publisher, request->name, VT_TEMPLATE_CONFIG_TYPE, bytes, ret_config,
                        error))
        return false;
    *ret_created = g_steal_pointer(&created);
    return true;
}

/* Readers of single pages start with the root, which the manifest names */
static void
annotate_index(VtDescriptor *descriptor, const VtEncodeResult *layer)
{
    g_autofree char *size = g_strdup_printf("%u", layer->index_root_size);
    char text[VT_DIGEST_STRING_MAX];
    VtDigest root;

    vt_sha256_data(g_bytes_get_data(layer->index, NULL), layer->index_root_size, &root);
    vt_descriptor_annotate(descriptor, VT_INDEX_ROOT_SIZE_KEY, size);
    vt_descriptor_annotate(descriptor, VT_INDEX_ROOT_DIGEST_KEY, vt_digest_format(&root, text));
}

static bool
add_layer(const VtPublisher *publisher, const VtPublishRequest *request, VtManifest *manifest,
          const VtEncodeResult *layer, GError **error)
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

/* Config, manifest and signatures of one version; @ret_entry: what the catalog will say of it */
static bool
publish_version(const VtPublisher *publisher, const VtPublishRequest *request,
                const VtEncodeResult *layer, VtCatalogEntry **ret_entry, GError **error)
{
    VtDescriptor *config = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *created = NULL, *tag = vt_version_tag(request->version);
    VtDigest digest;
    VtCatalogEntry *entry;

    if (!add_config(publisher, request, layer->capacity, &config, &created, error))
        return false;
    manifest = vt_manifest_new(VT_TEMPLATE_ARTIFACT_TYPE, config);
    if (!add_layer(publisher, request, manifest, layer, error))
        return false;
    g_hash_table_replace(manifest->annotations, g_strdup("org.opencontainers.image.created"),
                         g_strdup(created));
    g_hash_table_replace(manifest->annotations, g_strdup("org.opencontainers.image.title"),
                         g_strdup(request->name));
    g_hash_table_replace(manifest->annotations, g_strdup("org.opencontainers.image.version"),
                         g_strdup(request->version));
    bytes = vt_manifest_format(manifest);
    if (!vt_publish_manifest(publisher, request->name, tag, bytes, &digest, error))
        return false;
    entry = g_new0(VtCatalogEntry, 1);
    entry->version = g_strdup(request->version);
    entry->manifest = digest;
    entry->manifest_size = g_bytes_get_size(bytes);
    entry->capacity = layer->capacity;
    entry->format = g_strdup("qcow2");
    entry->os = g_strdup(request->os);
    entry->architecture = g_strdup(request->architecture);
    entry->created = g_steal_pointer(&created);
    *ret_entry = entry;
    return true;
}

/* Publishers of one layout wait for each other; a registry has no lock to offer */
static bool
lock_store(const VtPublisher *publisher, int *ret_fd, GError **error)
{
    vt_autofd fd = -1;

    if (publisher->url->transport != VT_TRANSPORT_OCI)
        return true;
    fd = open(publisher->url->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return vt_throw_errno(error, errno, "cannot lock the store '%s'", publisher->url->path);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* What a registry can do instead: notice. The catalog must be the one that was just written. */
static bool
check_not_overtaken(const VtPublisher *publisher, const VtCatalog *written, GError **error)
{
    g_autoptr(VtCatalog) now = NULL;
    VtDigest digest;

    if (!vt_publish_catalog_read(publisher, &now, &digest, error))
        return false;
    if (now->serial != written->serial)
        return vt_throw(error, VT_ERROR_BUSY,
                        "somebody else published at the same time and the catalog (serial "
                        "%" G_GUINT64_FORMAT ") may lack this version; publish again",
                        now->serial);
    return true;
}

static bool
refuse_existing(const VtCatalog *catalog, const VtPublishRequest *request, GError **error)
{
    if (vt_catalog_find(catalog, request->name, request->version))
        return vt_throw(error, VT_ERROR_EXISTS,
                        "%s@%s is published already, and a version never changes; nothing was "
                        "uploaded: choose a new version",
                        request->name, request->version);
    return true;
}

static bool
extend_catalog(const VtPublisher *publisher, const VtPublishRequest *request, VtCatalogEntry *entry,
               uint64_t *ret_serial, GError **error)
{
    g_autoptr(VtCatalogEntry) owned = entry;
    g_autoptr(VtCatalog) catalog = NULL;
    vt_autofd lock = -1;
    VtDigest digest;

    if (!lock_store(publisher, &lock, error) ||
        !vt_publish_catalog_read(publisher, &catalog, &digest, error) ||
        !refuse_existing(catalog, request, error))
        return false;
    catalog->serial++;
    if (!vt_catalog_add(catalog, request->name, g_steal_pointer(&owned), !request->keep_current,
                        error) ||
        !vt_publish_catalog_write(publisher, catalog, error) ||
        !check_not_overtaken(publisher, catalog, error))
        return false;
    *ret_serial = catalog->serial;
    return true;
}

bool
vt_publish_image(const VtPublisher *publisher, const VtPublishRequest *request,
                 VtPublishResult *ret_result, GError **error)
{
    g_autoptr(VtCatalog) catalog = NULL;
    g_auto(VtEncodeResult) layer = {0};
    VtCatalogEntry *entry = NULL;
    VtPublishResult result = {0};
    VtDigest digest;

    /* before the work, and again before the catalog is written */
    if (!vt_publish_catalog_read(publisher, &catalog, &digest, error) ||
        !refuse_existing(catalog, request, error) || !encode(publisher, request, &layer, error) ||
        !publish_version(publisher, request, &layer, &entry, error))
        return false;
    result = (VtPublishResult){.capacity = layer.capacity,
                               .data_bytes = layer.data_bytes,
                               .unique_bytes = layer.unique_bytes,
                               .stored_bytes = layer.stored_bytes,
                               .index_bytes = g_bytes_get_size(layer.index),
                               .manifest = entry->manifest};
    if (!extend_catalog(publisher, request, entry, &result.serial, error))
        return false;
    *ret_result = result;
    return true;
}

bool
vt_publish_init(const VtPublisher *publisher, char **ret_uuid, GError **error)
{
    g_autofree char *uuid = g_uuid_string_random(), *store = vt_store_url_format(publisher->url);
    g_autoptr(VtCatalog) catalog = vt_catalog_new(uuid);
    g_auto(VtCatalogFile) existing = {0};
    g_autoptr(GError) missing = NULL;
    vt_autofd lock = -1;

    if (!lock_store(publisher, &lock, error))
        return false;
    if (vt_catalog_file_find(vt_store_source(publisher->store), publisher->url, &existing,
                             &missing))
        return vt_throw(error, VT_ERROR_EXISTS, "the store '%s' has a catalog already", store);
    if (!g_error_matches(missing, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&missing));
        return false;
    }
    catalog->serial = 1;
    if (!vt_publish_catalog_write(publisher, catalog, error))
        return false;
    *ret_uuid = g_steal_pointer(&uuid);
    return true;
}
