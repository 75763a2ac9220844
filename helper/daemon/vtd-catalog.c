/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-catalog.c: asks a store for its catalog, and verifies it */
#include "vtd-catalog.h"

#include "vt-manifest.h"
#include "vt-name.h"
#include "vt-sha256.h"
#include "vtd-proofs.h"

void
vtd_catalog_query_free(VtdCatalogQuery *query)
{
    if (!query)
        return;
    vt_store_url_free(query->url);
    g_free(query->policy);
    g_free(query->known);
    g_free(query);
}

void
vtd_catalog_answer_free(VtdCatalogAnswer *answer)
{
    if (!answer)
        return;
    vt_catalog_free(answer->catalog);
    g_clear_pointer(&answer->document, g_bytes_unref);
    g_clear_pointer(&answer->proofs, g_bytes_unref);
    vtd_verdict_free(answer->verdict);
    g_free(answer);
}

static bool
check_trust(const VtdCatalogQuery *query, VtSource *source, VtdCatalogAnswer *answer,
            GError **error)
{
    const VtSubject subject = {
        .url = query->url, .name = VT_CATALOG_NAME, .digest = answer->manifest};
    g_autoptr(VtdRecorder) recorder = vtd_recorder_new(source);

    if (!vtd_verdict_decide(query->policy, &subject, vtd_recorder_source(recorder),
                            &answer->verdict, error) ||
        !vtd_verdict_check(answer->verdict, error))
        return false;
    answer->proofs = vtd_recorder_finish(recorder);
    return true;
}

/* The catalog is the only layer of its manifest */
static bool
read_document(VtSource *source, const char *repository, GBytes *manifest_bytes,
              VtdCatalogAnswer *answer, GError **error)
{
    g_autoptr(VtManifest) manifest = NULL;
    const VtDescriptor *layer;
    char text[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    if (!vt_manifest_parse(manifest_bytes, &manifest, error))
        return false;
    if (g_strcmp0(manifest->artifact_type, VT_CATALOG_ARTIFACT_TYPE) != 0 ||
        manifest->layers->len != 1)
        return vt_throw(error, VT_ERROR_INVALID, "'%s:%s' in the store is not a catalog",
                        repository, VT_CATALOG_TAG);
    layer = manifest->layers->pdata[0];
    if (g_strcmp0(layer->media_type, VT_CATALOG_MEDIA_TYPE) != 0 || layer->size > VT_CATALOG_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the catalog's document is a '%s' of %" G_GUINT64_FORMAT " bytes",
                        layer->media_type, layer->size);
    if (!source->get_blob(source, repository, vt_digest_format(&layer->digest, text), layer->size,
                          &answer->document, error))
        return false;
    vt_sha256_data(g_bytes_get_data(answer->document, NULL), g_bytes_get_size(answer->document),
                   &digest);
    if (g_bytes_get_size(answer->document) != layer->size ||
        !vt_digest_equal(&digest, &layer->digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "the catalog's document is not %s", text);
    return vt_catalog_parse(answer->document, &answer->catalog, error);
}

bool
vtd_catalog_ask(const VtdCatalogQuery *query, GCancellable *cancellable,
                VtdCatalogAnswer **ret_answer, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(query->url, VT_CATALOG_NAME);
    g_autoptr(VtdCatalogAnswer) answer = g_new0(VtdCatalogAnswer, 1);
    g_autoptr(VtdFetcher) fetcher = NULL;
    g_autoptr(GBytes) manifest = NULL;
    VtSource *source;

    if (!vtd_fetcher_start(query->workers, query->url, cancellable, &fetcher, error))
        return false;
    source = vtd_fetcher_source(fetcher);
    if (!source->get_manifest(source, repository, VT_CATALOG_TAG, &manifest, error))
        return false;
    vt_sha256_data(g_bytes_get_data(manifest, NULL), g_bytes_get_size(manifest), &answer->manifest);
    if (!query->known || !vt_digest_equal(query->known, &answer->manifest)) {
        if (!check_trust(query, source, answer, error) ||
            !read_document(source, repository, manifest, answer, error))
            return false;
    }
    *ret_answer = g_steal_pointer(&answer);
    return true;
}
