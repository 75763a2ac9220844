/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-signatures.c: the signatures that a store has of a manifest, of every form we know
 *
 * Theory of operation. cosign v2 keeps a manifest at the tag `sha256-<hex>.sig`, each layer of
 * which is one signature: the blob is the signed payload, an annotation the signature. cosign v3
 * attaches a manifest whose `subject` is the signed one and whose layer is a bundle; the store
 * lists such referrers in an index. What an index says about an entry may be wrong, so each
 * is opened; entries that may be signatures by what it says come first. Every document that is
 * named by a digest is hashed here. Whether a signature is good is not decided here.
 */
#include "vt-signatures.h"

#include "vt-base64.h"
#include "vt-bundle.h"
#include "vt-manifest.h"
#include "vt-payload.h"
#include "vt-sha256.h"

#include <string.h>

#define BUNDLE_TYPE_PREFIX     "application/vnd.dev.sigstore.bundle"
#define SIMPLE_REFERRER_TYPE   "application/vnd.dev.cosign.artifact.sig.v1+json"
#define NOTATION_ARTIFACT_TYPE "application/vnd.cncf.notary.signature"

/**
 * Visit: one walk over signatures
 * @seen: signatures or referrers opened so far
 * @stopped: the visitor has what it needs
 */
typedef struct {
    VtSource *source;
    const char *repository;
    const VtDigest *subject;
    VtSignatureVisitor *visitor;
    guint seen;
    bool stopped;
} Visit;

char *
vt_signatures_tag(const VtDigest *subject)
{
    char hex[VT_DIGEST_STRING_MAX];

    return g_strdup_printf("sha256-%s.sig", vt_digest_hex(subject, hex));
}

/* Whether the store answered, and the answer is about this one thing: then others may do */
static bool
is_about_one(const GError *error)
{
    static const int codes[] = {VT_ERROR_NOT_FOUND, VT_ERROR_TOO_LARGE, VT_ERROR_CORRUPT,
                                VT_ERROR_INVALID};

    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (g_error_matches(error, VT_ERROR, codes[i]))
            return true;
    }
    return false;
}

/* Tells the visitor about @why if only this one thing is unusable, else passes the error on */
static bool
unusable(Visit *visit, const char *origin, GError *why, GError **error)
{
    if (!is_about_one(why) && !g_error_matches(why, VT_ERROR, VT_ERROR_UNSUPPORTED)) {
        g_propagate_error(error, g_error_copy(why));
        return false;
    }
    visit->visitor->unusable(visit->visitor, origin, why->message);
    return true;
}

static bool
check_bytes(GBytes *bytes, const VtDescriptor *descriptor, GError **error)
{
    char text[VT_DIGEST_STRING_MAX];

    if (g_bytes_get_size(bytes) == descriptor->size &&
        vt_sha256_matches(bytes, &descriptor->digest))
        return true;
    return vt_throw(error, VT_ERROR_CORRUPT, "the store's bytes are not those of %s",
                    vt_digest_format(&descriptor->digest, text));
}

static bool
read_blob(Visit *visit, const VtDescriptor *descriptor, size_t limit, GBytes **ret, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];

    if (descriptor->size > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "more than %zu bytes", limit);
    if (!visit->source->get_blob(visit->source, visit->repository,
                                 vt_digest_format(&descriptor->digest, text), limit, &bytes,
                                 error) ||
        !check_bytes(bytes, descriptor, error))
        return false;
    *ret = g_steal_pointer(&bytes);
    return true;
}

/* ---- the simple form ---- */

