/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-key.c: public and private keys, signing and verifying bytes
 *
 * Theory of operation. A PEM text must be one block of the one expected label; its base64 body is
 * decoded here, strictly, and only DER goes to OpenSSL, which then must use all of it. So no
 * other kind of key, no second block and no trailing data can take part. Which hash goes with a
 * key is decided by the key and the signature's form, never by a document from outside.
 */
#include "vt-key.h"

#include "vt-base64.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

/* RSA of 8192 bits is 6.5 KiB as PEM */
#define PEM_MAX (64u << 10)
/* below: too weak; above: seconds for each signature */
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

/**
 * KeyKind: what is accepted as a key
 * @group: (nullable): OpenSSL's name of the curve
 * @bundle_hash: (nullable): hash of the bundle form; %NULL: the algorithm hashes by itself
 */
typedef struct {
    int id;
    const char *group;
    const char *label;
    const char *simple_hash;
    const char *bundle_hash;
} KeyKind;

static const KeyKind kinds[] = {
    {EVP_PKEY_EC, "prime256v1", "ECDSA P-256", "SHA256", "SHA256"},
    {EVP_PKEY_EC, "secp384r1", "ECDSA P-384", "SHA256", "SHA384"},
    {EVP_PKEY_EC, "secp521r1", "ECDSA P-521", "SHA256", "SHA512"},
    {EVP_PKEY_RSA, NULL, "RSA", "SHA256", "SHA256"},
    {EVP_PKEY_ED25519, NULL, "Ed25519", NULL, NULL},
};

struct VtKey {
    EVP_PKEY *pkey;
    const KeyKind *kind;
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_MD_CTX, EVP_MD_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)

void
vt_key_free(VtKey *key)
{
    if (!key)
        return;
    EVP_PKEY_free(key->pkey);
    g_free(key);
}

/* The reason OpenSSL has queued last; the queue is empty afterwards */
static bool
openssl_error(const char *what, GError **error)
{
    char text[256] = "no reason given";
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return vt_throw(error, VT_ERROR_INVALID, "%s: %s", what, text);
}

/* ---- which keys are accepted ---- */

static bool
check_rsa(EVP_PKEY *pkey, GError **error)
{
    int bits = EVP_PKEY_get_bits(pkey);
    g_autoptr(BIGNUM) exponent = NULL;

    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "RSA key of %d bits; use %d to %d, best 3072",
                        bits, RSA_BITS_MIN, RSA_BITS_MAX);
    /* with 1, every number is its own signature */
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1 ||
        !BN_is_odd(exponent) || BN_is_one(exponent))
        return vt_throw(error, VT_ERROR_INVALID, "RSA key whose exponent is not odd and above 1");
    return true;
}

/* For RSA OpenSSL would look for factors of the modulus, 20 ms for each load of a key */
static bool
check_point(EVP_PKEY *pkey, GError **error)
{
    g_autoptr(EVP_PKEY_CTX) ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && (!ctx || EVP_PKEY_public_check(ctx) != 1))
        return openssl_error("not a valid public key", error);
    return true;
}

static bool
find_kind(EVP_PKEY *pkey, const KeyKind **ret_kind, GError **error)
{
    int id = EVP_PKEY_get_base_id(pkey), is_explicit = 0;
    char group[80] = "";

    if (id == EVP_PKEY_EC) {
        /* a curve spelled out in the key is whatever its maker wants it to be */
        EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit);
        if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 || is_explicit)
            return vt_throw(error, VT_ERROR_INVALID, "an EC key without a named curve; use P-256");
    }
    if (id == EVP_PKEY_RSA && !check_rsa(pkey, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (kinds[i].id == id && (!kinds[i].group || strcmp(kinds[i].group, group) == 0)) {
            *ret_kind = &kinds[i];
            return true;
        }
    }
    return vt_throw(error, VT_ERROR_UNSUPPORTED,
                    "a key of type %s %s; use ECDSA P-256, P-384 or P-521, RSA of %d to %d bits, "
                    "or Ed25519",
                    EVP_PKEY_get0_type_name(pkey) ? EVP_PKEY_get0_type_name(pkey) : "unknown",
                    group, RSA_BITS_MIN, RSA_BITS_MAX);
}

static bool
key_new(EVP_PKEY *take, VtKey **ret_key, GError **error)
{
    g_autoptr(EVP_PKEY) pkey = take;
    const KeyKind *kind = NULL;

    if (!find_kind(pkey, &kind, error))
        return false;
    if (!check_point(pkey, error))
        return false;
    *ret_key = g_new0(VtKey, 1);
    (*ret_key)->pkey = g_steal_pointer(&pkey);
    (*ret_key)->kind = kind;
    return true;
}

/* ---- PEM ---- */

/* What to do with a PEM block that is not what was asked for */
#define COSIGN_ADVICE                                                                              \
    "this is cosign's own encrypted form, which cosign does not export. Make a key with "          \
    "'virt-template key generate PREFIX' and add PREFIX.pub to the policies beside the .pub of "   \
    "this one (keyPaths), or go on signing with cosign"
