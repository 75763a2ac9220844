/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The decision, with keys made here: which policy accepts what, and what is said otherwise */
#include "trust-world.h"

#include "vt-manifest.h"
#include "vt-name.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static void
test_key_types(gconstpointer type)
{
    g_autoptr(World) simple = world_new("docker://r.example/golden");
    g_autoptr(World) bundle = world_new("docker://r.example/golden");
    g_autoptr(Signer) signer = signer_new(type), other = signer_new(type);
    g_autofree char *policy = world_requirement(signer, DIGEST_ONLY);
    g_autofree char *wrong = world_requirement(other, DIGEST_ONLY);

    world_sign_simple(simple, signer, IDENTITY);
    world_sign_bundle(bundle, signer);
    world_check_trusted(simple, policy);
    world_check_trusted(bundle, policy);
    world_check_denied(simple, wrong, VT_ERROR_UNTRUSTED, "not made with the key of the policy");
    world_check_denied(bundle, wrong, VT_ERROR_UNTRUSTED, "not made with the key of the policy");
    if (strcmp(type, "ed25519") == 0)
        world_check_denied(bundle, wrong, VT_ERROR_UNTRUSTED, "Ed25519ph");
}

static void
test_unsigned(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autoptr(World) layout = world_new("oci:/srv/golden");
    g_autofree char *policy = world_requirement(world->good, "");

    world_check_denied(world, policy, VT_ERROR_UNTRUSTED,
                       "template 'web' version 1.0.0+b1 (sha256:abab");
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "it has no signature");
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "policy.json: default[0]");
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED,
                       "cosign sign --key KEY r.example/golden/web@sha256:abab");
    world_check_denied(layout, policy, VT_ERROR_UNTRUSTED,
                       "virt-template publish --store oci:/srv/golden --key KEY");
    world->subject.name = VT_CATALOG_NAME;
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "the catalog (sha256:abab");
}

static void
test_reject_and_accept(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, "");
    g_autofree char *both = g_strconcat("{\"type\":\"reject\"},", policy, NULL);
    g_autofree char *either = g_strconcat("{\"type\":\"insecureAcceptAnything\"},", policy, NULL);

    world_check_trusted(world, "{\"type\":\"insecureAcceptAnything\"}");
    g_assert_cmpuint(world->source->requests, ==, 0);
    world_check_denied(world, either, VT_ERROR_UNTRUSTED, "policy.json: default[1]");
    world_sign_simple(world, world->good, IDENTITY);
    world_check_trusted(world, policy);
    world_check_trusted(world, either);
    world_check_denied(world, both, VT_ERROR_POLICY, "is rejected by policy.json: default[0]");
}

/* Right key among wrong ones, in the policy and in the store */
static void
test_among(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autoptr(Signer) third = signer_new("p384");
    g_autofree char *any =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyDatas\":[\"%s\",\"%s\",\"%s\"]}",
                        world->evil->data, third->data, world->good->data);
    g_autofree char *one = world_requirement(world->good, "");
    g_autofree char *none = world_requirement(third, "");

    world_sign_simple(world, world->good, IDENTITY);
    world_check_trusted(world, any);
    world_sign_bundle(world, world->evil);
    world_sign_simple(world, world->evil, IDENTITY);
    world_check_trusted(world, one);
    world_check_denied(world, none, VT_ERROR_UNTRUSTED, "signature 2 of tag sha256-abab");
    world_check_denied(world, none, VT_ERROR_UNTRUSTED, "; referrer ");
}

