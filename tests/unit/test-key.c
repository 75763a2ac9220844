/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-key.h"

#include <string.h>

static GBytes *
read_data(const char *directory, const char *name)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "data", directory, name, NULL);
    char *data = NULL;
    gsize length = 0;

    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    return g_bytes_new_take(data, length);
}

static GBytes *
bytes_of(const char *text)
{
    return g_bytes_new(text, strlen(text));
}

static GBytes *
flip(GBytes *bytes, gsize bit)
{
    g_autoptr(GByteArray) array = g_byte_array_new();
    gsize length = 0;
    const guint8 *data = g_bytes_get_data(bytes, &length);

    g_byte_array_append(array, data, (guint)length);
    array->data[bit / 8] ^= (guint8)(1u << bit % 8);
    return g_byte_array_free_to_bytes(g_steal_pointer(&array));
}

static void
check_pair(const VtKey *private_key, const VtKey *public_key, VtSignatureForm form)
{
    g_autoptr(GBytes) message = bytes_of("message"), other = bytes_of("Message");
    g_autoptr(GBytes) signature = NULL, none = NULL, empty = g_bytes_new_static("", 0);
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_key_sign(private_key, form, message, &signature, &error));
    g_assert_no_error(error);
    g_assert_true(vt_key_verify(public_key, form, message, signature));
    g_assert_true(vt_key_verify(private_key, form, message, signature));
    g_assert_false(vt_key_verify(public_key, form, other, signature));
    g_assert_false(vt_key_verify(public_key, form, message, message));
    g_assert_false(vt_key_verify(public_key, form, message, empty));
    for (gsize bit = 0; bit < 8 * g_bytes_get_size(signature); bit += 7) {
        g_autoptr(GBytes) flipped = flip(signature, bit);

        g_assert_false(vt_key_verify(public_key, form, message, flipped));
    }
    g_assert_false(vt_key_sign(public_key, form, message, &none, &error));
    g_assert_null(none);
}

static void
test_generate(gconstpointer type)
{
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;
    g_autoptr(VtKey) private_key = NULL, public_key = NULL;
    g_autofree char *hint = NULL, *public_hint = NULL, *text = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_key_generate(type, &private_pem, &public_pem, &error));
    g_assert_no_error(error);
    g_assert_true(vt_key_parse_private(private_pem, &private_key, &error));
    g_assert_no_error(error);
    g_assert_true(vt_key_parse_public(public_pem, &public_key, &error));
    g_assert_no_error(error);
    hint = vt_key_hint(private_key);
    public_hint = vt_key_hint(public_key);
    g_assert_cmpstr(hint, ==, public_hint);
    text = vt_key_describe(public_key);
    g_assert_nonnull(strstr(text, " SHA256:"));
    check_pair(private_key, public_key, VT_SIGNATURE_SIMPLE);
    check_pair(private_key, public_key, VT_SIGNATURE_BUNDLE);
}

/* The hash of the two forms differs above P-256: one form's signature is not the other's */
static void
test_forms(void)
{
    static const struct {
        const char *type;
        bool same;
    } types[] = {{"p256", true}, {"p384", false}, {"rsa3072", true}, {"ed25519", true}};
    g_autoptr(GBytes) message = bytes_of("message");

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autoptr(GBytes) private_pem = NULL, public_pem = NULL, signature = NULL;
        g_autoptr(VtKey) key = NULL;

        g_assert_true(vt_key_generate(types[i].type, &private_pem, &public_pem, NULL));
        g_assert_true(vt_key_parse_private(private_pem, &key, NULL));
        g_assert_true(vt_key_sign(key, VT_SIGNATURE_BUNDLE, message, &signature, NULL));
        g_assert_cmpint(vt_key_verify(key, VT_SIGNATURE_SIMPLE, message, signature), ==,
                        types[i].same);
        g_assert_cmpint(vt_key_is_ed25519(key), ==, i == 3);
    }
}

static void
test_p521(void)
{
    g_autoptr(GBytes) pem = read_data("keys", "p521.key");
    g_autoptr(GBytes) message = bytes_of("message"), signature = NULL;
    g_autoptr(VtKey) key = NULL;

    g_assert_true(vt_key_parse_private(pem, &key, NULL));
    g_assert_true(vt_key_sign(key, VT_SIGNATURE_BUNDLE, message, &signature, NULL));
    g_assert_true(vt_key_verify(key, VT_SIGNATURE_BUNDLE, message, signature));
    g_assert_false(vt_key_verify(key, VT_SIGNATURE_SIMPLE, message, signature));
}

