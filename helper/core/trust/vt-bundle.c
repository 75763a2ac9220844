/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-bundle.c: Sigstore bundles: a DSSE envelope around an in-toto statement, as cosign v3 signs
 *
 * {"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",
 *  "verificationMaterial":{"publicKey":{"hint":"<base64>"}},
 *  "dsseEnvelope":{"payload":"<base64>","payloadType":"application/vnd.in-toto+json",
 *                  "signatures":[{"sig":"<base64>"}]}}
 *
 * and the payload
 *
 * {"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"<hex>"}}],
 *  "predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}
 */
#include "vt-bundle.h"

#include "vt-base64.h"
#include "vt-json.h"

#include <string.h>

#define PAYLOAD_TYPE   "application/vnd.in-toto+json"
#define STATEMENT_TYPE "https://in-toto.io/Statement/v1"

void
vt_bundle_free(VtBundle *bundle)
{
    if (!bundle)
        return;
    g_clear_pointer(&bundle->payload, g_bytes_unref);
    g_clear_pointer(&bundle->signature, g_bytes_unref);
    g_free(bundle->hint);
    g_free(bundle);
}

GBytes *
vt_bundle_pae(const char *payload_type, GBytes *body)
{
    gsize length = 0;
    const void *data = g_bytes_get_data(body, &length);
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "DSSEv1 %zu %s %zu ", strlen(payload_type), payload_type, length);
    g_string_append_len(text, data, (gssize)length);
    return g_string_free_to_bytes(g_steal_pointer(&text));
}

GBytes *
vt_bundle_message(GBytes *payload)
{
    return vt_bundle_pae(PAYLOAD_TYPE, payload);
}

/* ---- the bundle ---- */

static bool
check_version(const VtJson *root, GError **error)
{
    static const char *const types[] = {
        VT_BUNDLE_MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3", NULL};
    const char *type = NULL;
    g_autofree char *shown = NULL;

    if (!vt_json_string(root, "mediaType", &type, error))
        return false;
    if (g_strv_contains(types, type))
        return true;
    shown = vt_json_shown(type);
    return vt_throw(error, VT_ERROR_UNSUPPORTED, "bundle: of type \"%s\"; only version 0.3 is read",
                    shown);
}

/* "verificationMaterial":{"publicKey":{"hint":"..."}} */
static bool
parse_material(const VtJson *root, VtBundle *bundle, GError **error)
{
    static const char *const fields[] = {"publicKey",
                                         "certificate",
                                         "x509CertificateChain",
                                         "tlogEntries",
                                         "timestampVerificationData",
                                         NULL};
    static const char *const key_fields[] = {"hint", NULL};
    const char *hint = NULL;
    VtJson material, key;

    if (!vt_json_object(root, "verificationMaterial", &material, error) ||
        !vt_json_exact_fields(&material, fields, error))
        return false;
    if (json_object_get(material.value, "certificate") ||
        json_object_get(material.value, "x509CertificateChain"))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "bundle: made with a certificate (keyless); only signatures made with a "
                        "key are supported");
    if (!vt_json_object(&material, "publicKey", &key, error) ||
        !vt_json_exact_fields(&key, key_fields, error) ||
        !vt_json_string_if(&key, "hint", &hint, error))
        return false;
    bundle->hint = g_strdup(hint);
    return true;
}

/* "signatures":[{"sig":"<base64>","keyid":"..."}]: the bundle format allows one only */
static bool
parse_signature(const VtJson *envelope, VtBundle *bundle, GError **error)
{
    const char *text = NULL;
    VtJson signatures, signature;

    if (!vt_json_array(envelope, "signatures", &signatures, error))
        return false;
    if (json_array_size(signatures.value) != 1)
        return vt_json_throw(&signatures, error, "has %zu entries, not exactly one",
                             json_array_size(signatures.value));
    signature = vt_json_element(&signatures, 0);
    return vt_json_is_object(&signature, error) &&
           vt_json_string(&signature, "sig", &text, error) &&
           vt_base64_decode_any(text, "bundle: signature", &bundle->signature, error);
}

/* Members that DSSE does not know are for others: it says to ignore them */
static bool
parse_envelope(const VtJson *root, VtBundle *bundle, GError **error)
{
    const char *payload = NULL, *type = NULL;
    VtJson envelope;

    if (!vt_json_object(root, "dsseEnvelope", &envelope, error) ||
        !vt_json_string(&envelope, "payloadType", &type, error) ||
        !vt_json_string(&envelope, "payload", &payload, error))
        return false;
    if (strcmp(type, PAYLOAD_TYPE) != 0)
        return vt_json_throw(&envelope, error, "payloadType is not \"" PAYLOAD_TYPE "\"");
    return parse_signature(&envelope, bundle, error) &&
           vt_base64_decode_any(payload, "bundle: payload", &bundle->payload, error);
}