/* All requirements must be met; one signature each is enough */
static void
test_all_required(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *good = world_requirement(world->good, ""),
                    *evil = world_requirement(world->evil, "");
    g_autofree char *both = g_strconcat(good, ",", evil, NULL);
    g_autoptr(VtPolicy) policy = fake_policy(both);
    VtVerdict verdict = VT_VERDICT_DENIED;
    g_autofree char *signed_by = NULL;

    world_sign_simple(world, world->good, IDENTITY);
    world_check_trusted(world, good);
    world_check_denied(world, both, VT_ERROR_UNTRUSTED,
                       "no signature of it satisfies policy.json: "
                       "default[1]");
    world_sign_simple(world, world->evil, IDENTITY);
    g_assert_true(vt_trust_check(policy, &world->subject, &world->source->source, &verdict,
                                 &signed_by, NULL));
    g_assert_nonnull(strstr(signed_by, "), ECDSA P-256 SHA256:"));
}

static const struct {
    const char *url, *signed_identity, *more;
    bool trusted;
} identities[] = {
    {"docker://r.example/golden", IDENTITY, "", true},
    {"docker://r.example/golden", IDENTITY ":2.0.0", "", true},
    {"docker://r.example/golden", "r.example/golden/other", "", false},
    {"docker://r.example/golden", "mirror.example/golden/web", "", false},
    {"docker://r.example/golden", IDENTITY, ",\"signedIdentity\":{\"type\":\"matchExact\"}", false},
    /* the tag of version 1.0.0+b1 */
    {"docker://r.example/golden", IDENTITY ":1.0.0_b1",
     ",\"signedIdentity\":{\"type\":\"matchExact\"}", true},
    {"docker://r.example/golden", "up.example/x/golden/web",
     ",\"signedIdentity\":{\"type\":\"remapIdentity\",\"prefix\":\"r.example\","
     "\"signedPrefix\":\"up.example/x\"}",
     true},
    {"docker://r.example/golden", "anything at all", DIGEST_ONLY, true},
    {"oci:/srv/golden", "localhost/golden/web", "", true},
    {"oci:/mnt/copy/golden", "localhost/golden/web", "", true},
    {"oci:/srv/silver", "localhost/golden/web", "", false},
    {"oci:/srv/golden", "localhost/golden/db", "", false},
    {"oci:/srv/golden", "localhost/golden/web",
     ",\"signedIdentity\":{\"type\":\"matchRepository\"}", true},
    {"oci:/srv/golden", IDENTITY, "", false},
    {"oci:/srv/golden", IDENTITY,
     ",\"signedIdentity\":{\"type\":\"exactRepository\",\"dockerRepository\":\"" IDENTITY "\"}",
     true},
    {"oci:/srv/golden", "r.example/golden/db",
     ",\"signedIdentity\":{\"type\":\"exactRepository\",\"dockerRepository\":\"" IDENTITY "\"}",
     false},
    {"oci:/srv/golden", IDENTITY,
     ",\"signedIdentity\":{\"type\":\"remapIdentity\",\"prefix\":\"localhost/golden\","
     "\"signedPrefix\":\"r.example/golden\"}",
     true},
    {"oci:/srv/golden", IDENTITY, DIGEST_ONLY, true},
};

static void
test_identities(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(identities); i++) {
        g_autoptr(World) world = world_new(identities[i].url);
        g_autofree char *policy = world_requirement(world->good, identities[i].more);

        g_test_message("%zu", i);
        world_sign_simple(world, world->good, identities[i].signed_identity);
        if (identities[i].trusted)
            world_check_trusted(world, policy);
        else
            world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "but it is for \"");
    }
}

