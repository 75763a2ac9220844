/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-catalog-file.c: the catalog in its store: finding and reading it, before it is trusted */
#include "vt-catalog-file.h"

#include "vt-manifest.h"
#include "vt-sha256.h"

#include <string.h>

void
vt_catalog_file_clear(VtCatalogFile *file)
{
    g_clear_pointer(&file->manifest_bytes, g_bytes_unref);
    g_clear_pointer(&file->document, g_bytes_unref);
}

bool
vt_catalog_file_find(VtSource *source, const VtStoreUrl *url, VtCatalogFile *ret_file,
                     GError **error)
{
    g_autofree char *repository = vt_store_url_repository(url, VT_CATALOG_NAME);
    g_autoptr(GBytes) bytes = NULL;
    VtCatalogFile file = {0};

    if (!source->get_manifest(source, repository, VT_CATALOG_TAG, &bytes, error)) {
        if (error && g_error_matches(*error, VT_ERROR, VT_ERROR_NOT_FOUND)) {
            g_autofree char *store = vt_store_url_format(url);

            g_clear_error(error);
            return vt_throw(
                error, VT_ERROR_NOT_FOUND,
                "the store '%s' has no catalog; make one with 'virt-template store init "
                "--store %s --key FILE'",
                store, store);
        }
        return false;
    }
    vt_sha256_bytes(bytes, file.manifest.bytes);
    file.manifest_size = g_bytes_get_size(bytes);
    file.manifest_bytes = g_steal_pointer(&bytes);
    *ret_file = file;
    return true;
}

/* The one layer of the catalog's manifest */
static bool
find_document(const VtCatalogFile *file, VtManifest **ret_manifest, GError **error)
{
    g_autoptr(VtManifest) manifest = NULL;
    const VtDescriptor *layer;

    if (!vt_manifest_parse(file->manifest_bytes, &manifest, error)) {
        g_prefix_error(error, "catalog: ");
        return false;
    }
    if (g_strcmp0(manifest->artifact_type, VT_CATALOG_ARTIFACT_TYPE) != 0 ||
        manifest->layers->len != 1)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the manifest of the catalog is that of "
                        "something else");
    layer = manifest->layers->pdata[0];
    if (strcmp(layer->media_type, VT_CATALOG_MEDIA_TYPE) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "the catalog's document has the type '%.80s'",
                        layer->media_type);
    if (layer->size > VT_CATALOG_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the catalog is larger than 16 MiB");
    *ret_manifest = g_steal_pointer(&manifest);
    return true;
}

bool
vt_catalog_file_read(VtSource *source, const VtStoreUrl *url, VtCatalogFile *file, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(url, VT_CATALOG_NAME);
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) document = NULL;
    char text[VT_DIGEST_STRING_MAX];
    const VtDescriptor *layer;

    if (!find_document(file, &manifest, error))
        return false;
    g_assert(manifest && manifest->layers->len == 1);
    layer = manifest->layers->pdata[0];
    vt_digest_format(&layer->digest, text);
    if (!source->get_blob(source, repository, text, layer->size, &document, error))
        return false;
    if (g_bytes_get_size(document) != layer->size || !vt_sha256_matches(document, &layer->digest))
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "the catalog's document does not have its digest %s: the store's copy is "
                        "damaged or was changed",
                        text);
    g_clear_pointer(&file->document, g_bytes_unref);
    file->document = g_steal_pointer(&document);
    return true;
}
