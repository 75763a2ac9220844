/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust-world.h: a store with one template and two signers, and questions about it */
#pragma once

#include "fake-source.h"

#define REPOSITORY "golden/web"
#define IDENTITY   "r.example/golden/web"
#define CREATED    "2026-11-21T10:00:00Z"

#define DIGEST_ONLY ",\"signedIdentity\":{\"type\":\"matchDigestOnly\"}"

/**
 * Signer: a key and how a policy names it
 * @data: base64 of the public key's PEM
 */
typedef struct {
    VtKey *key;
    char *data;
} Signer;
Signer *signer_new(const char *type);
void signer_free(Signer *signer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Signer, signer_free)

/**
 * World: a store with one template, and two signers; the policies trust @good
 */
typedef struct {
    VtStoreUrl *url;
    VtSubject subject;
    FakeSource *source;
    Signer *good, *evil;
} World;
World *world_new(const char *url);
void world_free(World *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

/** world_sign_simple: Adds a signature for @identity at the tag */
void world_sign_simple(World *world, const Signer *signer, const char *identity);
/** world_sign_bundle: Adds a bundle as a referrer */
void world_sign_bundle(World *world, const Signer *signer);

/** world_requirement: Returns: (transfer full): sigstoreSigned by @signer, with @more fields */
char *world_requirement(const Signer *signer, const char *more);

void world_check_trusted(World *world, const char *requirements);
void world_check_denied(World *world, const char *requirements, int code, const char *message);
