/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-signatures.h: the signatures that a store has of a manifest, of every form we know */
#pragma once

#include "vt-digest.h"
#include "vt-key.h"
#include "vt-source.h"

/* cosign reads 1000; each costs a request */
#define VT_SIGNATURES_MAX 100

/* Where cosign v2 keeps the signature of the layer's blob: base64 */
#define VT_SIGNATURE_ANNOTATION "dev.cosignproject.cosign/signature"

/**
 * VtSignature: one signature, nothing of which is verified
 * @form: which hash goes with it
 * @origin: where it was found, for messages
 * @message: the bytes that @signature is over
 * @document: what they say: the payload (simple form), or the statement (bundle)
 * @signature: raw bytes
 */
typedef struct {
    VtSignatureForm form;
    const char *origin;
    GBytes *message;
    GBytes *document;
    GBytes *signature;
} VtSignature;

/**
 * VtSignatureVisitor:
 * @found: called for each signature, borrowed for the call. Returns: whether to go on
 * @unusable: called for what looks like a signature but cannot be used
 */
typedef struct VtSignatureVisitor VtSignatureVisitor;
struct VtSignatureVisitor {
    bool (*found)(VtSignatureVisitor *self, const VtSignature *signature);
    void (*unusable)(VtSignatureVisitor *self, const char *origin, const char *why);
};

/** vt_signatures_tag: Returns: (transfer full): `sha256-<hex>.sig` */
char *vt_signatures_tag(const VtDigest *subject);

/**
 * vt_signatures_visit_tag:
 *
 * Visits the cosign v2 signatures at the tag of @subject; there may be none.
 *
 * Returns: false when the store could not be asked
 */
bool vt_signatures_visit_tag(VtSource *source, const char *repository, const VtDigest *subject,
                             VtSignatureVisitor *visitor, GError **error);

/** vt_signatures_visit_referrers: The same for Sigstore bundles, and for simple signatures that are
 *  attached as referrers */
bool vt_signatures_visit_referrers(VtSource *source, const char *repository,
                                   const VtDigest *subject, VtSignatureVisitor *visitor,
                                   GError **error);
