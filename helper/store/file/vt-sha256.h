/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-sha256.h: SHA-256, of bytes at once or as they come */
#pragma once

#include "vt-digest.h"

/**
 * VtSha256:
 *
 * A running hash. Not for use by two threads at a time.
 */
typedef struct VtSha256 VtSha256;
VtSha256 *vt_sha256_new(void);
void vt_sha256_free(VtSha256 *hash);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtSha256, vt_sha256_free)

void vt_sha256_update(VtSha256 *hash, const void *data, size_t length);

/** vt_sha256_finish: @ret: digest of what was updated; @hash is ready for the next one */
void vt_sha256_finish(VtSha256 *hash, VtDigest *ret);

/** vt_sha256_data: SHA-256 of @length bytes */
void vt_sha256_data(const void *data, size_t length, VtDigest *ret);

/** vt_sha256_matches: Returns: whether @digest is that of @bytes */
bool vt_sha256_matches(GBytes *bytes, const VtDigest *digest);

/** vt_sha256_bytes: SHA-256 of @bytes; @ret: 32 bytes */
void vt_sha256_bytes(GBytes *bytes, uint8_t ret[32]);
