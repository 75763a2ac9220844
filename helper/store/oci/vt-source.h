/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-source.h: reading small documents of a store, whoever does the reading */
#pragma once

#include "vt-error.h"

/* A manifest may not be larger (OCI distribution-spec: registries accept 4 MiB) */
#define VT_MANIFEST_MAX (4u << 20)

/**
 * VtSource:
 *
 * Where documents come from: the store itself (command line), or the network worker on the far side
 * of a socket (daemon). Nothing that comes through it is verified but sizes; the caller checks
 * digests and signatures.
 */
typedef struct VtSource VtSource;
struct VtSource {
    /**
     * get_manifest:
     * @repository: e.g. `golden/debian-12` (docker), `debian-12` (oci)
     * @reference: a tag, or `sha256:<hex>`
     * @ret_bytes: (out) (transfer full): the exact bytes, at most %VT_MANIFEST_MAX
     *
     * %VT_ERROR_NOT_FOUND when the store answers and has none.
     */
    bool (*get_manifest)(VtSource *self, const char *repository, const char *reference,
                         GBytes **ret_bytes, GError **error);
    /**
     * get_blob:
     * @digest: `sha256:<hex>`
     * @limit: bytes; more than this is %VT_ERROR_TOO_LARGE
     * @ret_bytes: (out) (transfer full): the blob
     */
    bool (*get_blob)(VtSource *self, const char *repository, const char *digest, gsize limit,
                     GBytes **ret_bytes, GError **error);
    /**
     * get_referrers:
     * @digest: the subject's digest
     * @ret_bytes: (out) (transfer full): an OCI image index; from the referrers API, or the
     *   fallback tag, whichever the store has; an index without entries when there are none
     */
    bool (*get_referrers)(VtSource *self, const char *repository, const char *digest,
                          GBytes **ret_bytes, GError **error);
};
