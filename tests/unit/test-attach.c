/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signing: the documents, and a layout directory in which they are found again */
#include "fake-source.h"

#include "vt-json.h"
#include "vt-manifest.h"
#include "vt-sha256.h"
#include "vt-signatures.h"

#include <string.h>

#define IDENTITY "r.example/golden/web"

static VtKey *
key_new(char **ret_data)
{
    g_autoptr(GBytes) private_pem = NULL, public_pem = NULL;
    VtKey *key = NULL;

    g_assert_true(vt_key_generate("p256", &private_pem, &public_pem, NULL));
    g_assert_true(vt_key_parse_private(private_pem, &key, NULL));
    if (ret_data)
        *ret_data =
            g_base64_encode(g_bytes_get_data(public_pem, NULL), g_bytes_get_size(public_pem));
    return key;
}

static void
check_described(const VtDescriptor *descriptor, GBytes *bytes)
{
    VtDigest digest;

    vt_sha256_bytes(bytes, digest.bytes);
    g_assert_true(vt_digest_equal(&descriptor->digest, &digest));
    g_assert_cmpuint(descriptor->size, ==, g_bytes_get_size(bytes));
}

/* The manifest at the tag is cosign's own, but for digests and the signature */
static void
test_simple(void)
{
    g_autoptr(GBytes) theirs = fake_read("vectors/p256", "cosign-v2.sig.manifest.json");
    g_autoptr(VtManifest) manifest = NULL, vector = NULL;
    g_autoptr(VtKey) key = key_new(NULL);
    g_auto(VtAttachment) attachment = {0};
    VtDescriptor *layer, *their_layer;
    VtDigest digest = {{1}};

    g_assert_true(vt_attach_build_simple(IDENTITY, &digest, key, NULL, &attachment, NULL));
    g_assert_true(vt_manifest_parse(attachment.manifest, &manifest, NULL));
    g_assert_true(vt_manifest_parse(theirs, &vector, NULL));
    layer = manifest->layers->pdata[0];
    their_layer = vector->layers->pdata[0];
    g_assert_cmpstr(manifest->artifact_type, ==, vector->artifact_type);
    g_assert_cmpstr(manifest->config->media_type, ==, vector->config->media_type);
    g_assert_cmpuint(manifest->config->size, ==, vector->config->size);
    g_assert_cmpstr(layer->media_type, ==, their_layer->media_type);
    g_assert_true(g_hash_table_contains(layer->annotations, VT_SIGNATURE_ANNOTATION));
    check_described(manifest->config, attachment.config);
    check_described(layer, attachment.layer);
}

/* Signatures that are there already are kept, those of cosign too */
static void
test_simple_keeps(void)
{
    g_autoptr(GBytes) theirs = fake_read("vectors/p256", "cosign-v2.sig.manifest.json");
    g_autoptr(VtManifest) manifest = NULL, vector = NULL;
    g_autoptr(VtKey) key = key_new(NULL);
    g_auto(VtAttachment) attachment = {0};
    VtDescriptor *kept, *their_layer;
    json_auto_t *config = NULL;
    VtDigest digest = {{1}};

    g_assert_true(vt_attach_build_simple(IDENTITY, &digest, key, theirs, &attachment, NULL));
    g_assert_true(vt_manifest_parse(attachment.manifest, &manifest, NULL));
    g_assert_true(vt_manifest_parse(theirs, &vector, NULL));
    g_assert_cmpuint(manifest->layers->len, ==, 2);
    kept = manifest->layers->pdata[0];
    their_layer = vector->layers->pdata[0];
    g_assert_true(vt_digest_equal(&kept->digest, &their_layer->digest));
    g_assert_cmpstr(g_hash_table_lookup(kept->annotations, VT_SIGNATURE_ANNOTATION), ==,
                    g_hash_table_lookup(their_layer->annotations, VT_SIGNATURE_ANNOTATION));
    check_described(manifest->config, attachment.config);
    g_assert_true(vt_json_parse(attachment.config, "config", 4096, &config, NULL));
    g_assert_cmpuint(
        json_array_size(json_object_get(json_object_get(config, "rootfs"), "diff_ids")), ==, 2);
}

