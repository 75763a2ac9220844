/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-catalog.c: reading and replacing the catalog as a publisher */
#include "vt-publish-catalog.h"

#include "vt-attach.h"
#include "vt-base64.h"
#include "vt-sha256.h"
#include "vt-trust.h"

char *
vt_publish_now(unsigned days)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autoptr(GDateTime) then = g_date_time_add_days(now, (int)days);

    return g_date_time_format(then, "%Y-%m-%dT%H:%M:%SZ");
}

unsigned
vt_publish_days(const VtPublisher *publisher)
{
    return publisher->expire_days ? publisher->expire_days : VT_PUBLISH_EXPIRE_DAYS;
}

/*
 * A publisher that extended whatever it finds would sign what an attacker put there. Without a
 * policy the catalog must carry the publisher's own signature:
 */
static bool
own_policy(const VtPublisher *publisher, VtPolicy **ret_policy, GError **error)
{
    g_autoptr(GBytes) pem = vt_key_public_pem(publisher->key);
    g_autofree char *encoded = vt_base64_encode(pem);
    g_autofree char *text =
        g_strdup_printf("{\"default\":[{\"type\":\"sigstoreSigned\",\"keyData\":\"%s\","
                        "\"signedIdentity\":{\"type\":\"matchDigestOnly\"}}]}",
                        encoded);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));

    return vt_policy_parse(bytes, "the publisher's key", ret_policy, error);
}

static bool
check_trust(const VtPublisher *publisher, const VtDigest *digest, GError **error)
{
    const VtSubject subject = {.url = publisher->url, .name = VT_CATALOG_NAME, .digest = *digest};
    g_autoptr(VtPolicy) own = NULL;
    g_autofree char *signed_by = NULL;
    VtVerdict verdict = VT_VERDICT_DENIED;

    if (!publisher->policy && !own_policy(publisher, &own, error))
        return false;
    if (!vt_trust_check(publisher->policy ? publisher->policy : own, &subject,
                        vt_store_source(publisher->store), &verdict, &signed_by, error)) {
        g_prefix_error(error, publisher->policy ? "the store's catalog: "
                                                : "the store's catalog cannot be extended: ");
        return false;
    }
    if (verdict != VT_VERDICT_TRUSTED)
        return vt_throw(error, VT_ERROR_UNTRUSTED, "the store's catalog is not trusted");
    return true;
}

bool
vt_publish_catalog_read(const VtPublisher *publisher, VtCatalog **ret_catalog, VtDigest *ret_digest,
                        GError **error)
{
    VtSource *source = vt_store_source(publisher->store);
    g_auto(VtCatalogFile) file = {0};

    if (!vt_catalog_file_find(source, publisher->url, &file, error) ||
        !check_trust(publisher, &file.manifest, error) ||
        !vt_catalog_file_read(source, publisher->url, &file, error) ||
        !vt_catalog_parse(file.document, ret_catalog, error))
        return false;
    *ret_digest = file.manifest;
    return true;
}

bool
vt_publish_catalog_read_announced(const VtPublisher *publisher, const VtDigest *digest,
                                  VtCatalog **ret_catalog, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, VT_CATALOG_NAME);
    VtSource *source = vt_store_source(publisher->store);
    g_auto(VtCatalogFile) file = {.manifest = *digest};
    char text[VT_DIGEST_STRING_MAX];

    vt_digest_format(digest, text);
    if (!source->get_manifest(source, repository, text, &file.manifest_bytes, error))
        return false;
    if (!vt_sha256_matches(file.manifest_bytes, digest))
        return vt_throw(error, VT_ERROR_CORRUPT, "the announced catalog %s has other content",
                        text);
    return check_trust(publisher, digest, error) &&
           vt_catalog_file_read(source, publisher->url, &file, error) &&
           vt_catalog_parse(file.document, ret_catalog, error);
}

bool
vt_publish_put(const VtPublisher *publisher, const char *name, const char *media_type,
               GBytes *bytes, VtDescriptor **ret_descriptor, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, name);
    char text[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    vt_sha256_bytes(bytes, digest.bytes);
    if (!vt_store_put_bytes(publisher->store, repository, vt_digest_format(&digest, text), bytes,
                            error))
        return false;
    *ret_descriptor = vt_descriptor_new(media_type, &digest, g_bytes_get_size(bytes));
    return true;
}

