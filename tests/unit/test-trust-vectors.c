/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures that cosign made: accepted as they are, refused with any bit changed */
#include "fake-source.h"

#include "vt-bundle.h"
#include "vt-manifest.h"
#include "vt-sha256.h"

#include <string.h>

#define STORE "docker://127.0.0.1:5055/vec"

/**
 * Vector: one directory of tests/data/vectors
 * @stride: 1: every bit is tried; else one in so many (the same code runs for both keys)
 * @repository: where cosign has put it
 */
typedef struct {
    size_t stride;
    VtStoreUrl *url;
    VtSubject subject;
    char *repository;
    char *directory;
    GBytes *payload, *sig_manifest, *bundle, *bundle_manifest, *index;
} Vector;

static Vector *
vector_new(const char *name)
{
    Vector *vector = g_new0(Vector, 1);
    g_autoptr(GBytes) subject = NULL;

    g_assert_true(vt_store_url_parse(STORE, &vector->url, NULL));
    vector->stride = strcmp(name, "p256") == 0 ? 1 : 7;
    vector->directory = g_strconcat("vectors/", name, NULL);
    vector->repository = g_strconcat("vec/", name, NULL);
    subject = fake_read(vector->directory, "subject.manifest.json");
    vector->subject = (VtSubject){.url = vector->url, .name = name, .version = "1.0.0"};
    vt_sha256_bytes(subject, vector->subject.digest.bytes);
    vector->payload = fake_read(vector->directory, "payload.json");
    vector->sig_manifest = fake_read(vector->directory, "cosign-v2.sig.manifest.json");
    vector->bundle = fake_read(vector->directory, "bundle.json");
    vector->bundle_manifest = fake_read(vector->directory, "bundle.manifest.json");
    vector->index = fake_read(vector->directory, "referrers.index.json");
    return vector;
}

static void
vector_free(Vector *vector)
{
    vt_store_url_free(vector->url);
    g_free(vector->repository);
    g_free(vector->directory);
    g_bytes_unref(vector->payload);
    g_bytes_unref(vector->sig_manifest);
    g_bytes_unref(vector->bundle);
    g_bytes_unref(vector->bundle_manifest);
    g_bytes_unref(vector->index);
    g_free(vector);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vector, vector_free)

static FakeSource *
simple_source(const Vector *vector, GBytes *payload, GBytes *sig_manifest)
{
    FakeSource *source = fake_source_new();
    char text[VT_DIGEST_STRING_MAX];

    fake_source_put_blob(source, payload, text);
    fake_source_set_sig(source, vector->repository, &vector->subject.digest, sig_manifest);
    return source;
}

/* As cosign and the registry left it: also the index, whose artifactType is wrong */
static FakeSource *
bundle_source(const Vector *vector)
{
    FakeSource *source = fake_source_new();
    char text[VT_DIGEST_STRING_MAX];
    g_autoptr(GPtrArray) entries = NULL;

    fake_source_put_blob(source, vector->bundle, text);
    g_assert_true(vt_index_manifests_parse(vector->index, &entries, NULL));
    vt_digest_format(&((VtDescriptor *)entries->pdata[0])->digest, text);
    fake_source_put_manifest(source, vector->repository, text, vector->bundle_manifest);
    vt_digest_format(&vector->subject.digest, text);
    g_hash_table_replace(source->referrers, g_strdup(text), g_bytes_ref(vector->index));
    return source;
}

static VtPolicy *
policy_for(const char *name, const char *more)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "data/vectors", name, "key.pub", NULL);
    g_autofree char *text =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyPath\":\"%s\"%s}", path, more);

    return fake_policy(text);
}

static bool
is_trusted(const VtPolicy *policy, const VtSubject *subject, FakeSource *source, GError **error)
{
    VtVerdict verdict = VT_VERDICT_DENIED;
    g_autofree char *signed_by = NULL;
    bool ok = vt_trust_check(policy, subject, &source->source, &verdict, &signed_by, error);

    g_assert_cmpint(ok, ==, verdict == VT_VERDICT_TRUSTED);
    g_assert_cmpint(ok, ==, signed_by != NULL);
    return ok;
}

#define DIGEST_ONLY ",\"signedIdentity\":{\"type\":\"matchDigestOnly\"}"