/* The hint cosign wrote into its bundle is ours for the same key */
static void
test_vectors(void)
{
    static const struct {
        const char *directory, *hint, *label;
    } vectors[] = {
        {"vectors/p256", "FJLSND//kNWGnjQNqs+zJZ9UWJCf2Ps563Zt8qdRRFw=", "ECDSA P-256 SHA256:1492"},
        {"vectors/rsa", "+MVGN5yNRqmcXwKhJcAJQdjMx3ilosrrn1e7ePX44Ks=", "RSA 3072 SHA256:f8c5"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(vectors); i++) {
        g_autoptr(GBytes) pem = read_data(vectors[i].directory, "key.pub");
        g_autofree char *hint = NULL, *text = NULL;
        g_autoptr(VtKey) key = NULL;

        g_assert_true(vt_key_parse_public(pem, &key, NULL));
        hint = vt_key_hint(key);
        g_assert_cmpstr(hint, ==, vectors[i].hint);
        text = vt_key_describe(key);
        g_assert_true(g_str_has_prefix(text, vectors[i].label));
    }
}

typedef bool (*Parse)(GBytes *pem, VtKey **ret_key, GError **error);

static const struct {
    Parse parse;
    const char *file, *message;
} refused[] = {
    {vt_key_parse_public, "rsa1024.pub", "RSA key of 1024 bits"},
    {vt_key_parse_public, "rsa-e1.pub", "not odd and above 1"},
    {vt_key_parse_public, "rsa-pss.pub", "a key of type RSA-PSS"},
    {vt_key_parse_public, "rsa-pkcs1.pub", "convert it: 'openssl rsa"},
    {vt_key_parse_public, "ec-explicit.pub", "without a named curve"},
    {vt_key_parse_public, "secp256k1.pub", "secp256k1"},
    {vt_key_parse_public, "x25519.pub", "a key of type X25519"},
    {vt_key_parse_public, "cert.pem", "take the key out of the certificate"},
    {vt_key_parse_public, "p521.key", "this is a private key"},
    {vt_key_parse_private, "rsa1024.pub", "this is the public key"},
    {vt_key_parse_private, "sec1.key", "openssl pkcs8 -topk8 -nocrypt"},
    {vt_key_parse_private, "encrypted.key", "has a passphrase"},
    {vt_key_parse_private, "sigstore.key", "this is cosign's own encrypted form"},
    {vt_key_parse_private, "README.md", "not exactly one PEM block"},
};

static void
check_refused(Parse parse, GBytes *pem, const char *message)
{
    g_autoptr(GError) error = NULL;
    VtKey *key = NULL;

    g_assert_false(parse(pem, &key, &error));
    g_assert_true(g_error_matches(error, VT_ERROR, VT_ERROR_INVALID) ||
                  g_error_matches(error, VT_ERROR, VT_ERROR_UNSUPPORTED));
    g_assert_nonnull(strstr(error->message, message));
    g_assert_null(key);
}

static void
test_refuse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GBytes) pem = read_data("keys", refused[i].file);

        g_test_message("%s", refused[i].file);
        check_refused(refused[i].parse, pem, refused[i].message);
    }
}

/* %s is the whole good PEM text */
static void
test_refuse_shape(void)
{
    static const struct {
        const char *before, *after, *message;
    } shapes[] = {
        {"x", "", "not exactly one PEM block"},
        {"", "x", "not exactly one PEM block"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "",
         "not exactly one PEM block"},
        {"-----BEGIN PUBLIC KEY-----\nHeader: x\n-----END PUBLIC KEY-----\n", "",
         "not exactly one PEM block"},
    };
    static const char *const whole[] = {
        "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nA A=\n-----END PUBLIC KEY-----", ""};
    g_autoptr(GBytes) pem = read_data("vectors/p256", "key.pub");
    g_autofree char *text = g_strndup(g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
    g_autoptr(GBytes) nul = g_bytes_new(text, strlen(text) + 1);
    g_autofree char *spaces = g_strconcat(" \r\n", text, "\n\n", NULL);
    g_autoptr(GBytes) padded = bytes_of(spaces);
    g_autoptr(VtKey) key = NULL;

    g_assert_true(vt_key_parse_public(padded, &key, NULL));
    check_refused(vt_key_parse_public, nul, "NUL");
    for (gsize i = 0; i < G_N_ELEMENTS(shapes); i++) {
        g_autofree char *wrong = g_strconcat(shapes[i].before, text, shapes[i].after, NULL);
        g_autoptr(GBytes) bytes = bytes_of(wrong);

        check_refused(vt_key_parse_public, bytes, shapes[i].message);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(whole); i++) {
        g_autoptr(GBytes) bytes = bytes_of(whole[i]);

        check_refused(vt_key_parse_public, bytes, "");
    }
}

/* A byte behind the DER, inside of the PEM */
static void
test_refuse_trailing(void)
{
    g_autoptr(GBytes) pem = read_data("vectors/p256", "key.pub");
    g_autofree char *text = g_strndup(g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
    g_autoptr(GString) longer = g_string_new(text);
    g_autoptr(GBytes) bytes = NULL;

    /* 91 bytes end in "nQ=="; 92 with a zero in "nQA=" */
    g_assert_cmpuint(g_string_replace(longer, "nQ==", "nQA=", 1), ==, 1);
    bytes = bytes_of(longer->str);
    check_refused(vt_key_parse_public, bytes, "data behind the end");
}

static void
test_generate_refuse(void)
{
    g_autoptr(GError) error = NULL;
    GBytes *private_pem = NULL, *public_pem = NULL;

    g_assert_false(vt_key_generate("rsa1024", &private_pem, &public_pem, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
}

/* "abc" of FIPS 180-4 */
static void
test_sha256(void)
{
    static const uint8_t expected[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    g_autoptr(GBytes) bytes = bytes_of("abc");
    uint8_t hash[32];

    vt_sha256_bytes(bytes, hash);
    g_assert_cmpmem(hash, 8, expected, 8);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/key/generate/p256", "p256", test_generate);
    g_test_add_data_func("/key/generate/p384", "p384", test_generate);
    g_test_add_data_func("/key/generate/rsa3072", "rsa3072", test_generate);
    g_test_add_data_func("/key/generate/ed25519", "ed25519", test_generate);
    g_test_add_func("/key/generate/refuse", test_generate_refuse);
    g_test_add_func("/key/forms", test_forms);
    g_test_add_func("/key/p521", test_p521);
    g_test_add_func("/key/vectors", test_vectors);
    g_test_add_func("/key/refuse", test_refuse);
    g_test_add_func("/key/refuse/shape", test_refuse_shape);
    g_test_add_func("/key/refuse/trailing", test_refuse_trailing);
    g_test_add_func("/key/sha256", test_sha256);
    return g_test_run();
}
