/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-attach.c: sign a manifest in a store, in both cosign forms */
#include "vt-attach.h"

#include "vt-base64.h"
#include "vt-bundle.h"
#include "vt-json.h"
#include "vt-manifest.h"
#include "vt-payload.h"
#include "vt-sha256.h"
#include "vt-signatures.h"

#include <string.h>

#define IMAGE_CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
/* What cosign writes where a time would only make two equal documents differ */
#define NO_TIME "0001-01-01T00:00:00Z"

void
vt_attachment_clear(VtAttachment *attachment)
{
    g_clear_pointer(&attachment->layer, g_bytes_unref);
    g_clear_pointer(&attachment->config, g_bytes_unref);
    g_clear_pointer(&attachment->manifest, g_bytes_unref);
}

static VtDescriptor *
describe(const char *media_type, GBytes *bytes)
{
    VtDigest digest;

    vt_sha256_bytes(bytes, digest.bytes);
    return vt_descriptor_new(media_type, &digest, g_bytes_get_size(bytes));
}

/* A key whose halves do not belong together signs what nobody can verify: better found out here */
static bool
sign(const VtKey *key, VtSignatureForm form, GBytes *message, GBytes **ret, GError **error)
{
    g_autoptr(GBytes) signature = NULL;

    if (!vt_key_sign(key, form, message, &signature, error))
        return false;
    if (!vt_key_verify(key, form, message, signature))
        return vt_throw(error, VT_ERROR_FAILED,
                        "the key's own signature does not verify: the "
                        "private key file is damaged");
    *ret = g_steal_pointer(&signature);
    return true;
}

/* ---- the simple form ---- */

/* cosign reads its signatures as an image, so the config lists the layers as one */
static GBytes *
image_config(const GPtrArray *layers)
{
    json_auto_t *root = json_object();
    json_t *rootfs = json_object(), *diff_ids = json_array(), *history = json_array();

    for (guint i = 0; i < layers->len; i++) {
        const VtDescriptor *layer = g_ptr_array_index(layers, i);
        json_t *entry = json_object();
        char text[VT_DIGEST_STRING_MAX];

        json_array_append_new(diff_ids, json_string(vt_digest_format(&layer->digest, text)));
        vt_json_set_string(entry, "created", NO_TIME);
        json_array_append_new(history, entry);
    }
    vt_json_set_string(rootfs, "type", "layers");
    json_object_set_new(rootfs, "diff_ids", diff_ids);
    vt_json_set_string(root, "architecture", "");
    vt_json_set_string(root, "created", NO_TIME);
    json_object_set_new(root, "history", history);
    vt_json_set_string(root, "os", "");
    json_object_set_new(root, "rootfs", rootfs);
    json_object_set_new(root, "config", json_object());
    return vt_json_format(root);
}

/* @existing with one more layer, and with a config that lists all of them */
static bool
append_signature(GBytes *existing, VtDescriptor *layer, GBytes **ret_config, GBytes **ret_manifest,
                 GError **error)
{
    g_autoptr(VtDescriptor) owned = layer;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) config = NULL;

    if (existing && !vt_manifest_parse(existing, &manifest, error))
        return false;
    if (!manifest)
        manifest = vt_manifest_new(NULL, NULL);
    if (manifest->layers->len >= VT_SIGNATURES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "it has %u signatures already, more are never looked at; remove old ones "
                        "first",
                        manifest->layers->len);
    g_ptr_array_add(manifest->layers, g_steal_pointer(&owned));
    config = image_config(manifest->layers);
    vt_descriptor_free(manifest->config);
    manifest->config = describe(IMAGE_CONFIG_TYPE, config);
    *ret_config = g_steal_pointer(&config);
    *ret_manifest = vt_manifest_format(manifest);
    return true;
}

bool
vt_attach_build_simple(const char *identity, const VtDigest *subject, const VtKey *key,
                       GBytes *existing, VtAttachment *ret, GError **error)
{
    g_autoptr(GBytes) payload = vt_payload_format(identity, subject), signature = NULL;
    g_autofree char *text = NULL;
    VtDescriptor *layer;

    if (!sign(key, VT_SIGNATURE_SIMPLE, payload, &signature, error))
        return false;
    text = vt_base64_encode(signature);
    layer = describe(VT_PAYLOAD_MEDIA_TYPE, payload);
    vt_descriptor_annotate(layer, VT_SIGNATURE_ANNOTATION, text);
    if (!append_signature(existing, layer, &ret->config, &ret->manifest, error))
        return false;
    ret->layer = g_steal_pointer(&payload);
    return true;
}

/* ---- the bundle ---- */

static void
annotate(VtManifest *manifest, const char *key, const char *value)
{
    g_hash_table_replace(manifest->annotations, g_strdup(key), g_strdup(value));
}

