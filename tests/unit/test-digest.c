/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-digest.h"

#include <string.h>

#define HEX_A "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_round_trip(void)
{
    g_autoptr(GError) error = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    g_assert_true(vt_digest_parse("sha256:" HEX_A, &digest, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(digest.bytes[0], ==, 0x01);
    g_assert_cmpuint(digest.bytes[31], ==, 0xef);
    g_assert_cmpstr(vt_digest_format(&digest, text), ==, "sha256:" HEX_A);
    g_assert_cmpstr(vt_digest_hex(&digest, text), ==, HEX_A);
}

static void
test_refuse(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    VtDigest digest;

    g_assert_false(vt_digest_parse(data, &digest, &error));
    g_assert_true(g_error_matches(error, VT_ERROR, VT_ERROR_INVALID) ||
                  g_error_matches(error, VT_ERROR, VT_ERROR_UNSUPPORTED));
}

/* As the keys of a table, which may be copies */
static void
test_set(void)
{
    g_autoptr(GHashTable) set = g_hash_table_new(vt_digest_hash, vt_digest_same);
    VtDigest digest, copy, other;

    g_assert_true(vt_digest_parse("sha256:" HEX_A, &digest, NULL));
    copy = other = digest;
    /* not one of those that the hash is made of */
    other.bytes[VT_DIGEST_BYTES - 1] ^= 1;
    g_hash_table_add(set, &digest);
    g_assert_true(g_hash_table_contains(set, &copy));
    g_assert_cmpuint(vt_digest_hash(&other), ==, vt_digest_hash(&digest));
    g_assert_false(g_hash_table_contains(set, &other));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/digest/round-trip", test_round_trip);
    g_test_add_func("/digest/set", test_set);
    g_test_add_data_func("/digest/refuse/empty", "", test_refuse);
    g_test_add_data_func("/digest/refuse/no-prefix", HEX_A, test_refuse);
    g_test_add_data_func("/digest/refuse/short", "sha256:0123", test_refuse);
    g_test_add_data_func("/digest/refuse/long", "sha256:" HEX_A "0", test_refuse);
    g_test_add_data_func("/digest/refuse/sha512", "sha512:" HEX_A HEX_A, test_refuse);
    g_test_add_data_func("/digest/refuse/upper",
                         "sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
                         test_refuse);
    return g_test_run();
}
