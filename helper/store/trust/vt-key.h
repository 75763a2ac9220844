/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-key.h: public and private keys, signing and verifying bytes */
#pragma once

#include "vt-error.h"
#include "vt-sha256.h"

#include <stdint.h>

/**
 * VtKey:
 *
 * A public or private key: ECDSA P-256, P-384 or P-521, RSA of 2048 to 8192 bits, Ed25519 (pure).
 */
typedef struct VtKey VtKey;
void vt_key_free(VtKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtKey, vt_key_free)

/**
 * VtSignatureForm:
 * @VT_SIGNATURE_SIMPLE: cosign v2: always SHA-256
 * @VT_SIGNATURE_BUNDLE: Sigstore bundle: the hash that belongs to the key's size
 *
 * RSA is PKCS#1 v1.5, ECDSA signatures are DER, Ed25519 is pure in both.
 */
typedef enum {
    VT_SIGNATURE_SIMPLE,
    VT_SIGNATURE_BUNDLE,
} VtSignatureForm;

/** vt_key_parse_public: @pem: exactly one PEM block `PUBLIC KEY`, nothing else but whitespace */
bool vt_key_parse_public(GBytes *pem, VtKey **ret_key, GError **error);

/** vt_key_parse_private: @pem: exactly one unencrypted PKCS#8 PEM block `PRIVATE KEY` */
bool vt_key_parse_private(GBytes *pem, VtKey **ret_key, GError **error);

/**
 * vt_key_generate:
 * @type: `p256`, `p384`, `rsa3072` or `ed25519`
 * @ret_private_pem: (out) (transfer full): PKCS#8
 * @ret_public_pem: (out) (transfer full): SubjectPublicKeyInfo
 */
bool vt_key_generate(const char *type, GBytes **ret_private_pem, GBytes **ret_public_pem,
                     GError **error);

/** vt_key_public_pem: Returns: (transfer full): the public part of @key, SubjectPublicKeyInfo */
GBytes *vt_key_public_pem(const VtKey *key);

/** vt_key_hint: Returns: (transfer full): base64 of SHA-256 of the public key's SPKI DER */
char *vt_key_hint(const VtKey *key);

/** vt_key_describe: Returns: (transfer full): for people, e.g. `ECDSA P-256 SHA256:1a2b...` */
char *vt_key_describe(const VtKey *key);

/** vt_key_is_ed25519: Returns: whether @key is of the one type whose signatures exist in a form
 *  that cannot be verified: Ed25519ph, which newer cosign makes and OpenSSL 3.0 does not have */
bool vt_key_is_ed25519(const VtKey *key);

/** vt_key_sign: @key: a private key; @ret_signature: (out) (transfer full): raw signature bytes */
bool vt_key_sign(const VtKey *key, VtSignatureForm form, GBytes *message, GBytes **ret_signature,
                 GError **error);

/** vt_key_verify: Returns: true only if @signature by @key over @message is valid */
bool vt_key_verify(const VtKey *key, VtSignatureForm form, GBytes *message,
                   GBytes *signature) G_GNUC_WARN_UNUSED_RESULT;