bool
vt_bundle_parse(GBytes *bytes, VtBundle **ret_bundle, GError **error)
{
    static const char *const fields[] = {"mediaType", "verificationMaterial", "dsseEnvelope", NULL};
    g_autoptr(VtBundle) bundle = g_new0(VtBundle, 1);
    json_auto_t *document = NULL;
    VtJson root;

    if (!vt_json_parse(bytes, "bundle", VT_BUNDLE_MAX, &document, error))
        return false;
    root = vt_json_root(document, "bundle");
    if (!check_version(&root, error))
        return false;
    if (json_object_get(root.value, "messageSignature"))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "bundle: a plain message signature does not say that it is for an image");
    if (!vt_json_exact_fields(&root, fields, error) || !parse_material(&root, bundle, error) ||
        !parse_envelope(&root, bundle, error))
        return false;
    *ret_bundle = g_steal_pointer(&bundle);
    return true;
}

GBytes *
vt_bundle_format(GBytes *payload, GBytes *signature, const char *hint)
{
    json_auto_t *root = json_object();
    json_t *material = json_object(), *key = json_object(), *envelope = json_object();
    json_t *signatures = json_array(), *entry = json_object();
    g_autofree char *payload_text = vt_base64_encode(payload);
    g_autofree char *signature_text = vt_base64_encode(signature);

    vt_json_set_string(key, "hint", hint);
    json_object_set_new(material, "publicKey", key);
    vt_json_set_string(entry, "sig", signature_text);
    json_array_append_new(signatures, entry);
    vt_json_set_string(envelope, "payload", payload_text);
    vt_json_set_string(envelope, "payloadType", PAYLOAD_TYPE);
    json_object_set_new(envelope, "signatures", signatures);
    vt_json_set_string(root, "mediaType", VT_BUNDLE_MEDIA_TYPE);
    json_object_set_new(root, "verificationMaterial", material);
    json_object_set_new(root, "dsseEnvelope", envelope);
    return vt_json_format(root);
}

/* ---- the statement ---- */

/* "subject":[{"digest":{"sha256":"<hex>"}}]: whether one of them is @digest */
static bool
find_subject(const VtJson *subjects, const VtDigest *digest, bool *ret_found, GError **error)
{
    char hex[VT_DIGEST_STRING_MAX];
    bool found = false;

    vt_digest_hex(digest, hex);
    for (size_t i = 0; i < json_array_size(subjects->value); i++) {
        VtJson subject = vt_json_element(subjects, i), digests;
        const char *sha256 = NULL;

        if (!vt_json_is_object(&subject, error) ||
            !vt_json_object(&subject, "digest", &digests, error) ||
            !vt_json_string_if(&digests, "sha256", &sha256, error))
            return false;
        found = found || g_strcmp0(sha256, hex) == 0;
    }
    *ret_found = found;
    return true;
}

static bool
check_kind(const VtJson *root, GError **error)
{
    static const char *const types[] = {STATEMENT_TYPE, "https://in-toto.io/Statement/v0.1", NULL};
    const char *type = NULL, *predicate = NULL;
    g_autofree char *shown = NULL;

    if (!vt_json_string(root, "_type", &type, error) ||
        !vt_json_string(root, "predicateType", &predicate, error))
        return false;
    if (!g_strv_contains(types, type))
        return vt_json_throw(root, error, "_type is not \"" STATEMENT_TYPE "\"");
    if (strcmp(predicate, VT_BUNDLE_PREDICATE_TYPE) == 0)
        return true;
    shown = vt_json_shown(predicate);
    return vt_throw(error, VT_ERROR_UNTRUSTED,
                    "it is an attestation (\"%s\"), which says something about the image but does "
                    "not release it",
                    shown);
}

bool
vt_bundle_check_statement(GBytes *payload, const VtDigest *digest, GError **error)
{
    json_auto_t *document = NULL;
    VtJson root, subjects;
    bool found = false;

    if (!vt_json_parse(payload, "signed statement", VT_BUNDLE_MAX, &document, error))
        return false;
    root = vt_json_root(document, "signed statement");
    if (!check_kind(&root, error) || !vt_json_array(&root, "subject", &subjects, error) ||
        !find_subject(&subjects, digest, &found, error))
        return false;
    if (!found)
        return vt_throw(error, VT_ERROR_UNTRUSTED, "it is for another digest");
    return true;
}

GBytes *
vt_bundle_format_statement(const VtDigest *digest)
{
    json_auto_t *root = json_object();
    json_t *subjects = json_array(), *subject = json_object(), *digests = json_object();
    char hex[VT_DIGEST_STRING_MAX];

    vt_json_set_string(digests, "sha256", vt_digest_hex(digest, hex));
    json_object_set_new(subject, "digest", digests);
    json_array_append_new(subjects, subject);
    vt_json_set_string(root, "_type", STATEMENT_TYPE);
    json_object_set_new(root, "subject", subjects);
    vt_json_set_string(root, "predicateType", VT_BUNDLE_PREDICATE_TYPE);
    json_object_set_new(root, "predicate", json_object());
    return vt_json_format(root);
}