/* By digest, with its signatures: a tag must never lead to something that is not signed yet */
static bool
put_signed(const VtPublisher *publisher, const char *name, GBytes *manifest, VtDigest *ret_digest,
           GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, name);
    g_autoptr(VtDescriptor) subject = NULL;

    vt_sha256_bytes(manifest, ret_digest->bytes);
    subject = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, ret_digest, g_bytes_get_size(manifest));
    return vt_store_put_manifest(publisher->store, repository, NULL, VT_OCI_MANIFEST_TYPE, manifest,
                                 error) &&
           vt_attach_signatures(publisher->store, publisher->url, name, subject, publisher->key,
                                error);
}

bool
vt_publish_tag(const VtPublisher *publisher, const char *name, const char *tag, GBytes *manifest,
               GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, name);

    return vt_store_put_manifest(publisher->store, repository, tag, VT_OCI_MANIFEST_TYPE, manifest,
                                 error);
}

bool
vt_publish_manifest(const VtPublisher *publisher, const char *name, const char *tag,
                    GBytes *manifest, VtDigest *ret_digest, GError **error)
{
    VtDigest digest;

    if (!put_signed(publisher, name, manifest, &digest, error) ||
        !vt_publish_tag(publisher, name, tag, manifest, error))
        return false;
    *ret_digest = digest;
    return true;
}

/* Puts the catalog's document and empty configuration; @ret_manifest: (transfer full) */
static bool
put_document(const VtPublisher *publisher, const VtCatalog *catalog, GBytes **ret_manifest,
             GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, VT_CATALOG_NAME);
    g_autoptr(VtManifest) manifest = vt_manifest_new(VT_CATALOG_ARTIFACT_TYPE, NULL);
    g_autoptr(GBytes) document = vt_catalog_format(catalog), empty = g_bytes_new_static("{}", 2);
    VtDescriptor *layer = NULL;

    if (g_bytes_get_size(document) > VT_CATALOG_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the catalog would be larger than 16 MiB");
    if (!vt_store_put_bytes(publisher->store, repository, VT_OCI_EMPTY_DIGEST, empty, error) ||
        !vt_publish_put(publisher, VT_CATALOG_NAME, VT_CATALOG_MEDIA_TYPE, document, &layer, error))
        return false;
    g_ptr_array_add(manifest->layers, layer);
    g_hash_table_replace(manifest->annotations, g_strdup("org.opencontainers.image.created"),
                         g_strdup(catalog->created));
    *ret_manifest = vt_manifest_format(manifest);
    return true;
}

/* Whether the store's catalog still is @base */
static bool
is_still(const VtPublisher *publisher, const VtDigest *base, bool *ret_is, GError **error)
{
    g_auto(VtCatalogFile) file = {0};

    if (!vt_catalog_file_find(vt_store_source(publisher->store), publisher->url, &file, error))
        return false;
    *ret_is = vt_digest_equal(&file.manifest, base);
    return true;
}

bool
vt_publish_catalog_put(const VtPublisher *publisher, VtCatalog *catalog, GBytes **ret_manifest,
                       VtDigest *ret_digest, GError **error)
{
    g_autoptr(GBytes) manifest = NULL;

    g_free(catalog->created);
    g_free(catalog->expires);
    catalog->created = vt_publish_now(0);
    catalog->expires = vt_publish_now(vt_publish_days(publisher));
    if (!put_document(publisher, catalog, &manifest, error) ||
        !put_signed(publisher, VT_CATALOG_NAME, manifest, ret_digest, error))
        return false;
    *ret_manifest = g_steal_pointer(&manifest);
    return true;
}

bool
vt_publish_catalog_replace(const VtPublisher *publisher, GBytes *manifest, const VtDigest *base,
                           bool *ret_written, GError **error)
{
    bool still = true;

    if ((base && !is_still(publisher, base, &still, error)) ||
        (still && !vt_publish_tag(publisher, VT_CATALOG_NAME, VT_CATALOG_TAG, manifest, error)))
        return false;
    *ret_written = still;
    return true;
}