static const struct {
    const char *label, *advice;
} other_labels[] = {
    {"ENCRYPTED SIGSTORE PRIVATE KEY", COSIGN_ADVICE},
    {"ENCRYPTED COSIGN PRIVATE KEY", COSIGN_ADVICE},
    {"ENCRYPTED PRIVATE KEY",
     "the key has a passphrase; write it without one into a file that only its owner can read: "
     "'openssl pkcs8 -in KEY -out PLAIN.key'"},
    {"EC PRIVATE KEY", "convert it: 'openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW.key'"},
    {"EC PARAMETERS", "convert it: 'openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW.key'"},
    {"RSA PRIVATE KEY", "convert it: 'openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW.key'"},
    {"OPENSSH PRIVATE KEY",
     "this is an SSH key; make one with 'virt-template key generate PREFIX'"},
    {"PRIVATE KEY",
     "this is a private key, and belongs nowhere but to the signer; the public one is wanted "
     "here: 'openssl pkey -in KEY -pubout -out KEY.pub'"},
    {"PUBLIC KEY", "this is the public key; the private one is wanted here"},
    {"RSA PUBLIC KEY", "convert it: 'openssl rsa -RSAPublicKey_in -in KEY -pubout -out NEW.pub'"},
    {"CERTIFICATE",
     "take the key out of the certificate: 'openssl x509 -in CERT -pubkey -noout -out KEY.pub'"},
};

static bool
wrong_pem(const char *text, const char *label, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(other_labels); i++) {
        g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----", other_labels[i].label);

        if (strstr(text, begin) && strcmp(other_labels[i].label, label) != 0)
            return vt_throw(error, VT_ERROR_INVALID, "PEM block '%s' instead of '%s': %s",
                            other_labels[i].label, label, other_labels[i].advice);
    }
    return vt_throw(error, VT_ERROR_INVALID, "not exactly one PEM block '%s' and nothing else",
                    label);
}

/* The body of "-----BEGIN LABEL-----\nbase64\n-----END LABEL-----\n" without its white space */
static char *
pem_body(const char *text, const char *label)
{
    g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----", label);
    g_autofree char *end = g_strdup_printf("-----END %s-----", label);
    g_autofree char *trimmed = g_strstrip(g_strdup(text));
    g_auto(GStrv) parts = NULL;
    size_t length = strlen(trimmed);

    if (!g_str_has_prefix(trimmed, begin) || !g_str_has_suffix(trimmed, end) ||
        length < strlen(begin) + strlen(end))
        return NULL;
    trimmed[length - strlen(end)] = '\0';
    parts = g_strsplit_set(trimmed + strlen(begin), " \t\r\n", -1);
    return g_strjoinv(NULL, parts);
}

static bool
pem_decode(GBytes *pem, const char *label, GBytes **ret_der, GError **error)
{
    gsize length = 0;
    const char *data = g_bytes_get_data(pem, &length);
    g_autofree char *text = NULL, *body = NULL;

    if (length == 0 || length > PEM_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "empty, or larger than a key can be");
    if (memchr(data, '\0', length))
        return vt_throw(error, VT_ERROR_INVALID, "not PEM: has a NUL byte");
    text = g_strndup(data, length);
    body = pem_body(text, label);
    /* the body of a second block, or a header line, has a '-' or ':', which is not base64 */
    if (!body || strchr(body, '-') || strchr(body, ':'))
        return wrong_pem(text, label, error);
    return vt_base64_decode(body, label, ret_der, error);
}

bool
vt_key_parse_public(GBytes *pem, VtKey **ret_key, GError **error)
{
    g_autoptr(GBytes) der = NULL;
    const unsigned char *at, *end;
    EVP_PKEY *pkey;
    gsize length = 0;

    if (!pem_decode(pem, "PUBLIC KEY", &der, error))
        return false;
    at = g_bytes_get_data(der, &length);
    end = at + length;
    pkey = d2i_PUBKEY(NULL, &at, (long)length);
    if (!pkey)
        return openssl_error("not a public key", error);
    if (at != end) {
        EVP_PKEY_free(pkey);
        return vt_throw(error, VT_ERROR_INVALID, "data behind the end of the public key");
    }
    return key_new(pkey, ret_key, error);
}

bool
vt_key_parse_private(GBytes *pem, VtKey **ret_key, GError **error)
{
    g_autoptr(PKCS8_PRIV_KEY_INFO) info = NULL;
    g_autoptr(GBytes) der = NULL;
    const unsigned char *at, *end;
    EVP_PKEY *pkey;
    gsize length = 0;

    if (!pem_decode(pem, "PRIVATE KEY", &der, error))
        return false;
    at = g_bytes_get_data(der, &length);
    end = at + length;
    info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)length);
    if (!info)
        return openssl_error("not a PKCS#8 private key", error);
    if (at != end)
        return vt_throw(error, VT_ERROR_INVALID, "data behind the end of the private key");
    pkey = EVP_PKCS82PKEY(info);
    if (!pkey)
        return openssl_error("not a private key that OpenSSL can use", error);
    return key_new(pkey, ret_key, error);
}

/* ---- generating ---- */

