/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-parent.c: what a new version is a delta over
 *
 * Theory of operation. The catalog, which is signed, names the parent's manifest by its digest, and
 * that all layers. They are fetched into files, as hosts have them, and the new layer is encoded
 * over those. The new manifest has the parent's descriptors below its own, so the blobs must be in
 * the repository of the new version, too.
 */
#include "vt-publish-parent.h"

#include "vt-index.h"
#include "vt-name.h"
#include "vt-publish-bridge.h"
#include "vt-sha256.h"
#include "vt-store-copy.h"

#include <string.h>

void
vt_publish_parent_clear(VtPublishParent *parent)
{
    g_free(parent->name);
    g_free(parent->version);
    g_free(parent->why_full);
    g_free(parent->repository);
    g_free(parent->bridge.over);
    g_clear_pointer(&parent->chain, vt_chain_free);
    g_clear_pointer(&parent->restore, vt_restore_free);
    g_clear_pointer(&parent->layers, g_ptr_array_unref);
    g_clear_pointer(&parent->manifest, vt_manifest_free);
    *parent = (VtPublishParent){0};
}

void
vt_publish_parent_drop(VtPublishParent *parent, char *why)
{
    vt_publish_parent_clear(parent);
    parent->why_full = why;
}

const VtDigest *
vt_publish_parent_index(const VtPublishParent *parent)
{
    const VtTemplateLayer *top;

    if (!parent->manifest || parent->layers->len == 0)
        return NULL;
    top = parent->layers->pdata[parent->layers->len - 1];
    return &top->index->digest;
}

/* @parent has name and version: what the store has under the digest that the catalog gives */
static bool
read_manifest(const VtPublisher *publisher, const VtCatalogEntry *entry, VtPublishParent *parent,
              GError **error)
{
    VtSource *source = vt_store_source(publisher->store);
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];

    parent->repository = vt_store_url_repository(publisher->url, parent->name);
    vt_digest_format(&entry->manifest, text);
    if (!source->get_manifest(source, parent->repository, text, &bytes, error))
        return false;
    if (!vt_sha256_matches(bytes, &entry->manifest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "the store's manifest of %s@%s does not have its digest %s: it is damaged "
                        "or was changed",
                        parent->name, parent->version, text);
    return vt_manifest_parse(bytes, &parent->manifest, error) &&
           vt_template_layers(parent->manifest, &parent->layers, error);
}

/* @ret_name: stays %NULL for none */
static bool
parse_wanted(const VtPublishRequest *request, const VtCatalog *catalog, VtPublishParent *parent,
             GError **error)
{
    const char *wanted = request->parent ? request->parent : VT_PUBLISH_PARENT;

    if (strcmp(wanted, "none") == 0)
        return true;
    if (strcmp(wanted, "auto") == 0) {
        const VtCatalogTemplate *same = vt_catalog_find_template(catalog, request->name);

        if (same) {
            parent->name = g_strdup(same->name);
            parent->version = g_strdup(same->current);
        } else {
            parent->why_full = g_strdup_printf("it is the first version of %s", request->name);
        }
        return true;
    }
    if (!vt_reference_parse(wanted, &parent->name, &parent->version, error)) {
        g_prefix_error(error, "parent: ");
        return false;
    }
    return parent->version != NULL ||
           vt_throw(error, VT_ERROR_INVALID,
                    "parent: '%s' has no version; name one as %s@1.0.0, or use auto or none",
                    parent->name, parent->name);
}

bool
vt_publish_parent_choose(const VtPublisher *publisher, const VtPublishRequest *request,
                         const VtCatalog *catalog, VtPublishParent *ret_parent, GError **error)
{
    const unsigned max = request->chain_max ? request->chain_max : VT_PUBLISH_CHAIN_MAX;
    g_auto(VtPublishParent) parent = {0};
    const VtCatalogEntry *entry;

    if (!parse_wanted(request, catalog, &parent, error))
        return false;
    if (parent.name) {
        entry = vt_catalog_find(catalog, parent.name, parent.version);
        if (!entry)
            return vt_throw(error, VT_ERROR_NOT_FOUND,
                            "parent: the store's catalog has no %s@%s ('virt-template list "
                            "--store' shows what it has)",
                            parent.name, parent.version);
        if (!read_manifest(publisher, entry, &parent, error))
            return false;
        parent.checkpoint = request->checkpoint > 0 && parent.layers->len >= request->checkpoint &&
                            parent.layers->len < VT_LAYERS_MAX;
        if (parent.layers->len + 1 > max && !parent.checkpoint)
            vt_publish_parent_drop(
                &parent, g_strdup_printf("over %s@%s the chain would have %u layers, and at most "
                                         "%u are allowed",
                                         parent.name, parent.version, parent.layers->len + 1, max));
    }
    *ret_parent = parent;
    parent = (VtPublishParent){0};
    return true;
}