static void
test_accept(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(FakeSource) simple = simple_source(vector, vector->payload, vector->sig_manifest);
    g_autoptr(FakeSource) bundle = bundle_source(vector);
    g_autoptr(VtPolicy) policy = policy_for(name, ""), digest_only = policy_for(name, DIGEST_ONLY);
    g_autoptr(GError) error = NULL;
    VtSubject named = vector->subject;

    named.named_by_catalog = true;
    g_assert_true(is_trusted(policy, &vector->subject, simple, &error));
    g_assert_no_error(error);
    g_assert_true(is_trusted(digest_only, &vector->subject, simple, NULL));
    g_assert_true(is_trusted(digest_only, &vector->subject, bundle, &error));
    g_assert_no_error(error);
    g_assert_true(is_trusted(policy, &named, bundle, NULL));
    /* nothing says that the bundle is for this name */
    g_assert_false(is_trusted(policy, &vector->subject, bundle, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNTRUSTED);
    g_assert_nonnull(strstr(error->message, "matchDigestOnly"));
}

static void
check_denied(const VtPolicy *policy, const VtSubject *subject, FakeSource *source,
             const char *message)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(is_trusted(policy, subject, source, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNTRUSTED);
    g_assert_nonnull(strstr(error->message, message));
}

static void
test_other_key(gconstpointer name)
{
    const char *other = strcmp(name, "rsa") == 0 ? "p256" : "rsa";
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(FakeSource) simple = simple_source(vector, vector->payload, vector->sig_manifest);
    g_autoptr(FakeSource) bundle = bundle_source(vector);
    g_autoptr(VtPolicy) policy = policy_for(other, DIGEST_ONLY);

    check_denied(policy, &vector->subject, simple, "not made with the key of the policy");
    check_denied(policy, &vector->subject, bundle, "not made with the key of the policy");
}

/* The whole of what one manifest is signed with, moved to another one */
static void
test_other_digest(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(FakeSource) simple = NULL, bundle = fake_source_new();
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);

    vector->subject.digest.bytes[0] ^= 1;
    simple = simple_source(vector, vector->payload, vector->sig_manifest);
    check_denied(policy, &vector->subject, simple, "but it is for another digest");
    fake_source_wrap_bundle(bundle, vector->repository, &vector->subject.digest, vector->bundle);
    check_denied(policy, &vector->subject, bundle, "but it is for another digest");
}

static void
test_other_name(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(FakeSource) source = NULL;
    g_autoptr(VtPolicy) policy = policy_for(name, "");

    g_free(vector->repository);
    vector->repository = g_strdup("vec/other");
    vector->subject.name = "other";
    source = simple_source(vector, vector->payload, vector->sig_manifest);
    check_denied(policy, &vector->subject, source, "not for \"127.0.0.1:5055/vec/other\"");
}

/* A payload whose digest the manifest names, as an attacker would do it */
static GBytes *
sig_manifest_for(const Vector *vector, GBytes *payload)
{
    g_autoptr(VtManifest) manifest = NULL;
    VtDescriptor *layer;

    g_assert_true(vt_manifest_parse(vector->sig_manifest, &manifest, NULL));
    layer = g_ptr_array_index(manifest->layers, 0);
    vt_sha256_bytes(payload, layer->digest.bytes);
    layer->size = g_bytes_get_size(payload);
    return vt_manifest_format(manifest);
}

static void
test_flip_payload(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);

    for (size_t bit = 0; bit < 8 * g_bytes_get_size(vector->payload); bit += vector->stride) {
        g_autoptr(GBytes) payload = fake_flip(vector->payload, bit);
        g_autoptr(GBytes) manifest = sig_manifest_for(vector, payload);
        g_autoptr(FakeSource) source = simple_source(vector, payload, manifest);

        check_denied(policy, &vector->subject, source, "altered, or not made with the key");
    }
}

/* Every bit of the signature's text; a bit that lengthens it or makes it no base64 is one too */
static void
test_flip_signature(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);
    gsize length = 0;
    const char *text = g_bytes_get_data(vector->sig_manifest, &length);
    const char *begin = g_strstr_len(text, (gssize)length, "cosign/signature\":\"");
    size_t first, last;

    g_assert_nonnull(begin);
    first = (size_t)(begin - text) + strlen("cosign/signature\":\"");
    last = first + strcspn(text + first, "\"");
    for (size_t bit = 8 * first; bit < 8 * last; bit += vector->stride) {
        g_autoptr(GBytes) manifest = fake_flip(vector->sig_manifest, bit);
        g_autoptr(FakeSource) source = simple_source(vector, vector->payload, manifest);

        check_denied(policy, &vector->subject, source, "");
    }
}