bool
vt_attach_build_bundle(const VtDigest *subject, uint64_t subject_size, const char *created,
                       const VtKey *key, VtAttachment *ret, GError **error)
{
    g_autoptr(GBytes) statement = vt_bundle_format_statement(subject), signature = NULL;
    g_autoptr(GBytes) message = vt_bundle_message(statement);
    g_autoptr(VtManifest) manifest = vt_manifest_new(VT_BUNDLE_MEDIA_TYPE, NULL);
    g_autofree char *hint = vt_key_hint(key);

    if (!sign(key, VT_SIGNATURE_BUNDLE, message, &signature, error))
        return false;
    ret->layer = vt_bundle_format(statement, signature, hint);
    ret->config = g_bytes_new_static("{}", strlen("{}"));
    g_ptr_array_add(manifest->layers, describe(VT_BUNDLE_MEDIA_TYPE, ret->layer));
    manifest->subject = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, subject, subject_size);
    annotate(manifest, "dev.sigstore.bundle.content", "dsse-envelope");
    annotate(manifest, "dev.sigstore.bundle.predicateType", VT_BUNDLE_PREDICATE_TYPE);
    annotate(manifest, "org.opencontainers.image.created", created);
    ret->manifest = vt_manifest_format(manifest);
    return true;
}

/* ---- the store ---- */

/**
 * Search: is this very signature there already?
 * @visitor: must be first
 * @document: what it would say
 */
typedef struct {
    VtSignatureVisitor visitor;
    const VtKey *key;
    GBytes *document;
    bool found;
} Search;

static bool
on_found(VtSignatureVisitor *visitor, const VtSignature *signature)
{
    Search *search = (Search *)visitor;

    search->found =
        g_bytes_equal(signature->document, search->document) &&
        vt_key_verify(search->key, signature->form, signature->message, signature->signature);
    return !search->found;
}

/* What others left there is not ours to judge when we sign */
static void
on_unusable(VtSignatureVisitor *visitor, const char *origin, const char *why)
{
}

typedef bool (*Visit)(VtSource *source, const char *repository, const VtDigest *subject,
                      VtSignatureVisitor *visitor, GError **error);

static bool
is_signed(VtStore *store, const char *repository, const VtDigest *subject, Visit visit,
          Search *search, GError **error)
{
    search->visitor = (VtSignatureVisitor){.found = on_found, .unusable = on_unusable};
    return visit(vt_store_source(store), repository, subject, &search->visitor, error);
}

static bool
put_blob(VtStore *store, const char *repository, GBytes *bytes, GError **error)
{
    VtDigest digest;
    char text[VT_DIGEST_STRING_MAX];

    vt_sha256_bytes(bytes, digest.bytes);
    return vt_store_put_bytes(store, repository, vt_digest_format(&digest, text), bytes, error);
}

static bool
put_attachment(VtStore *store, const char *repository, const char *tag,
               const VtAttachment *attachment, GError **error)
{
    return put_blob(store, repository, attachment->layer, error) &&
           put_blob(store, repository, attachment->config, error) &&
           vt_store_put_manifest(store, repository, tag, VT_OCI_MANIFEST_TYPE, attachment->manifest,
                                 error);
}

static bool
attach_simple(VtStore *store, const char *repository, const char *identity, const VtDigest *subject,
              const VtKey *key, GError **error)
{
    g_autoptr(GBytes) payload = vt_payload_format(identity, subject), existing = NULL;
    g_autofree char *tag = vt_signatures_tag(subject);
    VtSource *source = vt_store_source(store);
    Search search = {.key = key, .document = payload};
    g_auto(VtAttachment) attachment = {0};
    g_autoptr(GError) why = NULL;

    if (!is_signed(store, repository, subject, vt_signatures_visit_tag, &search, error))
        return false;
    if (search.found)
        return true;
    if (!source->get_manifest(source, repository, tag, &existing, &why) &&
        !g_error_matches(why, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    return vt_attach_build_simple(identity, subject, key, existing, &attachment, error) &&
           put_attachment(store, repository, tag, &attachment, error);
}

static bool
attach_bundle(VtStore *store, const char *repository, const VtDescriptor *subject, const VtKey *key,
              GError **error)
{
    g_autoptr(GBytes) statement = vt_bundle_format_statement(&subject->digest);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *created = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    Search search = {.key = key, .document = statement};
    g_auto(VtAttachment) attachment = {0};

    if (!is_signed(store, repository, &subject->digest, vt_signatures_visit_referrers, &search,
                   error))
        return false;
    if (search.found)
        return true;
    return vt_attach_build_bundle(&subject->digest, subject->size, created, key, &attachment,
                                  error) &&
           put_attachment(store, repository, NULL, &attachment, error);
}

bool
vt_attach_signatures(VtStore *store, const VtStoreUrl *url, const char *name,
                     const VtDescriptor *subject, const VtKey *key, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(url, name);
    g_autofree char *identity = vt_store_url_identity(url, name);

    if (attach_simple(store, repository, identity, &subject->digest, key, error) &&
        attach_bundle(store, repository, subject, key, error))
        return true;
    g_prefix_error(error, "cannot sign %s: ", identity);
    return false;
}
