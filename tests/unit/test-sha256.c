/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-sha256.h"

#include <string.h>

/* FIPS 180-2 appendix B */
static const struct {
    const char *text;
    const char *hex;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void
assert_hex(const VtDigest *digest, const char *hex)
{
    char text[VT_DIGEST_STRING_MAX];

    g_assert_cmpstr(vt_digest_hex(digest, text), ==, hex);
}

static void
test_vectors(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
        g_autoptr(GBytes) bytes = g_bytes_new_static(vectors[i].text, strlen(vectors[i].text));
        VtDigest digest;

        vt_sha256_data(vectors[i].text, strlen(vectors[i].text), &digest);
        assert_hex(&digest, vectors[i].hex);
        memset(&digest, 0, sizeof(digest));
        vt_sha256_bytes(bytes, digest.bytes);
        assert_hex(&digest, vectors[i].hex);
    }
}

static void
test_running(void)
{
    g_autoptr(VtSha256) hash = vt_sha256_new();

    for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
        VtDigest digest;

        for (const char *c = vectors[i].text; *c; c++)
            vt_sha256_update(hash, c, 1);
        vt_sha256_finish(hash, &digest);
        assert_hex(&digest, vectors[i].hex);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sha256/vectors", test_vectors);
    g_test_add_func("/sha256/running", test_running);
    return g_test_run();
}