/* The hint only helps people, so its text is not protected; all else is */
static bool
is_in_hint(GBytes *bundle, size_t byte)
{
    gsize length = 0;
    const char *text = g_bytes_get_data(bundle, &length);
    const char *hint = g_strstr_len(text, (gssize)length, "\"hint\":\"");
    size_t first = (size_t)(hint - text) + strlen("\"hint\":\"");

    return byte >= first && byte < first + strcspn(text + first, "\"");
}

static void
test_flip_bundle(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);
    size_t accepted = 0;

    for (size_t bit = 0; bit < 8 * g_bytes_get_size(vector->bundle); bit += vector->stride) {
        g_autoptr(GBytes) bundle = fake_flip(vector->bundle, bit);
        g_autoptr(FakeSource) source = fake_source_new();

        fake_source_wrap_bundle(source, vector->repository, &vector->subject.digest, bundle);
        if (is_in_hint(vector->bundle, bit / 8))
            accepted += is_trusted(policy, &vector->subject, source, NULL);
        else
            check_denied(policy, &vector->subject, source, "");
    }
    g_assert_cmpuint(accepted, >, 0);
}

/* What stands behind a digest cannot be changed at all; one comparison refuses each bit alike */
static void
test_flip_stored(gconstpointer name)
{
    const size_t stride = 29;
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);
    g_autoptr(FakeSource) source = bundle_source(vector);
    char digest[VT_DIGEST_STRING_MAX], bundle_digest[VT_DIGEST_STRING_MAX];
    g_autoptr(FakeSource) named = fake_source_new();

    g_assert_true(is_trusted(policy, &vector->subject, source, NULL));
    fake_source_put_blob(named, vector->bundle_manifest, digest);
    fake_source_put_blob(named, vector->bundle, bundle_digest);
    for (size_t bit = 0; bit < 8 * g_bytes_get_size(vector->bundle_manifest); bit += stride) {
        g_autoptr(GBytes) manifest = fake_flip(vector->bundle_manifest, bit);

        fake_source_put_manifest(source, vector->repository, digest, manifest);
        check_denied(policy, &vector->subject, source, "the store's bytes are not those of");
    }
    fake_source_put_manifest(source, vector->repository, digest, vector->bundle_manifest);
    for (size_t bit = 0; bit < 8 * g_bytes_get_size(vector->bundle); bit += stride) {
        g_hash_table_replace(source->blobs, g_strdup(bundle_digest),
                             fake_flip(vector->bundle, bit));
        check_denied(policy, &vector->subject, source, "the store's bytes are not those of");
    }
}

static void
test_truncate(gconstpointer name)
{
    g_autoptr(Vector) vector = vector_new(name);
    g_autoptr(VtPolicy) policy = policy_for(name, DIGEST_ONLY);

    for (gsize length = 0; length < g_bytes_get_size(vector->bundle); length += vector->stride) {
        g_autoptr(GBytes) bundle = g_bytes_new_from_bytes(vector->bundle, 0, length);
        g_autoptr(FakeSource) source = fake_source_new();

        fake_source_wrap_bundle(source, vector->repository, &vector->subject.digest, bundle);
        check_denied(policy, &vector->subject, source, "");
    }
    for (gsize length = 0; length < g_bytes_get_size(vector->sig_manifest);
         length += vector->stride) {
        g_autoptr(GBytes) manifest = g_bytes_new_from_bytes(vector->sig_manifest, 0, length);
        g_autoptr(FakeSource) source = simple_source(vector, vector->payload, manifest);

        check_denied(policy, &vector->subject, source, "");
    }
    for (gsize length = 0; length < g_bytes_get_size(vector->payload); length += vector->stride) {
        g_autoptr(GBytes) payload = g_bytes_new_from_bytes(vector->payload, 0, length);
        g_autoptr(GBytes) manifest = sig_manifest_for(vector, payload);
        g_autoptr(FakeSource) source = simple_source(vector, payload, manifest);

        check_denied(policy, &vector->subject, source, "");
    }
}

static void
add(const char *path, const char *name, GTestDataFunc function)
{
    g_autofree char *full = g_strdup_printf("/trust-vectors/%s/%s", name, path);

    g_test_add_data_func(full, name, function);
}

int
main(int argc, char **argv)
{
    static const char *const names[] = {"p256", "rsa"};

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        add("accept", names[i], test_accept);
        add("other-key", names[i], test_other_key);
        add("other-digest", names[i], test_other_digest);
        add("other-name", names[i], test_other_name);
        add("flip-payload", names[i], test_flip_payload);
        add("flip-signature", names[i], test_flip_signature);
        add("flip-bundle", names[i], test_flip_bundle);
        add("flip-stored", names[i], test_flip_stored);
        add("truncate", names[i], test_truncate);
    }
    return g_test_run();
}
