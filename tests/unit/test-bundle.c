/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-bundle.h"

#include <string.h>

#define HEX      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MATERIAL "{\"publicKey\":{\"hint\":\"aGludA==\"}}"
#define ENVELOPE(payload, type, signatures)                                                        \
    "{\"payload\":\"" payload "\",\"payloadType\":\"" type "\",\"signatures\":" signatures "}"
#define IN_TOTO "application/vnd.in-toto+json"
#define ONE     "[{\"sig\":\"c2ln\"}]"
#define BUNDLE(type, material, envelope)                                                           \
    "{\"mediaType\":\"" type "\",\"verificationMaterial\":" material ",\"dsseEnvelope\":" envelope \
    "}"
#define WITH(material, envelope) BUNDLE(VT_BUNDLE_MEDIA_TYPE, material, envelope)
#define GOOD                     WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, ONE))

static GBytes *
bytes_of(const char *text)
{
    return g_bytes_new_static(text, strlen(text));
}

/* The example of the DSSE specification */
static void
test_pae(void)
{
    static const char expected[] = "DSSEv1 29 http://example.com/HelloWorld 11 hello world";
    g_autoptr(GBytes) body = bytes_of("hello world"), nothing = bytes_of("");
    g_autoptr(GBytes) pae = vt_bundle_pae("http://example.com/HelloWorld", body);
    g_autoptr(GBytes) empty = vt_bundle_pae("", nothing);

    g_assert_cmpmem(g_bytes_get_data(pae, NULL), g_bytes_get_size(pae), expected, strlen(expected));
    g_assert_cmpmem(g_bytes_get_data(empty, NULL), g_bytes_get_size(empty), "DSSEv1 0  0 ", 12);
}

static void
test_round_trip(void)
{
    g_autoptr(GBytes) payload = bytes_of("body"), signature = bytes_of("sig");
    g_autoptr(GBytes) bytes = vt_bundle_format(payload, signature, "aGludA==");
    g_autoptr(VtBundle) bundle = NULL;

    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), GOOD, strlen(GOOD));
    g_assert_true(vt_bundle_parse(bytes, &bundle, NULL));
    g_assert_true(g_bytes_equal(bundle->payload, payload));
    g_assert_true(g_bytes_equal(bundle->signature, signature));
    g_assert_cmpstr(bundle->hint, ==, "aGludA==");
}

static const char *const good[] = {
    GOOD,
    BUNDLE("application/vnd.dev.sigstore.bundle+json;version=0.3", MATERIAL,
           ENVELOPE("Ym9keQ==", IN_TOTO, ONE)),
    /* URL-safe, a keyid, and a member DSSE does not know */
    WITH("{\"publicKey\":{},\"tlogEntries\":[],\"timestampVerificationData\":{}}",
         "{\"payload\":\"-_8=\",\"payloadType\":\"" IN_TOTO "\",\"more\":{},\"signatures\":"
         "[{\"sig\":\"-_8=\",\"keyid\":\"x\"}]}"),
};

static const struct {
    const char *text;
    int code;
    const char *message;
} bad[] = {
    {"{}", VT_ERROR_INVALID, "bundle: mediaType: missing"},
    {BUNDLE("application/vnd.dev.sigstore.bundle.v0.4+json", MATERIAL, "{}"), VT_ERROR_UNSUPPORTED,
     "only version 0.3"},
    {BUNDLE("application/vnd.dev.sigstore.bundle+json;version=0.2", MATERIAL, "{}"),
     VT_ERROR_UNSUPPORTED, "only version 0.3"},
    {WITH("{}", ENVELOPE("Ym9keQ==", IN_TOTO, ONE)), VT_ERROR_INVALID, "publicKey: missing"},
    {WITH("{\"certificate\":{\"rawBytes\":\"\"}}", ENVELOPE("Ym9keQ==", IN_TOTO, ONE)),
     VT_ERROR_UNSUPPORTED, "keyless"},
    {WITH("{\"publicKey\":{},\"x509CertificateChain\":{}}", ENVELOPE("Ym9keQ==", IN_TOTO, ONE)),
     VT_ERROR_UNSUPPORTED, "keyless"},
    {WITH("{\"publicKey\":{\"hint\":1}}", ENVELOPE("Ym9keQ==", IN_TOTO, ONE)), VT_ERROR_INVALID,
     "hint: is an integer"},
    {WITH("{\"publicKey\":{\"hin\":\"\"}}", ENVELOPE("Ym9keQ==", IN_TOTO, ONE)), VT_ERROR_INVALID,
     "unknown field \"hin\""},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", "application/vnd.cyclonedx+json", ONE)), VT_ERROR_INVALID,
     "payloadType is not"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, "[]")), VT_ERROR_INVALID, "has 0 entries"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, "[{\"sig\":\"c2ln\"},{\"sig\":\"c2ln\"}]")),
     VT_ERROR_INVALID, "has 2 entries"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, "[{}]")), VT_ERROR_INVALID, "sig: missing"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, "[\"c2ln\"]")), VT_ERROR_INVALID, "is a string"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ==", IN_TOTO, "[{\"sig\":\"\"}]")), VT_ERROR_INVALID, "empty"},
    {WITH(MATERIAL, ENVELOPE("Ym9keR==", IN_TOTO, ONE)), VT_ERROR_INVALID, "not canonical base64"},
    {WITH(MATERIAL, ENVELOPE("Ym9keQ", IN_TOTO, ONE)), VT_ERROR_INVALID, "not canonical base64"},
    {WITH(MATERIAL, ENVELOPE("", IN_TOTO, ONE)), VT_ERROR_INVALID, "payload: empty"},
    {"{\"mediaType\":\"" VT_BUNDLE_MEDIA_TYPE "\",\"verificationMaterial\":" MATERIAL
     ",\"messageSignature\":{}}",
     VT_ERROR_UNSUPPORTED, "plain message signature"},
    {"{\"mediaType\":\"" VT_BUNDLE_MEDIA_TYPE "\",\"verificationMaterial\":" MATERIAL "}",
     VT_ERROR_INVALID, "dsseEnvelope: missing"},
    {"{\"mediaType\":\"" VT_BUNDLE_MEDIA_TYPE "\",\"more\":1,\"verificationMaterial\":" MATERIAL
     "}",
     VT_ERROR_INVALID, "unknown field \"more\""},
};

