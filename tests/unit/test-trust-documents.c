/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the right key has signed, and still is not a signature of this manifest */
#include "trust-world.h"

#include "vt-bundle.h"
#include "vt-manifest.h"
#include "vt-payload.h"
#include "vt-sha256.h"

#include <string.h>

static void
wrap_signed_statement(World *world, const char *text)
{
    g_autoptr(GBytes) statement = g_bytes_new(text, strlen(text));
    g_autoptr(GBytes) message = vt_bundle_message(statement), signature = NULL, bundle = NULL;

    g_assert_true(vt_key_sign(world->good->key, VT_SIGNATURE_BUNDLE, message, &signature, NULL));
    bundle = vt_bundle_format(statement, signature, "hint");
    fake_source_wrap_bundle(world->source, REPOSITORY, &world->subject.digest, bundle);
}

static void
check_statement_denied(const char *text, const char *message)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);

    wrap_signed_statement(world, text);
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, message);
}

static void
test_statements(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_autoptr(GBytes) good = vt_bundle_format_statement(&world->subject.digest);
    g_autofree char *text = g_strndup(g_bytes_get_data(good, NULL), g_bytes_get_size(good));
    g_autoptr(GString) attestation = g_string_new(text), twice = g_string_new(text);
    g_autofree char *brackets = g_strnfill(200000, '[');
    g_autofree char *deep = g_strconcat("{\"_type\":", brackets, NULL);

    wrap_signed_statement(world, text);
    world_check_trusted(world, policy);
    g_string_replace(attestation, VT_BUNDLE_PREDICATE_TYPE, "https://slsa.dev/provenance/v1", 0);
    check_statement_denied(attestation->str, "it is an attestation");
    g_string_replace(twice, "{\"_type\"", "{\"_type\":\"x\",\"_type\"", 1);
    check_statement_denied(twice->str, "duplicate object key");
    check_statement_denied(deep, "nested deeper than 32 levels");
    check_statement_denied("not JSON", "signed statement");
}

static void
sign_payload(World *world, GBytes *payload)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new(NULL, NULL);
    g_autoptr(GBytes) signature = NULL, bytes = NULL;
    g_autofree char *text = NULL;
    VtDescriptor *layer;
    VtDigest digest;
    char digest_text[VT_DIGEST_STRING_MAX];

    g_assert_true(vt_key_sign(world->good->key, VT_SIGNATURE_SIMPLE, payload, &signature, NULL));
    text = g_base64_encode(g_bytes_get_data(signature, NULL), g_bytes_get_size(signature));
    fake_source_put_blob(world->source, payload, digest_text);
    g_assert_true(vt_digest_parse(digest_text, &digest, NULL));
    layer = vt_descriptor_new(VT_PAYLOAD_MEDIA_TYPE, &digest, g_bytes_get_size(payload));
    vt_descriptor_annotate(layer, "dev.cosignproject.cosign/signature", text);
    g_ptr_array_add(manifest->layers, layer);
    bytes = vt_manifest_format(manifest);
    fake_source_set_sig(world->source, REPOSITORY, &world->subject.digest, bytes);
}

static void
check_payload_denied(const char *text, const char *message)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_autoptr(GBytes) payload = g_bytes_new(text, strlen(text));

    sign_payload(world, payload);
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, message);
}

static void
test_payloads(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_autoptr(GBytes) good = vt_payload_format(IDENTITY, &world->subject.digest);
    g_autofree char *text = g_strndup(g_bytes_get_data(good, NULL), g_bytes_get_size(good));
    g_autoptr(GString) twice = g_string_new(text), other = g_string_new(text);
    g_autofree char *brackets = g_strnfill(60000, '['), *many = g_strnfill(200000, '[');

    sign_payload(world, good);
    world_check_trusted(world, policy);
    g_string_replace(twice, "{\"critical\"", "{\"critical\":1,\"critical\"", 1);
    check_payload_denied(twice->str, "duplicate object key");
    g_string_replace(other, "cosign container", "atomic container", 1);
    check_payload_denied(other->str, "type is not");
    check_payload_denied(brackets, "nested deeper than 32 levels");
    check_payload_denied(many, "more than 65536 bytes");
    check_payload_denied("", "signed payload: empty");
}

/* A statement signed as a payload, and the other way round: the forms do not mix */
static void
test_confusion(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autoptr(GBytes) statement = vt_bundle_format_statement(&world->subject.digest);
    g_autoptr(GBytes) payload = vt_payload_format(IDENTITY, &world->subject.digest);
    g_autofree char *statement_text =
        g_strndup(g_bytes_get_data(statement, NULL), g_bytes_get_size(statement));
    g_autofree char *payload_text =
        g_strndup(g_bytes_get_data(payload, NULL), g_bytes_get_size(payload));

    check_payload_denied(statement_text, "unknown field \"_type\"");
    check_statement_denied(payload_text, "_type: missing");
}

/* The envelope's own rules, with a signature that is good */
static void
test_envelopes(void)
{
    static const struct {
        const char *from, *to, *message;
    } changes[] = {
        {"application/vnd.in-toto+json", "application/vnd.other+json", "payloadType is not"},
        {"\"signatures\":[", "\"signatures\":[{\"sig\":\"AAAA\"},", "has 2 entries"},
        {"{\"mediaType\"", "{\"mediaType\":\"x\",\"mediaType\"", "duplicate object key"},
        {"\"publicKey\":{", "\"certificate\":{},\"publicKey\":{", "keyless"},
        {"\"dsseEnvelope\"", "\"messageSignature\":{},\"dsseEnvelope\"", "plain message"},
        {"bundle.v0.3+json", "bundle.v0.1+json", "only version 0.3"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(changes); i++) {
        g_autoptr(World) world = world_new("docker://r.example/golden");
        g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
        g_auto(VtAttachment) attachment = {0};
        g_autoptr(GString) text = NULL;
        g_autoptr(GBytes) bundle = NULL;

        g_assert_true(vt_attach_build_bundle(&world->subject.digest, 7, CREATED, world->good->key,
                                             &attachment, NULL));
        text = g_string_new_len(g_bytes_get_data(attachment.layer, NULL),
                                (gssize)g_bytes_get_size(attachment.layer));
        g_assert_cmpuint(g_string_replace(text, changes[i].from, changes[i].to, 1), ==, 1);
        bundle = g_bytes_new(text->str, text->len);
        fake_source_wrap_bundle(world->source, REPOSITORY, &world->subject.digest, bundle);
        world_check_denied(world, policy, VT_ERROR_UNTRUSTED, changes[i].message);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trust-documents/statements", test_statements);
    g_test_add_func("/trust-documents/payloads", test_payloads);
    g_test_add_func("/trust-documents/confusion", test_confusion);
    g_test_add_func("/trust-documents/envelopes", test_envelopes);
    return g_test_run();
}