/* The policy's scope with a tag decides about one version only */
static void
test_scopes(void)
{
    static const struct {
        const char *url, *transports;
    } scopes[] = {
        {"docker://r.example/golden",
         "\"docker\":{\"" IDENTITY ":1.0.0_b1\":[{\"type\":\"insecureAcceptAnything\"}]}"},
        {"oci:/srv/golden",
         "\"oci\":{\"/srv/golden:web/1.0.0_b1\":[{\"type\":\"insecureAcceptAnything\"}]}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(scopes); i++) {
        g_autoptr(World) world = world_new(scopes[i].url);
        g_autofree char *text = g_strdup_printf(
            "{\"default\":[{\"type\":\"reject\"}],\"transports\":{%s}}", scopes[i].transports);
        g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
        g_autoptr(VtPolicy) policy = NULL;
        VtVerdict verdict = VT_VERDICT_DENIED;
        g_autofree char *signed_by = NULL;

        g_assert_true(vt_policy_parse(bytes, "policy.json", &policy, NULL));
        g_assert_true(vt_trust_check(policy, &world->subject, &world->source->source, &verdict,
                                     &signed_by, NULL));
        g_assert_cmpint(verdict, ==, VT_VERDICT_TRUSTED);
        g_assert_null(signed_by);
        verdict = VT_VERDICT_DENIED;
        world->subject.version = "1.0.1";
        g_assert_false(vt_trust_check(policy, &world->subject, &world->source->source, &verdict,
                                      &signed_by, NULL));
        g_assert_cmpint(verdict, ==, VT_VERDICT_DENIED);
    }
}

/* ---- the store ---- */

/* A referrer of something else, listed as one of ours */
static void
test_foreign_referrer(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_auto(VtAttachment) attachment = {0};
    VtDigest other = world->subject.digest;

    other.bytes[5] ^= 1;
    g_assert_true(vt_attach_build_bundle(&other, 7, CREATED, world->good->key, &attachment, NULL));
    fake_source_attach(world->source, REPOSITORY, &world->subject.digest, &attachment, false);
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "its subject is another manifest");
}

static GBytes *
referrer_of(const World *world, const char *artifact_type)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new(artifact_type, NULL);

    manifest->subject = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, &world->subject.digest, 7);
    return vt_manifest_format(manifest);
}

/* Referrers that are no signatures do not matter; the ones we do not know how to read are named */
static void
test_other_referrers(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_autoptr(GBytes) sbom = referrer_of(world, "application/spdx+json");
    g_autoptr(GBytes) notation = referrer_of(world, "application/vnd.cncf.notary.signature");

    for (int i = 0; i < 3; i++)
        fake_source_add_referrer(world->source, REPOSITORY, &world->subject.digest, sbom,
                                 "application/spdx+json");
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "it has no signature");
    fake_source_add_referrer(world->source, REPOSITORY, &world->subject.digest, notation, NULL);
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED,
                       "a Notation signature, which is not supported");
    world_sign_bundle(world, world->good);
    world_check_trusted(world, policy);
}

/* Signatures behind a crowd of others: found by what the index says, and no endless search */
static void
test_crowd(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);
    g_autoptr(GBytes) sbom = referrer_of(world, "application/spdx+json");

    for (int i = 0; i < 200; i++)
        fake_source_add_referrer(world->source, REPOSITORY, &world->subject.digest, sbom,
                                 "application/spdx+json");
    world_sign_bundle(world, world->good);
    world_check_trusted(world, policy);
    g_assert_cmpuint(world->source->requests, <, 10);
    world->source->requests = 0;
    g_free(policy);
    policy = world_requirement(world->evil, DIGEST_ONLY);
    world_check_denied(world, policy, VT_ERROR_UNTRUSTED, "more than are looked at");
    g_assert_cmpuint(world->source->requests, <, 110);
}

/* cosign's experiment with simple signatures as referrers */
static void
test_simple_referrer(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, "");
    g_auto(VtAttachment) attachment = {0};
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];

    g_assert_true(vt_attach_build_simple(IDENTITY, &world->subject.digest, world->good->key, NULL,
                                         &attachment, NULL));
    fake_source_put_blob(world->source, attachment.layer, text);
    g_assert_true(vt_manifest_parse(attachment.manifest, &manifest, NULL));
    manifest->artifact_type = g_strdup("application/vnd.dev.cosign.artifact.sig.v1+json");
    manifest->subject = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, &world->subject.digest, 7);
    bytes = vt_manifest_format(manifest);
    fake_source_add_referrer(world->source, REPOSITORY, &world->subject.digest, bytes, NULL);
    world_check_trusted(world, policy);
}