bool
vt_publish_parent_of(const VtPublisher *publisher, const VtPublishRequest *request,
                     const VtCatalogEntry *entry, VtPublishParent *ret_parent, VtDigest *ret_top,
                     GError **error)
{
    g_auto(VtPublishParent)
        parent = {.name = g_strdup(request->name), .version = g_strdup(request->version)};

    if (!read_manifest(publisher, entry, &parent, error))
        return false;
    *ret_top = *vt_publish_parent_index(&parent);
    g_ptr_array_set_size(parent.layers, (int)parent.layers->len - 1);
    *ret_parent = parent;
    parent = (VtPublishParent){0};
    return true;
}

/* The base is a full layer: what it takes, and for how much data, says what another would take */
static bool
measure_base(VtPublishParent *parent, GError **error)
{
    const VtTemplateLayer *base = parent->layers->pdata[0];
    g_autoptr(VtIndex) index = NULL;
    uint32_t count;
    const VtAncestor *ancestors = vt_restore_ancestors(parent->restore, &count);

    if (!vt_index_parse(ancestors[count - 1].index, &index, error))
        return false;
    parent->base_data = index->data_blocks * VT_INDEX_BLOCK_SIZE;
    parent->base_bytes = vt_template_layer_size(base);
    return true;
}

bool
vt_publish_parent_open(const VtPublisher *publisher, const VtPublishRequest *request,
                       VtPublishParent *parent, GError **error)
{
    const VtRestoreJob job = {.store = publisher->store,
                              .repository = parent->repository,
                              .layers = parent->layers,
                              .cancellable = request->cancellable,
                              .progress = request->parent_progress,
                              .user = request->user};
    const VtAncestor *ancestors;
    uint32_t count;

    if (vt_restore_layers(&job, &parent->restore, error)) {
        ancestors = vt_restore_ancestors(parent->restore, &count);
        if (vt_chain_new(vt_publish_parent_index(parent), ancestors, count, &parent->chain,
                         error) &&
            measure_base(parent, error))
            return true;
    }
    g_prefix_error(error, "%s@%s: ", parent->name, parent->version);
    return false;
}

void
vt_publish_parent_list(const VtPublisher *publisher, const VtPublishRequest *request,
                       const VtPublishParent *parent, VtManifest *manifest)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, request->name);

    if (!parent->manifest)
        return;
    for (guint i = 0; i < parent->manifest->layers->len; i++) {
        VtDescriptor *copy = vt_descriptor_copy(parent->manifest->layers->pdata[i]);

        /* bridges stay in their repository */
        if (strcmp(parent->repository, repository) != 0)
            vt_publish_bridge_strip(copy);
        g_ptr_array_add(manifest->layers, copy);
    }
}

bool
vt_publish_parent_copy(const VtPublisher *publisher, const VtPublishParent *parent,
                       const char *repository, GError **error)
{
    for (guint i = 0; i < parent->manifest->layers->len; i++) {
        const VtDescriptor *blob = parent->manifest->layers->pdata[i];
        char text[VT_DIGEST_STRING_MAX];
        const VtBlobCopy copy = {.from = parent->repository,
                                 .repository = repository,
                                 .digest = vt_digest_format(&blob->digest, text),
                                 .size = blob->size};

        if (!vt_store_copy_blob(publisher->store, &copy, error)) {
            g_prefix_error(error, "a blob of %s@%s cannot be copied to '%s': ", parent->name,
                           parent->version, repository);
            return false;
        }
    }
    return true;
}