static bool
read_simple(Visit *visit, const VtDescriptor *layer, GBytes **ret_payload, GBytes **ret_signature,
            GError **error)
{
    const char *text = layer->annotations
                           ? g_hash_table_lookup(layer->annotations, VT_SIGNATURE_ANNOTATION)
                           : NULL;

    if (strcmp(layer->media_type, VT_PAYLOAD_MEDIA_TYPE) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "not of type \"%s\"", VT_PAYLOAD_MEDIA_TYPE);
    if (!text)
        return vt_throw(error, VT_ERROR_INVALID, "no annotation \"%s\"", VT_SIGNATURE_ANNOTATION);
    return vt_base64_decode(text, VT_SIGNATURE_ANNOTATION, ret_signature, error) &&
           read_blob(visit, layer, VT_PAYLOAD_MAX, ret_payload, error);
}

static bool
visit_simple(Visit *visit, const VtDescriptor *layer, const char *origin, GError **error)
{
    g_autoptr(GBytes) payload = NULL, signature = NULL;
    g_autoptr(GError) why = NULL;
    VtSignature found = {.form = VT_SIGNATURE_SIMPLE, .origin = origin};

    if (!read_simple(visit, layer, &payload, &signature, &why))
        return unusable(visit, origin, why, error);
    found.message = payload;
    found.document = payload;
    found.signature = signature;
    visit->stopped = !visit->visitor->found(visit->visitor, &found);
    return true;
}

static bool
visit_simple_layers(Visit *visit, const VtManifest *manifest, const char *where, GError **error)
{
    for (guint i = 0; i < manifest->layers->len && !visit->stopped; i++) {
        g_autofree char *origin = g_strdup_printf("signature %u of %s", i + 1, where);

        if (visit->seen++ == VT_SIGNATURES_MAX) {
            visit->visitor->unusable(visit->visitor, where, "more signatures than are looked at");
            return true;
        }
        if (!visit_simple(visit, g_ptr_array_index(manifest->layers, i), origin, error))
            return false;
    }
    return true;
}

bool
vt_signatures_visit_tag(VtSource *source, const char *repository, const VtDigest *subject,
                        VtSignatureVisitor *visitor, GError **error)
{
    Visit visit = {
        .source = source, .repository = repository, .subject = subject, .visitor = visitor};
    g_autofree char *tag = vt_signatures_tag(subject);
    g_autofree char *where = g_strconcat("tag ", tag, NULL);
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) why = NULL;

    if (!source->get_manifest(source, repository, tag, &bytes, &why)) {
        if (g_error_matches(why, VT_ERROR, VT_ERROR_NOT_FOUND))
            return true;
        return unusable(&visit, where, why, error);
    }
    if (!vt_manifest_parse(bytes, &manifest, &why))
        return unusable(&visit, where, why, error);
    return visit_simple_layers(&visit, manifest, where, error);
}

/* ---- referrers ---- */

static bool
read_bundle(Visit *visit, const VtManifest *manifest, VtBundle **ret, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    const VtDescriptor *layer;

    if (manifest->layers->len != 1)
        return vt_throw(error, VT_ERROR_INVALID, "a bundle's manifest with %u layers instead of 1",
                        manifest->layers->len);
    layer = g_ptr_array_index(manifest->layers, 0);
    return read_blob(visit, layer, VT_BUNDLE_MAX, &bytes, error) &&
           vt_bundle_parse(bytes, ret, error);
}

static bool
visit_bundle(Visit *visit, const VtManifest *manifest, const char *origin, GError **error)
{
    VtSignature found = {.form = VT_SIGNATURE_BUNDLE, .origin = origin};
    g_autoptr(VtBundle) bundle = NULL;
    g_autoptr(GBytes) message = NULL;
    g_autoptr(GError) why = NULL;

    if (!read_bundle(visit, manifest, &bundle, &why))
        return unusable(visit, origin, why, error);
    message = vt_bundle_message(bundle->payload);
    found.message = message;
    found.document = bundle->payload;
    found.signature = bundle->signature;
    visit->stopped = !visit->visitor->found(visit->visitor, &found);
    return true;
}

