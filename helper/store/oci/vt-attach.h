/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-attach.h: sign a manifest in a store, in both cosign forms */
#pragma once

#include "vt-digest.h"
#include "vt-key.h"
#include "vt-manifest.h"
#include "vt-store.h"

/**
 * VtAttachment: the three documents of one signature
 * @layer: the signed payload, or the bundle
 * @config: config blob of @manifest
 * @manifest: what the store gets last
 */
typedef struct {
    GBytes *layer;
    GBytes *config;
    GBytes *manifest;
} VtAttachment;
void vt_attachment_clear(VtAttachment *attachment);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtAttachment, vt_attachment_clear)

/**
 * vt_attach_build_simple:
 * @identity: the name to sign for
 * @existing: (nullable): the manifest at the signature tag, whose signatures are kept
 * @ret: (out): zeroed by the caller
 * @error: %VT_ERROR_TOO_LARGE when @existing has as many signatures as are ever looked at
 *
 * Makes the documents of a cosign v2 signature; no I/O.
 */
bool vt_attach_build_simple(const char *identity, const VtDigest *subject, const VtKey *key,
                            GBytes *existing, VtAttachment *ret, GError **error);

/**
 * vt_attach_build_bundle:
 * @subject_size: bytes of the manifest
 * @created: RFC 3339
 *
 * Makes the documents of a Sigstore bundle; no I/O.
 */
bool vt_attach_build_bundle(const VtDigest *subject, uint64_t subject_size, const char *created,
                            const VtKey *key, VtAttachment *ret, GError **error);

/**
 * vt_attach_signatures:
 * @store: opened writable
 * @name: template name or %VT_CATALOG_NAME
 * @subject: the manifest, which the store has already
 * @key: a private key
 *
 * Adds a cosign v2 signature (a layer of the manifest at tag `sha256-<hex>.sig`, kept with those
 * already there) and a Sigstore bundle v0.3 (a referrer). A form in which @key has signed already
 * is left as it is. Two signers of one manifest at a time may lose one tag-form signature: a
 * registry cannot update a tag atomically.
 */
bool vt_attach_signatures(VtStore *store, const VtStoreUrl *url, const char *name,
                          const VtDescriptor *subject, const VtKey *key, GError **error);
