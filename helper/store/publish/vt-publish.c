/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish.c: an image becomes a signed template of a store
 *
 * Theory of operation. The image is encoded into blobs that go to the store as they are complete;
 * then index, configuration, manifest and signatures; then the tag; then the catalog, which makes
 * it visible. When the catalog has the version already, the image is encoded into nothing, over the
 * layers that it was published over, just to learn the digest of its index: versions do not change,
 * but to publish one again does no harm.
 */
#include "vt-publish.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-json.h"
#include "vt-name.h"
#include "vt-publish-bridge.h"
#include "vt-publish-catalog.h"
#include "vt-publish-extend.h"
#include "vt-publish-layer.h"
#include "vt-sha256.h"

#include <string.h>

void
vt_publish_result_clear(VtPublishResult *result)
{
    g_clear_pointer(&result->renewed, g_free);
    g_clear_pointer(&result->parent, g_free);
    g_clear_pointer(&result->why_full, g_free);
    g_clear_pointer(&result->bridge, g_free);
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
                                     .capacity = capacity,
                                     .profile = request->profile};
    g_autoptr(GBytes) bytes = vt_template_config_format(&config);

    if (!vt_publish_put(publisher, request->name, VT_TEMPLATE_CONFIG_TYPE, bytes, ret_config,
                        error))
        return false;
    *ret_created = g_steal_pointer(&created);
    return true;
}

/* Config, manifest and signatures of one version; @ret_entry: what the catalog will say of it */
static bool
publish_version(const VtPublisher *publisher, const VtPublishRequest *request,
                const VtPublishParent *parent, const VtEncodeResult *layer,
                VtCatalogEntry **ret_entry, GError **error)
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
    vt_publish_parent_list(publisher, request, parent, manifest);
    if (!parent->same && !vt_publish_layer_list(publisher, request, layer, manifest, error))
        return false;
    if (parent->bridge.size > 0)
        vt_publish_bridge_annotate(&parent->bridge, manifest->layers->pdata[0]);
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

/* ---- a version that is there already ---- */

static bool
throw_exists(const VtPublishRequest *request, GError **error)
{
    return vt_throw(error, VT_ERROR_EXISTS,
                    "%s@%s exists with other content (or another level or parent), and versions "
                    "are immutable; nothing was uploaded: publish it under a new version",
                    request->name, request->version);
}

/* Its config; without a profile, NULL is one of no members */
static bool
check_profile(const VtPublisher *publisher, const VtPublishRequest *request,
              const VtManifest *manifest, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, request->name);
    VtSource *source = vt_store_source(publisher->store);
    g_autoptr(VtTemplateConfig) config = NULL;
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];

    if (!source->get_blob(source, repository, vt_digest_format(&manifest->config->digest, text),
                          MIN(manifest->config->size, VT_TEMPLATE_CONFIG_MAX), &bytes, error))
        return false;
    if (!vt_sha256_matches(bytes, &manifest->config->digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "%s@%s: its config does not match its digest",
                        request->name, request->version);
    if (!vt_template_config_parse(bytes, &config, error))
        return false;
    if (config->profile == request->profile || json_equal(config->profile, request->profile))
        return true;
    return vt_throw(error, VT_ERROR_EXISTS,
                    "%s@%s exists with another profile, and versions are immutable; nothing was "
                    "uploaded: publish it under a new version",
                    request->name, request->version);
}

/* What the request asks for is below what was published, or is the same; what a full layer was
 * chosen instead of does not show any more. @top: digest of the published index */
static bool
check_parent(const VtPublisher *publisher, const VtPublishRequest *request,
             const VtCatalog *catalog, const VtPublishParent *published, const VtDigest *top,
             GError **error)
{
    const VtDigest *below = vt_publish_parent_index(published), *wanted;
    g_auto(VtPublishParent) parent = {0};

    if (!below || !request->parent || strcmp(request->parent, "auto") == 0)
        return true;
    if (!vt_publish_parent_choose(publisher, request, catalog, &parent, error))
        return false;
    wanted = vt_publish_parent_index(&parent);
    return (wanted && (vt_digest_equal(wanted, below) || vt_digest_equal(wanted, top))) ||
           throw_exists(request, error);
}

static VtPublishResult
result_of(const VtPublishParent *parent, const VtEncodeResult *layer, const VtCatalogEntry *entry)
{
    const bool is_delta = vt_publish_parent_index(parent) != NULL;
    VtPublishResult result = {.capacity = layer->capacity,
                              .data_bytes = layer->data_bytes,
                              .unique_bytes = layer->unique_bytes,
                              .stored_bytes = layer->stored_bytes,
                              .index_bytes = parent->same ? 0 : g_bytes_get_size(layer->index),
                              .manifest = entry->manifest,
                              .why_full = g_strdup(parent->why_full),
                              .layers = is_delta ? parent->layers->len + !parent->same : 1};

    if (is_delta && parent->base_data > 0)
        result.full_bytes = (uint64_t)((double)layer->data_bytes * (double)parent->base_bytes /
                                       (double)parent->base_data);
    return result;
}

