/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-sha256.c: SHA-256, of bytes at once or as they come */
#include "vt-sha256.h"

#include <openssl/evp.h>

/* Failures below are of the program (no memory, no SHA-256 in OpenSSL), never of the data: a hash
 * that cannot be computed must not become one that matches. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != 1)                                                                           \
            g_error("SHA-256 of OpenSSL failed");                                                  \
    } while (0)

struct VtSha256 {
    EVP_MD_CTX *ctx;
};

VtSha256 *
vt_sha256_new(void)
{
    VtSha256 *hash = g_new0(VtSha256, 1);

    hash->ctx = EVP_MD_CTX_new();
    MUST(EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL));
    return hash;
}

void
vt_sha256_free(VtSha256 *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->ctx);
    g_free(hash);
}

void
vt_sha256_update(VtSha256 *hash, const void *data, size_t length)
{
    MUST(EVP_DigestUpdate(hash->ctx, data, length));
}

void
vt_sha256_finish(VtSha256 *hash, VtDigest *ret)
{
    MUST(EVP_DigestFinal_ex(hash->ctx, ret->bytes, NULL));
    MUST(EVP_DigestInit_ex(hash->ctx, NULL, NULL));
}

void
vt_sha256_data(const void *data, size_t length, VtDigest *ret)
{
    MUST(EVP_Digest(data, length, ret->bytes, NULL, EVP_sha256(), NULL));
}

void
vt_sha256_bytes(GBytes *bytes, uint8_t ret[32])
{
    gsize length = 0;
    const void *data = g_bytes_get_data(bytes, &length);

    MUST(EVP_Digest(data, length, ret, NULL, EVP_sha256(), NULL));
}

bool
vt_sha256_matches(GBytes *bytes, const VtDigest *digest)
{
    VtDigest actual;

    vt_sha256_bytes(bytes, actual.bytes);
    return vt_digest_equal(&actual, digest);
}