static void
test_parse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GBytes) bytes = bytes_of(good[i]);
        g_autoptr(VtBundle) bundle = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(vt_bundle_parse(bytes, &bundle, &error));
        g_assert_no_error(error);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = bytes_of(bad[i].text);
        g_autoptr(GError) error = NULL;
        VtBundle *bundle = NULL;

        g_test_message("%s", bad[i].text);
        g_assert_false(vt_bundle_parse(bytes, &bundle, &error));
        g_assert_error(error, VT_ERROR, bad[i].code);
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_null(bundle);
    }
}

#define STATEMENT(type, subject, predicate)                                                        \
    "{\"_type\":\"" type "\",\"subject\":" subject ",\"predicateType\":\"" predicate "\","         \
    "\"predicate\":{}}"
#define V1      "https://in-toto.io/Statement/v1"
#define SUBJECT "[{\"digest\":{\"sha256\":\"" HEX "\"}}]"

static const struct {
    const char *text;
    int code;
} statements[] = {
    {STATEMENT(V1, SUBJECT, VT_BUNDLE_PREDICATE_TYPE), -1},
    {STATEMENT("https://in-toto.io/Statement/v0.1", SUBJECT, VT_BUNDLE_PREDICATE_TYPE), -1},
    {STATEMENT(V1, "[{\"digest\":{}},{\"name\":\"x\",\"digest\":{\"sha256\":\"" HEX "\"}}]",
               VT_BUNDLE_PREDICATE_TYPE),
     -1},
    {STATEMENT(V1, SUBJECT, "https://slsa.dev/provenance/v1"), VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, SUBJECT, "https://spdx.dev/Document"), VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, "[]", VT_BUNDLE_PREDICATE_TYPE), VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, "[{\"digest\":{\"sha512\":\"" HEX "\"}}]", VT_BUNDLE_PREDICATE_TYPE),
     VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, "[{\"digest\":{\"sha256\":\"sha256:" HEX "\"}}]", VT_BUNDLE_PREDICATE_TYPE),
     VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, "[{\"name\":\"" HEX "\",\"digest\":{}}]", VT_BUNDLE_PREDICATE_TYPE),
     VT_ERROR_UNTRUSTED},
    {STATEMENT(V1, "[{\"digest\":{\"sha256\":1}}]", VT_BUNDLE_PREDICATE_TYPE), VT_ERROR_INVALID},
    {STATEMENT(V1, "[1]", VT_BUNDLE_PREDICATE_TYPE), VT_ERROR_INVALID},
    {STATEMENT(V1, "{}", VT_BUNDLE_PREDICATE_TYPE), VT_ERROR_INVALID},
    {STATEMENT("https://in-toto.io/Statement/v2", SUBJECT, VT_BUNDLE_PREDICATE_TYPE),
     VT_ERROR_INVALID},
    {"{}", VT_ERROR_INVALID},
    {"x", VT_ERROR_INVALID},
};

static void
test_statement(void)
{
    g_autoptr(GBytes) ours = NULL;
    VtDigest digest;

    g_assert_true(vt_digest_parse(VT_DIGEST_PREFIX HEX, &digest, NULL));
    ours = vt_bundle_format_statement(&digest);
    g_assert_cmpmem(g_bytes_get_data(ours, NULL), g_bytes_get_size(ours), statements[0].text,
                    strlen(statements[0].text));
    for (gsize i = 0; i < G_N_ELEMENTS(statements); i++) {
        g_autoptr(GBytes) bytes = bytes_of(statements[i].text);
        g_autoptr(GError) error = NULL;

        g_test_message("%s", statements[i].text);
        g_assert_cmpint(vt_bundle_check_statement(bytes, &digest, &error), ==,
                        statements[i].code == -1);
        if (error)
            g_assert_error(error, VT_ERROR, statements[i].code);
    }
    digest.bytes[31] ^= 1;
    g_assert_false(vt_bundle_check_statement(ours, &digest, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/bundle/pae", test_pae);
    g_test_add_func("/bundle/round-trip", test_round_trip);
    g_test_add_func("/bundle/parse", test_parse);
    g_test_add_func("/bundle/statement", test_statement);
    return g_test_run();
}
