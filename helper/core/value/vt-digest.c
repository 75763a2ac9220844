/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-digest.c: a SHA-256 digest as a value, and its OCI text form */
#include "vt-digest.h"

#include <string.h>

/* Lower case only: the OCI grammar, and one digest must have one spelling. */
static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool
vt_digest_parse(const char *text, VtDigest *ret_digest, GError **error)
{
    VtDigest digest;
    const char *hex;

    if (g_str_has_prefix(text, "sha512:"))
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "digest '%.20s...': only sha256 is supported",
                        text);
    if (!g_str_has_prefix(text, VT_DIGEST_PREFIX))
        return vt_throw(error, VT_ERROR_INVALID, "'%.80s' is not a sha256 digest", text);
    hex = text + strlen(VT_DIGEST_PREFIX);
    if (strlen(hex) != 2 * VT_DIGEST_BYTES)
        return vt_throw(error, VT_ERROR_INVALID, "digest '%.80s' does not have 64 hex digits",
                        text);
    for (size_t i = 0; i < VT_DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return vt_throw(error, VT_ERROR_INVALID,
                            "digest '%.80s' has a character that is not a lower-case hex digit",
                            text);
        digest.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_digest = digest;
    return true;
}

const char *
vt_digest_hex(const VtDigest *digest, char *buffer)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < VT_DIGEST_BYTES; i++) {
        buffer[2 * i] = digits[digest->bytes[i] >> 4];
        buffer[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    buffer[2 * VT_DIGEST_BYTES] = '\0';
    return buffer;
}

const char *
vt_digest_format(const VtDigest *digest, char buffer[VT_DIGEST_STRING_MAX])
{
    const size_t prefix = strlen(VT_DIGEST_PREFIX);

    memcpy(buffer, VT_DIGEST_PREFIX, prefix);
    vt_digest_hex(digest, buffer + prefix);
    return buffer;
}

bool
vt_digest_equal(const VtDigest *a, const VtDigest *b)
{
    return memcmp(a->bytes, b->bytes, VT_DIGEST_BYTES) == 0;
}

guint
vt_digest_hash(gconstpointer digest)
{
    guint hash;

    memcpy(&hash, ((const VtDigest *)digest)->bytes, sizeof(hash));
    return hash;
}

gboolean
vt_digest_same(gconstpointer a, gconstpointer b)
{
    return vt_digest_equal(a, b);
}
