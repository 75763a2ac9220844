/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-document.c: documents of versions, from the pool or the store, checked by their digests */
#include "vtd-document.h"

#include "vt-index.h"
#include "vt-sha256.h"
#include "vtd-proofs.h"
#include "vtd-verdict.h"

bool
vtd_document_check(GBytes *bytes, const VtDigest *digest, uint64_t size, const char *what,
                   GError **error)
{
    char text[VT_DIGEST_STRING_MAX];

    if (g_bytes_get_size(bytes) != size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "%s %s has %zu bytes in the store, not %" G_GUINT64_FORMAT, what,
                        vt_digest_format(digest, text), g_bytes_get_size(bytes), size);
    if (!vt_sha256_matches(bytes, digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "%s %s in the store has other content", what,
                        vt_digest_format(digest, text));
    return true;
}

void
vtd_version_free(VtdVersion *version)
{
    if (!version)
        return;
    g_free(version->name);
    g_free(version->version);
    g_free(version);
}

void
vtd_reader_clear(VtdReader *reader)
{
    g_clear_pointer(&reader->fetcher, vtd_fetcher_free);
    g_clear_pointer(&reader->files, vt_pool_free);
    g_clear_pointer(&reader->url, vt_store_url_free);
    g_clear_object(&reader->cancellable);
    g_clear_pointer(&reader->target, g_free);
    g_clear_pointer(&reader->policy, g_free);
    g_clear_pointer(&reader->away, g_free);
}

static VtSource *
find_source(VtdReader *reader, GError **error)
{
    if (reader->away) {
        vt_throw(error, VT_ERROR_NETWORK, "%s", reader->away);
        return NULL;
    }
    if (!reader->fetcher && !vtd_fetcher_start(reader->workers, reader->url, reader->cancellable,
                                               &reader->fetcher, error))
        return NULL;
    return vtd_fetcher_source(reader->fetcher);
}

bool
vtd_reader_files(VtdReader *reader, VtPool **ret_files, GError **error)
{
    if (!reader->files && !vt_pool_open(reader->target, &reader->files, error))
        return false;
    *ret_files = reader->files;
    return true;
}

static bool
read_kept(VtdReader *reader, const VtdVersion *version, GBytes **ret_manifest, GBytes **ret_proofs,
          GError **error)
{
    g_autoptr(GBytes) manifest = NULL, proofs = NULL;
    VtPool *files;

    if (!vtd_reader_files(reader, &files, error) ||
        !vt_pool_read_manifest(files, &version->manifest, &manifest, &proofs, error) ||
        !vtd_document_check(manifest, &version->manifest, version->manifest_size, "manifest",
                            error))
        return false;
    *ret_manifest = g_steal_pointer(&manifest);
    *ret_proofs = g_steal_pointer(&proofs);
    return true;
}

bool
vtd_reader_kept(VtdReader *reader, const VtdVersion *version, VtManifest **ret_manifest,
                GError **error)
{
    g_autoptr(GBytes) manifest = NULL, proofs = NULL;

    return read_kept(reader, version, &manifest, &proofs, error) &&
           vt_manifest_parse(manifest, ret_manifest, error);
}

bool
vtd_reader_manifest(VtdReader *reader, const VtdVersion *version, VtManifest **ret_manifest,
                    GError **error)
{
    g_autofree char *repository = vt_store_url_repository(reader->url, version->name);
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtSource *source;

    if (vtd_reader_kept(reader, version, ret_manifest, NULL))
        return true;
    return (source = find_source(reader, error)) &&
           source->get_manifest(source, repository, vt_digest_format(&version->manifest, text),
                                &bytes, error) &&
           vtd_document_check(bytes, &version->manifest, version->manifest_size, "manifest",
                              error) &&
           vt_manifest_parse(bytes, ret_manifest, error);
}

bool
vtd_reader_trust(VtdReader *reader, const VtdVersion *version, GError **error)
{
    const VtSubject subject = {.url = reader->url,
                               .name = version->name,
                               .version = version->version,
                               .digest = version->manifest,
                               .named_by_catalog = true};
    g_autoptr(GBytes) manifest = NULL, proofs = NULL;
    g_autoptr(VtdVerdict) verdict = NULL;
    g_autoptr(VtdReplay) replay = NULL;
    VtSource *source;

    if (read_kept(reader, version, &manifest, &proofs, NULL)) {
        if (!vtd_replay_new(proofs, &replay, error))
            return false;
        source = vtd_replay_source(replay);
    } else if (!(source = find_source(reader, error))) {
        return false;
    }
    return vtd_verdict_decide(reader->policy, &subject, source, &verdict, error) &&
           vtd_verdict_check(verdict, error);
}

bool
vtd_reader_bridge(VtdReader *reader, const char *name, const VtTemplateLayer *layer,
                  VtManifest **ret_manifest, GPtrArray **ret_layers, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(reader->url, name);
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtSource *source;
    VtDigest digest;
    uint64_t size;

    if (!vt_template_layer_bridge(layer, &digest, &size))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "the layer has no bridge");
    if (!(source = find_source(reader, error)) ||
        !source->get_manifest(source, repository, vt_digest_format(&digest, text), &bytes, error) ||
        !vtd_document_check(bytes, &digest, size, "bridge", error) ||
        !vt_manifest_parse(bytes, &manifest, error) ||
        !vt_bridge_layers(manifest, ret_layers, error))
        return false;
    *ret_manifest = g_steal_pointer(&manifest);
    return true;
}

bool
vtd_reader_index(VtdReader *reader, const char *name, const VtDescriptor *layer, GBytes **ret_index,
                 GError **error)
{
    g_autofree char *repository = vt_store_url_repository(reader->url, name);
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtSource *source;
    VtPool *files;

    if (layer->size > VT_INDEX_SIZE_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "an index of %" G_GUINT64_FORMAT " bytes",
                        layer->size);
    if (!vtd_reader_files(reader, &files, error))
        return false;
    if (!vt_pool_has_layer(files, &layer->digest) ||
        !vt_pool_read_index(files, &layer->digest, &bytes, NULL) ||
        !vtd_document_check(bytes, &layer->digest, layer->size, "index", NULL)) {
        g_clear_pointer(&bytes, g_bytes_unref);
        if (!(source = find_source(reader, error)) ||
            !source->get_blob(source, repository, vt_digest_format(&layer->digest, text),
                              layer->size, &bytes, error) ||
            !vtd_document_check(bytes, &layer->digest, layer->size, "index", error))
            return false;
    }
    *ret_index = g_steal_pointer(&bytes);
    return true;
}
