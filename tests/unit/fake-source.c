/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake-source.c: a store in memory that tests fill, and that can be made to fail */
#include "fake-source.h"

#include "vt-bundle.h"
#include "vt-manifest.h"
#include "vt-sha256.h"
#include "vt-signatures.h"

#include <string.h>

static bool
answer(GHashTable *table, const char *key, int fail, GBytes **ret_bytes, GError **error)
{
    GBytes *bytes = g_hash_table_lookup(table, key);

    if (fail >= 0)
        return vt_throw(error, fail, "the store is away");
    if (!bytes)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "there is no %s", key);
    *ret_bytes = g_bytes_ref(bytes);
    return true;
}

static bool
get_manifest(VtSource *self, const char *repository, const char *reference, GBytes **ret_bytes,
             GError **error)
{
    FakeSource *source = (FakeSource *)self;
    g_autofree char *key = g_strdup_printf("%s %s", repository, reference);

    source->requests++;
    return answer(source->manifests, key,
                  g_str_has_suffix(reference, ".sig") ? source->tag_error : -1, ret_bytes, error);
}

static bool
get_blob(VtSource *self, const char *repository, const char *digest, gsize limit,
         GBytes **ret_bytes, GError **error)
{
    FakeSource *source = (FakeSource *)self;
    g_autoptr(GBytes) bytes = NULL;

    source->requests++;
    if (!answer(source->blobs, digest, -1, &bytes, error))
        return false;
    if (g_bytes_get_size(bytes) > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s is too large", digest);
    *ret_bytes = g_steal_pointer(&bytes);
    return true;
}

static bool
get_referrers(VtSource *self, const char *repository, const char *digest, GBytes **ret_bytes,
              GError **error)
{
    FakeSource *source = (FakeSource *)self;

    source->requests++;
    if (source->referrers_error < 0 && !g_hash_table_contains(source->referrers, digest)) {
        *ret_bytes = g_bytes_new_static("{\"schemaVersion\":2,\"manifests\":[]}", 34);
        return true;
    }
    return answer(source->referrers, digest, source->referrers_error, ret_bytes, error);
}

static GHashTable *
table_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
}

FakeSource *
fake_source_new(void)
{
    FakeSource *source = g_new0(FakeSource, 1);

    source->source = (VtSource){
        .get_manifest = get_manifest, .get_blob = get_blob, .get_referrers = get_referrers};
    source->manifests = table_new();
    source->blobs = table_new();
    source->referrers = table_new();
    source->tag_error = -1;
    source->referrers_error = -1;
    return source;
}

void
fake_source_free(FakeSource *source)
{
    g_hash_table_unref(source->manifests);
    g_hash_table_unref(source->blobs);
    g_hash_table_unref(source->referrers);
    g_free(source);
}

static void
digest_of(GBytes *bytes, VtDigest *digest, char *text)
{
    vt_sha256_bytes(bytes, digest->bytes);
    vt_digest_format(digest, text);
}

void
fake_source_put_blob(FakeSource *source, GBytes *bytes, char *ret_digest)
{
    VtDigest digest;

    digest_of(bytes, &digest, ret_digest);
    g_hash_table_replace(source->blobs, g_strdup(ret_digest), g_bytes_ref(bytes));
}

void
fake_source_put_manifest(FakeSource *source, const char *repository, const char *reference,
                         GBytes *bytes)
{
    g_hash_table_replace(source->manifests, g_strdup_printf("%s %s", repository, reference),
                         g_bytes_ref(bytes));
}

void
fake_source_set_sig(FakeSource *source, const char *repository, const VtDigest *subject,
                    GBytes *manifest)
{
    g_autofree char *tag = vt_signatures_tag(subject);

    fake_source_put_manifest(source, repository, tag, manifest);
}

void
fake_source_add_referrer(FakeSource *source, const char *repository, const VtDigest *subject,
                         GBytes *manifest, const char *hint)
{
    char text[VT_DIGEST_STRING_MAX], subject_text[VT_DIGEST_STRING_MAX];
    g_autoptr(GPtrArray) entries = NULL;
    VtDescriptor *descriptor;
    GBytes *index;
    VtDigest digest;

    digest_of(manifest, &digest, text);
    fake_source_put_manifest(source, repository, text, manifest);
    vt_digest_format(subject, subject_text);
    index = g_hash_table_lookup(source->referrers, subject_text);
    if (index)
        g_assert_true(vt_index_manifests_parse(index, &entries, NULL));
    else
        entries = g_ptr_array_new_with_free_func((GDestroyNotify)vt_descriptor_free);
    descriptor = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, &digest, g_bytes_get_size(manifest));
    descriptor->artifact_type = g_strdup(hint);
    g_ptr_array_add(entries, descriptor);
    g_hash_table_replace(source->referrers, g_strdup(subject_text),
                         vt_index_manifests_format(entries));
}

void
fake_source_attach(FakeSource *source, const char *repository, const VtDigest *subject,
                   const VtAttachment *attachment, bool simple)
{
    char text[VT_DIGEST_STRING_MAX];

    fake_source_put_blob(source, attachment->layer, text);
    fake_source_put_blob(source, attachment->config, text);
    if (simple)
        fake_source_set_sig(source, repository, subject, attachment->manifest);
    else
        fake_source_add_referrer(source, repository, subject, attachment->manifest,
                                 VT_BUNDLE_MEDIA_TYPE);
}

void
fake_source_wrap_bundle(FakeSource *source, const char *repository, const VtDigest *subject,
                        GBytes *bundle)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new(VT_BUNDLE_MEDIA_TYPE, NULL);
    g_autoptr(GBytes) bytes = NULL;
    char text[VT_DIGEST_STRING_MAX];
    VtDigest digest;

    fake_source_put_blob(source, bundle, text);
    digest_of(bundle, &digest, text);
    g_ptr_array_add(manifest->layers,
                    vt_descriptor_new(VT_BUNDLE_MEDIA_TYPE, &digest, g_bytes_get_size(bundle)));
    manifest->subject = vt_descriptor_new(VT_OCI_MANIFEST_TYPE, subject, 1);
    bytes = vt_manifest_format(manifest);
    fake_source_add_referrer(source, repository, subject, bytes, VT_BUNDLE_MEDIA_TYPE);
}

GBytes *
fake_read(const char *directory, const char *name)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "data", directory, name, NULL);
    char *data = NULL;
    gsize length = 0;

    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    return g_bytes_new_take(data, length);
}

GBytes *
fake_flip(GBytes *bytes, size_t bit)
{
    gsize length = 0;
    const uint8_t *data = g_bytes_get_data(bytes, &length);
    uint8_t *copy = g_memdup2(data, length);

    g_assert_cmpuint(bit / 8, <, length);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    return g_bytes_new_take(copy, length);
}

VtPolicy *
fake_policy(const char *requirements)
{
    g_autofree char *text = g_strdup_printf("{\"default\":[%s]}", requirements);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_autoptr(GError) error = NULL;
    VtPolicy *policy = NULL;

    g_assert_true(vt_policy_parse(bytes, "policy.json", &policy, &error));
    g_assert_no_error(error);
    return policy;
}
