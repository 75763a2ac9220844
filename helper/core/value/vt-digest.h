/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-digest.h: a SHA-256 digest as a value, and its OCI text form */
#pragma once

#include "vt-error.h"

#include <stdint.h>

#define VT_DIGEST_BYTES  32
#define VT_DIGEST_PREFIX "sha256:"
/* "sha256:" + 64 hex digits + NUL */
#define VT_DIGEST_STRING_MAX 72

/**
 * VtDigest:
 * @bytes: the 32 bytes of a SHA-256
 */
typedef struct {
    uint8_t bytes[VT_DIGEST_BYTES];
} VtDigest;

/**
 * vt_digest_parse:
 * @text: `sha256:` and exactly 64 lower-case hex digits (OCI image-spec descriptor.md)
 * @ret_digest: (out): the value; untouched on failure
 * @error: %VT_ERROR_INVALID, or %VT_ERROR_UNSUPPORTED for another well-formed algorithm
 */
bool vt_digest_parse(const char *text, VtDigest *ret_digest, GError **error);

/** vt_digest_format: Writes `sha256:<hex>` into @buffer. Returns: @buffer */
const char *vt_digest_format(const VtDigest *digest, char buffer[VT_DIGEST_STRING_MAX]);

/** vt_digest_hex: Like vt_digest_format() without the prefix; @buffer: 65 bytes. Returns: @buffer
 */
const char *vt_digest_hex(const VtDigest *digest, char *buffer);

/** vt_digest_equal: Returns: whether @a and @b are the same 32 bytes */
bool vt_digest_equal(const VtDigest *a, const VtDigest *b);

/** vt_digest_hash, vt_digest_same: For a #GHashTable with #VtDigest as keys */
guint vt_digest_hash(gconstpointer digest);
gboolean vt_digest_same(gconstpointer a, gconstpointer b);