/* A publisher may come by rarely, and should not have to come after hosts have begun to warn */
static bool
should_renew(const VtPublisher *publisher, const VtCatalog *catalog)
{
    g_autofree char *half = vt_publish_now(vt_publish_days(publisher) / 2);

    return strcmp(catalog->expires, half) <= 0;
}

/* The same image again is fine, and changes nothing but the validity of the catalog; another one is
 * refused */
static bool
compare_existing(const VtPublisher *publisher, const VtPublishRequest *request,
                 const VtCatalog *catalog, VtPublishResult *ret_result, GError **error)
{
    const VtCatalogEntry *entry = vt_catalog_find(catalog, request->name, request->version);
    g_auto(VtPublishParent) parent = {0};
    g_auto(VtEncodeResult) layer = {0};
    VtDigest published;

    if (!vt_publish_parent_of(publisher, request, entry, &parent, &published, error) ||
        !check_profile(publisher, request, parent.manifest, error) ||
        !check_parent(publisher, request, catalog, &parent, &published, error) ||
        !vt_publish_layer_again(publisher, request, &parent, &layer, error))
        return false;
    if (!vt_digest_equal(&published, &layer.index_digest))
        return throw_exists(request, error);
    *ret_result = result_of(&parent, &layer, entry);
    ret_result->unchanged = true;
    ret_result->serial = catalog->serial;
    if (!should_renew(publisher, catalog))
        return true;
    ret_result->renewed = g_strdup(catalog->expires);
    return vt_publish_extend(publisher, request, entry, &ret_result->serial, error);
}

/* ---- */

static bool
publish_new(const VtPublisher *publisher, const VtPublishRequest *request, const VtCatalog *catalog,
            VtPublishResult *ret_result, GError **error)
{
    g_auto(VtPublishParent) parent = {0};
    g_auto(VtEncodeResult) layer = {0};
    g_autoptr(VtCatalogEntry) entry = NULL;
    uint64_t serial = 0;

    if (!vt_publish_parent_choose(publisher, request, catalog, &parent, error) ||
        !vt_publish_layer(publisher, request, &parent, &layer, error) ||
        !publish_version(publisher, request, &parent, &layer, &entry, error) ||
        !vt_publish_extend(publisher, request, entry, &serial, error))
        return false;
    *ret_result = result_of(&parent, &layer, entry);
    ret_result->serial = serial;
    if (parent.manifest)
        ret_result->parent = g_strdup_printf("%s@%s", parent.name, parent.version);
    ret_result->bridge = g_strdup(parent.bridge.over);
    ret_result->bridge_bytes = parent.bridge.bytes;
    return true;
}

/* Before anything is uploaded: what the catalog would refuse in the end */
static bool
check_request(const VtPublishRequest *request, GError **error)
{
    const struct {
        const char *what;
        const char *word;
    } words[] = {{"os", request->os}, {"architecture", request->architecture}};

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!vt_json_is_word(words[i].word))
            return vt_throw(error, VT_ERROR_INVALID,
                            "the %s is not a word of at most %d characters [A-Za-z0-9._+-]",
                            words[i].what, VT_JSON_WORD_MAX);
    }
    if (request->chain_max > VT_LAYERS_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "a chain of %u layers: hosts take at most %d",
                        request->chain_max, VT_LAYERS_MAX);
    if (request->checkpoint > VT_LAYERS_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "a checkpoint every %u layers: hosts take at most %d in a chain",
                        request->checkpoint, VT_LAYERS_MAX);
    return vt_name_check(request->name, error) && vt_version_check(request->version, error);
}

bool
vt_publish_image(const VtPublisher *publisher, const VtPublishRequest *request,
                 VtPublishResult *ret_result, GError **error)
{
    g_autoptr(VtCatalog) catalog = NULL;
    VtDigest digest;

    if (!check_request(request, error) ||
        !vt_publish_catalog_read(publisher, &catalog, &digest, error))
        return false;
    return vt_catalog_find(catalog, request->name, request->version)
               ? compare_existing(publisher, request, catalog, ret_result, error)
               : publish_new(publisher, request, catalog, ret_result, error);
}

bool
vt_publish_init(const VtPublisher *publisher, char **ret_uuid, GError **error)
{
    g_autofree char *uuid = g_uuid_string_random(), *store = vt_store_url_format(publisher->url);
    g_autoptr(VtCatalog) catalog = vt_catalog_new(uuid);
    g_auto(VtCatalogFile) existing = {0};
    g_autoptr(GError) missing = NULL;
    g_autoptr(GBytes) manifest = NULL;
    vt_autofd lock = -1;
    VtDigest digest;
    bool written;

    if (!vt_publish_lock(publisher, &lock, error))
        return false;
    if (vt_catalog_file_find(vt_store_source(publisher->store), publisher->url, &existing,
                             &missing))
        return vt_throw(error, VT_ERROR_EXISTS, "the store '%s' has a catalog already", store);
    if (!g_error_matches(missing, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&missing));
        return false;
    }
    catalog->serial = 1;
    if (!vt_publish_catalog_put(publisher, catalog, &manifest, &digest, error) ||
        !vt_publish_catalog_replace(publisher, manifest, NULL, &written, error))
        return false;
    *ret_uuid = g_steal_pointer(&uuid);
    return true;
}