static EVP_PKEY *
generate(const char *type)
{
    if (strcmp(type, "p256") == 0)
        return EVP_EC_gen("P-256");
    if (strcmp(type, "p384") == 0)
        return EVP_EC_gen("P-384");
    if (strcmp(type, "rsa3072") == 0)
        return EVP_RSA_gen(3072);
    return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static GBytes *
bio_bytes(BIO *bio)
{
    char *data = NULL;
    long length = BIO_get_mem_data(bio, &data);

    return g_bytes_new(data, (gsize)length);
}

bool
vt_key_generate(const char *type, GBytes **ret_private_pem, GBytes **ret_public_pem, GError **error)
{
    static const char *const types[] = {"p256", "p384", "rsa3072", "ed25519", NULL};
    g_autoptr(EVP_PKEY) pkey = NULL;
    g_autoptr(BIO) private_bio = BIO_new(BIO_s_secmem()), public_bio = BIO_new(BIO_s_mem());

    if (!g_strv_contains(types, type))
        return vt_throw(error, VT_ERROR_INVALID,
                        "key type '%.40s' is not one of p256, p384, rsa3072, ed25519", type);
    pkey = generate(type);
    if (!pkey || !private_bio || !public_bio ||
        PEM_write_bio_PKCS8PrivateKey(private_bio, pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
        PEM_write_bio_PUBKEY(public_bio, pkey) != 1)
        return openssl_error("cannot generate a key", error);
    *ret_private_pem = bio_bytes(private_bio);
    *ret_public_pem = bio_bytes(public_bio);
    return true;
}

GBytes *
vt_key_public_pem(const VtKey *key)
{
    g_autoptr(BIO) bio = BIO_new(BIO_s_mem());
    int result = PEM_write_bio_PUBKEY(bio, key->pkey);

    g_assert(result == 1);
    return bio_bytes(bio);
}

/* ---- naming ---- */

/* SHA-256 of the SubjectPublicKeyInfo */
static void
fingerprint(const VtKey *key, uint8_t ret[32])
{
    unsigned char *der = NULL;
    int length = i2d_PUBKEY(key->pkey, &der);
    g_autoptr(GBytes) bytes = NULL;

    g_assert(length > 0);
    bytes = g_bytes_new(der, (gsize)length);
    OPENSSL_free(der);
    vt_sha256_bytes(bytes, ret);
}

char *
vt_key_hint(const VtKey *key)
{
    uint8_t hash[32];

    fingerprint(key, hash);
    return g_base64_encode(hash, sizeof(hash));
}

char *
vt_key_describe(const VtKey *key)
{
    uint8_t hash[32];
    g_autofree char *label = NULL;

    fingerprint(key, hash);
    if (key->kind->id == EVP_PKEY_RSA)
        label = g_strdup_printf("RSA %d", EVP_PKEY_get_bits(key->pkey));
    return g_strdup_printf("%s SHA256:%02x%02x%02x%02x%02x%02x%02x%02x",
                           label ? label : key->kind->label, hash[0], hash[1], hash[2], hash[3],
                           hash[4], hash[5], hash[6], hash[7]);
}

bool
vt_key_is_ed25519(const VtKey *key)
{
    return key->kind->id == EVP_PKEY_ED25519;
}

/* ---- signing and verifying ---- */

static const char *
hash_of(const VtKey *key, VtSignatureForm form)
{
    return form == VT_SIGNATURE_SIMPLE ? key->kind->simple_hash : key->kind->bundle_hash;
}

bool
vt_key_sign(const VtKey *key, VtSignatureForm form, GBytes *message, GBytes **ret_signature,
            GError **error)
{
    g_autoptr(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    gsize length = 0;
    const unsigned char *data = g_bytes_get_data(message, &length);
    g_autofree unsigned char *signature = NULL;
    size_t size = 0;

    if (!ctx ||
        EVP_DigestSignInit_ex(ctx, NULL, hash_of(key, form), NULL, NULL, key->pkey, NULL) != 1 ||
        EVP_DigestSign(ctx, NULL, &size, data, length) != 1)
        return openssl_error("cannot sign (is this a private key?)", error);
    signature = g_malloc(size);
    if (EVP_DigestSign(ctx, signature, &size, data, length) != 1)
        return openssl_error("cannot sign (is this a private key?)", error);
    *ret_signature = g_bytes_new_take(g_steal_pointer(&signature), size);
    return true;
}

bool
vt_key_verify(const VtKey *key, VtSignatureForm form, GBytes *message, GBytes *signature)
{
    g_autoptr(EVP_MD_CTX) ctx = EVP_MD_CTX_new();
    gsize length = 0, size = 0;
    const unsigned char *data = g_bytes_get_data(message, &length);
    const unsigned char *sig = g_bytes_get_data(signature, &size);
    bool valid = false;

    if (ctx && size > 0 &&
        EVP_DigestVerifyInit_ex(ctx, NULL, hash_of(key, form), NULL, NULL, key->pkey, NULL) == 1)
        valid = EVP_DigestVerify(ctx, sig, size, data, length) == 1;
    ERR_clear_error();
    return valid;
}