static bool
is_bundle(const VtManifest *manifest)
{
    const VtDescriptor *layer =
        manifest->layers->len ? g_ptr_array_index(manifest->layers, 0) : NULL;

    return (manifest->artifact_type &&
            g_str_has_prefix(manifest->artifact_type, BUNDLE_TYPE_PREFIX)) ||
           (layer && g_str_has_prefix(layer->media_type, BUNDLE_TYPE_PREFIX));
}

static bool
read_referrer(Visit *visit, const VtDescriptor *descriptor, VtManifest **ret, GError **error)
{
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];

    if (!visit->source->get_manifest(visit->source, visit->repository,
                                     vt_digest_format(&descriptor->digest, text), &bytes, error) ||
        !check_bytes(bytes, descriptor, error) || !vt_manifest_parse(bytes, &manifest, error))
        return false;
    if (!manifest->subject || !vt_digest_equal(&manifest->subject->digest, visit->subject))
        return vt_throw(error, VT_ERROR_INVALID, "its subject is another manifest");
    *ret = g_steal_pointer(&manifest);
    return true;
}

static bool
visit_referrer(Visit *visit, const VtDescriptor *descriptor, GError **error)
{
    g_autofree char *origin = NULL;
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GError) why = NULL;
    const char *type;
    char hex[VT_DIGEST_STRING_MAX];

    origin = g_strdup_printf("referrer %.12s...", vt_digest_hex(&descriptor->digest, hex));
    if (!read_referrer(visit, descriptor, &manifest, &why))
        return unusable(visit, origin, why, error);
    type = manifest->artifact_type ? manifest->artifact_type : manifest->config->media_type;
    if (is_bundle(manifest))
        return visit_bundle(visit, manifest, origin, error);
    if (strcmp(type, SIMPLE_REFERRER_TYPE) == 0)
        return visit_simple_layers(visit, manifest, origin, error);
    if (strcmp(type, NOTATION_ARTIFACT_TYPE) == 0)
        visit->visitor->unusable(visit->visitor, origin,
                                 "a Notation signature, which is not supported");
    return true;
}

/* What the index says is a hint: cosign's own says `application/vnd.oci.empty.v1+json` */
static bool
may_be_signature(const VtDescriptor *descriptor)
{
    const char *type = descriptor->artifact_type;

    return !type || g_str_has_prefix(type, BUNDLE_TYPE_PREFIX) ||
           strcmp(type, VT_OCI_EMPTY_TYPE) == 0 || strcmp(type, SIMPLE_REFERRER_TYPE) == 0;
}

/* Opens the referrers that may be signatures by their hint, or those that may not */
static bool
visit_referrers(Visit *visit, GPtrArray *descriptors, bool hinted, GError **error)
{
    for (guint i = 0; i < descriptors->len && !visit->stopped; i++) {
        const VtDescriptor *descriptor = g_ptr_array_index(descriptors, i);

        if (may_be_signature(descriptor) != hinted)
            continue;
        if (visit->seen++ >= VT_SIGNATURES_MAX) {
            visit->visitor->unusable(visit->visitor, "referrers", "more than are looked at");
            return true;
        }
        if (!visit_referrer(visit, descriptor, error))
            return false;
    }
    return true;
}

bool
vt_signatures_visit_referrers(VtSource *source, const char *repository, const VtDigest *subject,
                              VtSignatureVisitor *visitor, GError **error)
{
    Visit visit = {
        .source = source, .repository = repository, .subject = subject, .visitor = visitor};
    g_autoptr(GPtrArray) descriptors = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) why = NULL;
    char text[VT_DIGEST_STRING_MAX];

    if (!source->get_referrers(source, repository, vt_digest_format(subject, text), &bytes, &why)) {
        if (g_error_matches(why, VT_ERROR, VT_ERROR_NOT_FOUND))
            return true;
        return unusable(&visit, "the list of referrers", why, error);
    }
    if (!vt_index_manifests_parse(bytes, &descriptors, &why))
        return unusable(&visit, "the list of referrers", why, error);
    return visit_referrers(&visit, descriptors, true, error) &&
           visit_referrers(&visit, descriptors, false, error);
}
