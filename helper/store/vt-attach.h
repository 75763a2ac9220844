/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-attach.h: sign a manifest in a store, in both cosign forms */
#pragma once

#include "vt-digest.h"
#include "vt-key.h"
#include "vt-store.h"

/**
 * vt_attach_signatures:
 * @store: opened writable
 * @name: template name or %VT_CATALOG_NAME
 * @subject: digest of the manifest, which the store has already
 * @subject_size: bytes of the manifest
 * @key: a private key
 *
 * Adds a cosign v2 signature (a layer of the manifest at tag `sha256-<hex>.sig`, kept with those
 * already there) and a Sigstore bundle v0.3 (a referrer).
 */
bool vt_attach_signatures(VtStore *store, const VtStoreUrl *url, const char *name,
                          const VtDigest *subject, uint64_t subject_size, const VtKey *key,
                          GError **error);
