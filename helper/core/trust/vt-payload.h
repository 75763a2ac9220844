/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-payload.h: what a cosign v2 signature signs: the "simple signing" document */
#pragma once

#include "vt-digest.h"

#define VT_PAYLOAD_MEDIA_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
/* Annotations of `cosign sign -a` are in it; cosign's own is 250 bytes */
#define VT_PAYLOAD_MAX (64u << 10)

/**
 * VtPayload: containers-signature(5)
 * @docker_reference: name of the thing, as the signer wrote it
 * @digest: of its manifest
 */
typedef struct {
    char *docker_reference;
    VtDigest digest;
} VtPayload;
void vt_payload_free(VtPayload *payload);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtPayload, vt_payload_free)

/**
 * vt_payload_parse:
 * @bytes: the very bytes whose signature was verified
 *
 * Strict: nothing but the known fields, outside of `optional`. %VT_ERROR_INVALID
 */
bool vt_payload_parse(GBytes *bytes, VtPayload **ret_payload, GError **error);

/** vt_payload_format: Returns: (transfer full): in the form that cosign writes */
GBytes *vt_payload_format(const char *docker_reference, const VtDigest *digest);