static void
test_store_away(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *policy = world_requirement(world->good, DIGEST_ONLY);

    world_sign_bundle(world, world->good);
    world->source->tag_error = VT_ERROR_NETWORK;
    world_check_trusted(world, policy);
    world->source->referrers_error = VT_ERROR_NETWORK;
    world_check_denied(world, policy, VT_ERROR_NETWORK, "cannot be read: the store is away");
    world_sign_simple(world, world->good, IDENTITY);
    world->source->tag_error = -1;
    world_check_trusted(world, policy);
    g_free(policy);
    policy = world_requirement(world->evil, DIGEST_ONLY);
    world_check_denied(world, policy, VT_ERROR_NETWORK, "cannot be read");
}

/* ---- keys ---- */

static void
test_key_files(void)
{
    g_autoptr(World) world = world_new("docker://r.example/golden");
    g_autofree char *directory = g_dir_make_tmp("vt-trust-XXXXXX", NULL);
    g_autofree char *good = g_build_filename(directory, "good.pub", NULL);
    g_autofree char *bad = g_build_filename(directory, "bad.pub", NULL);
    g_autofree char *link = g_build_filename(directory, "link.pub", NULL);
    g_autofree char *one =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyPath\":\"%s\"}", good);
    g_autofree char *two =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyPaths\":[\"%s\",\"%s\"]}", good, bad);
    g_autofree char *linked =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyPath\":\"%s\"}", link);
    gsize length = 0;
    g_autofree guchar *pem = g_base64_decode(world->good->data, &length);

    world_sign_simple(world, world->good, IDENTITY);
    world_check_denied(world, one, VT_ERROR_POLICY, good);
    g_assert_true(g_file_set_contents(good, (char *)pem, (gssize)length, NULL));
    world_check_trusted(world, one);
    /* a spare key that cannot be used is noticed before it is needed */
    world_check_denied(world, two, VT_ERROR_POLICY, bad);
    g_assert_true(g_file_set_contents(bad, "junk", -1, NULL));
    world_check_denied(world, two, VT_ERROR_POLICY, bad);
    g_assert_cmpint(symlink(good, link), ==, 0);
    world_check_denied(world, linked, VT_ERROR_POLICY, link);
    world_check_denied(world, "{\"type\":\"sigstoreSigned\",\"keyData\":\"anVuaw==\"}",
                       VT_ERROR_POLICY, "key 'keyData 1': not exactly one PEM block");
    g_assert_cmpint(g_unlink(link) | g_unlink(good) | g_unlink(bad) | g_rmdir(directory), ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/trust/key-types/p256", "p256", test_key_types);
    g_test_add_data_func("/trust/key-types/p384", "p384", test_key_types);
    g_test_add_data_func("/trust/key-types/rsa3072", "rsa3072", test_key_types);
    g_test_add_data_func("/trust/key-types/ed25519", "ed25519", test_key_types);
    g_test_add_func("/trust/unsigned", test_unsigned);
    g_test_add_func("/trust/reject-and-accept", test_reject_and_accept);
    g_test_add_func("/trust/among", test_among);
    g_test_add_func("/trust/all-required", test_all_required);
    g_test_add_func("/trust/identities", test_identities);
    g_test_add_func("/trust/scopes", test_scopes);
    g_test_add_func("/trust/foreign-referrer", test_foreign_referrer);
    g_test_add_func("/trust/other-referrers", test_other_referrers);
    g_test_add_func("/trust/crowd", test_crowd);
    g_test_add_func("/trust/simple-referrer", test_simple_referrer);
    g_test_add_func("/trust/store-away", test_store_away);
    g_test_add_func("/trust/key-files", test_key_files);
    return g_test_run();
}
