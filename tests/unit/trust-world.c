/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust-world.c: a store with one template and two signers, and questions about it */
#include "trust-world.h"

#include <string.h>

Signer *
signer_new(const char *type)
{
    Signer *signer = g_new0(Signer, 1);
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;

    g_assert_true(vt_key_generate(type, &private_pem, &public_pem, NULL));
    g_assert_true(vt_key_parse_private(private_pem, &signer->key, NULL));
    signer->data =
        g_base64_encode(g_bytes_get_data(public_pem, NULL), g_bytes_get_size(public_pem));
    return signer;
}

void
signer_free(Signer *signer)
{
    vt_key_free(signer->key);
    g_free(signer->data);
    g_free(signer);
}

World *
world_new(const char *url)
{
    World *world = g_new0(World, 1);

    g_assert_true(vt_store_url_parse(url, &world->url, NULL));
    world->subject = (VtSubject){.url = world->url, .name = "web", .version = "1.0.0+b1"};
    memset(world->subject.digest.bytes, 0xab, sizeof(world->subject.digest.bytes));
    world->source = fake_source_new();
    world->good = signer_new("p256");
    world->evil = signer_new("p256");
    return world;
}

void
world_free(World *world)
{
    vt_store_url_free(world->url);
    fake_source_free(world->source);
    signer_free(world->good);
    signer_free(world->evil);
    g_free(world);
}

void
world_sign_simple(World *world, const Signer *signer, const char *identity)
{
    g_auto(VtAttachment) attachment = {0};
    g_autofree char *repository = vt_store_url_repository(world->url, world->subject.name);
    char hex[VT_DIGEST_STRING_MAX];
    g_autofree char *key =
        g_strdup_printf("%s sha256-%s.sig", repository, vt_digest_hex(&world->subject.digest, hex));
    GBytes *existing = g_hash_table_lookup(world->source->manifests, key);

    g_assert_true(vt_attach_build_simple(identity, &world->subject.digest, signer->key, existing,
                                         &attachment, NULL));
    fake_source_attach(world->source, repository, &world->subject.digest, &attachment, true);
}

void
world_sign_bundle(World *world, const Signer *signer)
{
    g_auto(VtAttachment) attachment = {0};

    g_assert_true(
        vt_attach_build_bundle(&world->subject.digest, 7, CREATED, signer->key, &attachment, NULL));
    fake_source_attach(world->source, REPOSITORY, &world->subject.digest, &attachment, false);
}

char *
world_requirement(const Signer *signer, const char *more)
{
    return g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyData\":\"%s\"%s}", signer->data,
                           more);
}

static bool
ask(World *world, const char *requirements, GError **error)
{
    g_autoptr(VtPolicy) policy = fake_policy(requirements);
    VtVerdict verdict = VT_VERDICT_DENIED;
    g_autofree char *signed_by = NULL;
    bool ok = vt_trust_check(policy, &world->subject, &world->source->source, &verdict, &signed_by,
                             error);

    g_assert_cmpint(ok, ==, verdict == VT_VERDICT_TRUSTED);
    g_assert_cmpint(ok, ==, error && *error ? false : ok);
    return ok;
}

void
world_check_trusted(World *world, const char *requirements)
{
    g_autoptr(GError) error = NULL;
    bool ok = ask(world, requirements, &error);

    g_assert_no_error(error);
    g_assert_true(ok);
}

void
world_check_denied(World *world, const char *requirements, int code, const char *message)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(ask(world, requirements, &error));
    g_assert_error(error, VT_ERROR, code);
    if (!strstr(error->message, message))
        g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, message));
}