static void
test_simple_refuse(void)
{
    g_autoptr(GBytes) junk = g_bytes_new_static("{}", 2), full = NULL;
    g_autoptr(VtManifest) manifest = vt_manifest_new(NULL, NULL);
    g_autoptr(VtKey) key = key_new(NULL);
    g_auto(VtAttachment) attachment = {0};
    g_autoptr(GError) error = NULL;
    VtDigest digest = {{1}};

    g_assert_false(vt_attach_build_simple(IDENTITY, &digest, key, junk, &attachment, NULL));
    for (int i = 0; i < VT_SIGNATURES_MAX; i++)
        g_ptr_array_add(manifest->layers, vt_descriptor_new("x/y", &digest, 1));
    full = vt_manifest_format(manifest);
    g_assert_false(vt_attach_build_simple(IDENTITY, &digest, key, full, &attachment, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_assert_null(attachment.manifest);
}

static void
test_bundle(void)
{
    g_autoptr(GBytes) theirs = fake_read("vectors/p256", "bundle.manifest.json");
    g_autoptr(VtManifest) manifest = NULL, vector = NULL;
    g_autoptr(VtKey) key = key_new(NULL);
    g_auto(VtAttachment) attachment = {0};
    VtDigest digest = {{1}};
    GHashTableIter iter;
    gpointer name;

    g_assert_true(
        vt_attach_build_bundle(&digest, 617, "2026-11-21T10:00:00Z", key, &attachment, NULL));
    g_assert_true(vt_manifest_parse(attachment.manifest, &manifest, NULL));
    g_assert_true(vt_manifest_parse(theirs, &vector, NULL));
    g_assert_cmpstr(manifest->artifact_type, ==, vector->artifact_type);
    g_assert_cmpstr(manifest->config->media_type, ==, vector->config->media_type);
    g_assert_true(vt_digest_equal(&manifest->subject->digest, &digest));
    g_assert_cmpuint(manifest->subject->size, ==, 617);
    g_hash_table_iter_init(&iter, vector->annotations);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_assert_true(g_hash_table_contains(manifest->annotations, name));
    check_described(manifest->config, attachment.config);
    check_described(manifest->layers->pdata[0], attachment.layer);
}

/* ---- a real layout ---- */

typedef struct {
    char *path;
    VtStoreUrl *url;
    VtStore *store;
    VtDigest subject;
    VtDescriptor *descriptor;
} Layout;

static void
layout_set_up(Layout *layout, gconstpointer data)
{
    g_autofree char *directory = g_dir_make_tmp("vt-attach-XXXXXX", NULL), *text = NULL;
    VtStoreOptions options = {.writable = true, .layout_fd = -1};
    g_autoptr(VtManifest) manifest = vt_manifest_new("a/b", NULL);
    g_autoptr(GBytes) bytes = vt_manifest_format(manifest);
    g_autoptr(GBytes) empty = g_bytes_new_static("{}", 2);
    g_autoptr(GError) error = NULL;

    layout->path = g_build_filename(directory, "golden", NULL);
    g_assert_true(vt_store_create_layout(layout->path, &error));
    text = g_strconcat("oci:", layout->path, NULL);
    g_assert_true(vt_store_url_parse(text, &layout->url, &error));
    g_assert_true(vt_store_open(layout->url, &options, &layout->store, &error));
    vt_sha256_bytes(bytes, layout->subject.bytes);
    layout->descriptor =
        vt_descriptor_new(VT_OCI_MANIFEST_TYPE, &layout->subject, g_bytes_get_size(bytes));
    g_assert_true(vt_store_put_bytes(layout->store, "web", VT_OCI_EMPTY_DIGEST, empty, &error));
    g_assert_true(
        vt_store_put_manifest(layout->store, "web", "1.0.0", VT_OCI_MANIFEST_TYPE, bytes, &error));
    g_assert_no_error(error);
}

static void
layout_tear_down(Layout *layout, gconstpointer data)
{
    g_autofree char *directory = g_path_get_dirname(layout->path);
    const char *const argv[] = {"rm", "-rf", "--", directory, NULL};

    vt_descriptor_free(layout->descriptor);
    vt_store_free(layout->store);
    vt_store_url_free(layout->url);
    g_free(layout->path);
    g_assert_true(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
}

static bool
is_trusted(Layout *layout, const char *key_data, const char *name)
{
    VtSubject subject = {
        .url = layout->url, .name = name, .version = "1.0.0", .digest = layout->subject};
    g_autofree char *text =
        g_strdup_printf("{\"type\":\"sigstoreSigned\",\"keyData\":\"%s\"}", key_data);
    g_autoptr(VtPolicy) policy = fake_policy(text);
    VtVerdict verdict = VT_VERDICT_DENIED;
    g_autofree char *signed_by = NULL;

    return vt_trust_check(policy, &subject, vt_store_source(layout->store), &verdict, &signed_by,
                          NULL) &&
           verdict == VT_VERDICT_TRUSTED;
}

typedef struct {
    VtSignatureVisitor visitor;
    guint count;
} Counter;

static bool
count_found(VtSignatureVisitor *visitor, const VtSignature *signature)
{
    ((Counter *)visitor)->count++;
    return true;
}

static void
count_unusable(VtSignatureVisitor *visitor, const char *origin, const char *why)
{
    g_test_message("%s: %s", origin, why);
    g_assert_not_reached();
}

static void
check_counts(Layout *layout, guint tag, guint referrers)
{
    VtSource *source = vt_store_source(layout->store);
    Counter tags = {.visitor = {count_found, count_unusable}}, bundles = tags;

    g_assert_true(vt_signatures_visit_tag(source, "web", &layout->subject, &tags.visitor, NULL));
    g_assert_true(
        vt_signatures_visit_referrers(source, "web", &layout->subject, &bundles.visitor, NULL));
    g_assert_cmpuint(tags.count, ==, tag);
    g_assert_cmpuint(bundles.count, ==, referrers);
}

static void
test_layout(Layout *layout, gconstpointer data)
{
    g_autofree char *first_data = NULL, *second_data = NULL, *third_data = NULL;
    g_autoptr(VtKey) first = key_new(&first_data), second = key_new(&second_data);
    g_autoptr(GError) error = NULL;

    vt_key_free(key_new(&third_data));
    check_counts(layout, 0, 0);
    g_assert_false(is_trusted(layout, first_data, "web"));
    g_assert_true(
        vt_attach_signatures(layout->store, layout->url, "web", layout->descriptor, first, &error));
    g_assert_no_error(error);
    check_counts(layout, 1, 1);
    g_assert_true(is_trusted(layout, first_data, "web"));
    g_assert_false(is_trusted(layout, second_data, "web"));
    /* again: nothing to do; another key: both stay */
    g_assert_true(
        vt_attach_signatures(layout->store, layout->url, "web", layout->descriptor, first, &error));
    check_counts(layout, 1, 1);
    g_assert_true(vt_attach_signatures(layout->store, layout->url, "web", layout->descriptor,
                                       second, &error));
    check_counts(layout, 2, 2);
    g_assert_true(is_trusted(layout, first_data, "web"));
    g_assert_true(is_trusted(layout, second_data, "web"));
    g_assert_false(is_trusted(layout, third_data, "web"));
}

/* A public key cannot sign, and then nothing is changed */
static void
test_layout_refuse(Layout *layout, gconstpointer data)
{
    g_autoptr(GBytes) pem = fake_read("vectors/p256", "key.pub");
    g_autoptr(GError) error = NULL;
    g_autoptr(VtKey) key = NULL;

    g_assert_true(vt_key_parse_public(pem, &key, NULL));
    g_assert_false(
        vt_attach_signatures(layout->store, layout->url, "web", layout->descriptor, key, &error));
    g_assert_true(g_str_has_prefix(error->message, "cannot sign localhost/golden/web: "));
    check_counts(layout, 0, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/attach/simple", test_simple);
    g_test_add_func("/attach/simple-keeps", test_simple_keeps);
    g_test_add_func("/attach/simple-refuse", test_simple_refuse);
    g_test_add_func("/attach/bundle", test_bundle);
    g_test_add("/attach/layout", Layout, NULL, layout_set_up, test_layout, layout_tear_down);
    g_test_add("/attach/layout-refuse", Layout, NULL, layout_set_up, test_layout_refuse,
               layout_tear_down);
    return g_test_run();
}
