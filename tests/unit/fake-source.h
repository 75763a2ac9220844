/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-source.h: a store in memory that tests fill, and that can be made to fail */
#pragma once

#include "vt-attach.h"
#include "vt-policy.h"
#include "vt-trust.h"

/**
 * FakeSource:
 * @source: must be first
 * @manifests: "REPOSITORY REFERENCE" to bytes
 * @blobs: "sha256:<hex>" to bytes
 * @referrers: subject digest to an index
 * @tag_error, @referrers_error: -1, or the VtError that is thrown instead of an answer
 * @requests: how often it was asked
 */
typedef struct {
    VtSource source;
    GHashTable *manifests;
    GHashTable *blobs;
    GHashTable *referrers;
    int tag_error;
    int referrers_error;
    unsigned requests;
} FakeSource;

FakeSource *fake_source_new(void);
void fake_source_free(FakeSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeSource, fake_source_free)

/** fake_source_put_blob: @ret_digest: buffer for the text of its digest */
void fake_source_put_blob(FakeSource *source, GBytes *bytes, char *ret_digest);
void fake_source_put_manifest(FakeSource *source, const char *repository, const char *reference,
                              GBytes *bytes);

/** fake_source_set_sig: Makes @manifest what is at the signature tag of @subject */
void fake_source_set_sig(FakeSource *source, const char *repository, const VtDigest *subject,
                         GBytes *manifest);

/** fake_source_add_referrer: Puts @manifest and adds it to the index of @subject, with the
 *  artifactType @hint in the index */
void fake_source_add_referrer(FakeSource *source, const char *repository, const VtDigest *subject,
                              GBytes *manifest, const char *hint);

/** fake_source_attach: Puts what vt_attach_build_simple() (@simple) or _bundle() has made */
void fake_source_attach(FakeSource *source, const char *repository, const VtDigest *subject,
                        const VtAttachment *attachment, bool simple);

/** fake_source_wrap_bundle: A referrer of @subject whose layer is @bundle, digests as they ought to
 *  be */
void fake_source_wrap_bundle(FakeSource *source, const char *repository, const VtDigest *subject,
                             GBytes *bundle);

/** fake_read: Returns: (transfer full): a file below tests/data */
GBytes *fake_read(const char *directory, const char *name);

/** fake_flip: Returns: (transfer full): @bytes with one bit inverted */
GBytes *fake_flip(GBytes *bytes, size_t bit);

/** fake_policy: Returns: (transfer full): {"default":[@requirements]} */
VtPolicy *fake_policy(const char *requirements);
