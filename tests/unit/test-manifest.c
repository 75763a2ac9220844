/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-manifest.h"

#include <string.h>

#define D(c) "sha256:" c c c c c c c c c c c c c c c c
#define A    D("aaaa")
#define B    D("bbbb")
#define C    D("cccc")

#define DESCRIPTOR(digest) "{\"mediaType\":\"x/y\",\"digest\":\"" digest "\",\"size\":3}"
#define MANIFEST(more)                                                                             \
    "{\"schemaVersion\":2,\"config\":" DESCRIPTOR(A) ",\"layers\":[" DESCRIPTOR(B) "]" more "}"

static GBytes *
bytes_of(const char *text)
{
    return g_bytes_new_static(text, strlen(text));
}

static VtDescriptor *
descriptor(const char *media_type, const char *digest, uint64_t size)
{
    VtDigest value;

    g_assert_true(vt_digest_parse(digest, &value, NULL));
    return vt_descriptor_new(media_type, &value, size);
}

static void
test_format(void)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new("a/b", NULL);
    g_autoptr(VtManifest) read = NULL;
    g_autoptr(GBytes) bytes = NULL, again = NULL;
    g_autofree char *text = NULL;
    VtDescriptor *layer = descriptor("x/y", A, INT64_MAX);

    vt_descriptor_annotate(layer, "k", "v");
    g_ptr_array_add(manifest->layers, layer);
    manifest->subject = descriptor(VT_OCI_MANIFEST_TYPE, B, 5);
    g_hash_table_insert(manifest->annotations, g_strdup("z"), g_strdup("1"));
    g_hash_table_insert(manifest->annotations, g_strdup("a"), g_strdup("\"2"));
    bytes = vt_manifest_format(manifest);
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    g_assert_cmpstr(text, ==,
                    "{\"schemaVersion\":2,\"mediaType\":\"" VT_OCI_MANIFEST_TYPE "\","
                    "\"artifactType\":\"a/b\",\"config\":{\"mediaType\":\"" VT_OCI_EMPTY_TYPE "\","
                    "\"digest\":\"" VT_OCI_EMPTY_DIGEST "\",\"size\":2},\"layers\":[{"
                    "\"mediaType\":\"x/y\",\"digest\":\"" A "\",\"size\":9223372036854775807,"
                    "\"annotations\":{\"k\":\"v\"}}],\"subject\":{"
                    "\"mediaType\":\"" VT_OCI_MANIFEST_TYPE "\",\"digest\":\"" B "\",\"size\":5},"
                    "\"annotations\":{\"a\":\"\\\"2\",\"z\":\"1\"}}");
    g_assert_true(vt_manifest_parse(bytes, &read, NULL));
    g_assert_cmpuint(((VtDescriptor *)read->layers->pdata[0])->size, ==, INT64_MAX);
    g_assert_cmpstr(g_hash_table_lookup(read->annotations, "a"), ==, "\"2");
    again = vt_manifest_format(read);
    g_assert_true(g_bytes_equal(bytes, again));
}

/* Manifests that cosign and oras made */
static void
test_foreign(void)
{
    static const char *const files[] = {"subject.manifest.json", "cosign-v2.sig.manifest.json",
                                        "bundle.manifest.json"};

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path =
            g_test_build_filename(G_TEST_DIST, "data", "vectors", "p256", files[i], NULL);
        g_autoptr(VtManifest) manifest = NULL;
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) bytes = NULL;
        char *text = NULL;
        gsize length = 0;

        g_assert_true(g_file_get_contents(path, &text, &length, NULL));
        bytes = g_bytes_new_take(text, length);
        g_assert_true(vt_manifest_parse(bytes, &manifest, &error));
        g_assert_no_error(error);
        g_assert_cmpuint(manifest->layers->len, ==, 1);
        g_assert_nonnull(manifest->config);
    }
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"{}", "schemaVersion: missing"},
    {"{\"schemaVersion\":1}", "schemaVersion is not 2"},
    {"{\"schemaVersion\":2}", "manifest: layers: missing"},
    {"{\"schemaVersion\":2,\"layers\":[]}", "manifest: config: missing"},
    {MANIFEST(",\"manifests\":[]"), "has \"manifests\""},
    {MANIFEST(",\"layers\":[]"), "duplicate object key"},
    {MANIFEST(",\"mediaType\":\"" VT_OCI_INDEX_TYPE "\""), "mediaType is"},
    {MANIFEST(",\"mediaType\":2"), "mediaType: is an integer"},
    {MANIFEST(",\"artifactType\":[]"), "artifactType: is an array"},
    {MANIFEST(",\"subject\":1"), "subject: is an integer"},
    {MANIFEST(",\"subject\":{}"), "subject.mediaType: missing"},
    {MANIFEST(",\"annotations\":[]"), "annotations: is an array"},
    {MANIFEST(",\"annotations\":{\"a\":1}"), "annotations.a: is an integer"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"\",\"digest\":\"" A "\",\"size\":1}"),
     "subject.mediaType: is empty"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"x\",\"digest\":\"" A "\",\"size\":-1}"),
     "subject.size: is negative"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"x\",\"digest\":\"" A "\",\"size\":1.5}"),
     "subject.size: is a number"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"x\",\"digest\":\"" A
              "\",\"size\":9223372036854775808}"),
     "too big integer"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"x\",\"digest\":\"sha512:00\",\"size\":1}"),
     "subject.digest: \"sha512:00\" is not sha256"},
    {MANIFEST(",\"subject\":{\"mediaType\":\"x\",\"digest\":\"" A "/../x\",\"size\":1}"),
     "is not sha256"},
};

/* @needle: (nullable): of the error */
static void
check_annotations(unsigned count, const char *needle)
{
    g_autoptr(GString) members = g_string_new(NULL);
    g_autofree char *text = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(VtManifest) read = NULL;
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < count; i++)
        g_string_append_printf(members, "%s\"%u\":\"\"", i ? "," : "", i);
    text = g_strdup_printf(MANIFEST(",\"annotations\":{%s}"), members->str);
    bytes = bytes_of(text);
    g_assert_true(vt_manifest_parse(bytes, &read, &error) == !needle);
    g_assert_true(!needle || strstr(error->message, needle));
}

static void
test_refuse(void)
{
    g_autoptr(GBytes) fine = bytes_of(MANIFEST(",\"unknown\":[1]"));
    g_autoptr(VtManifest) read = NULL;

    g_assert_true(vt_manifest_parse(fine, &read, NULL));
    check_annotations(256, NULL);
    check_annotations(257, "annotations: has more than 256 entries");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GBytes) bytes = bytes_of(bad[i].text);
        g_autoptr(GError) error = NULL;
        VtManifest *manifest = NULL;

        g_assert_false(vt_manifest_parse(bytes, &manifest, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
        g_assert_nonnull(strstr(error->message, bad[i].message));
        g_assert_null(manifest);
    }
}

static void
test_index(void)
{
    static const char *const refused[] = {
        "{\"schemaVersion\":2}", "{\"schemaVersion\":2,\"manifests\":{}}",
        "{\"schemaVersion\":2,\"manifests\":[1]}",
        "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", MANIFEST("")};
    g_autoptr(GPtrArray) descriptors =
        g_ptr_array_new_with_free_func((GDestroyNotify)vt_descriptor_free);
    g_autoptr(GPtrArray) read = NULL, null = NULL;
    g_autoptr(GBytes) bytes = NULL, null_bytes = NULL;

    g_ptr_array_add(descriptors, descriptor(VT_OCI_MANIFEST_TYPE, A, 1));
    vt_descriptor_annotate(descriptors->pdata[0], "org.opencontainers.image.ref.name", "web/1.0.0");
    bytes = vt_index_manifests_format(descriptors);
    g_assert_true(vt_index_manifests_parse(bytes, &read, NULL));
    g_assert_cmpuint(read->len, ==, 1);
    g_assert_cmpstr(g_hash_table_lookup(((VtDescriptor *)read->pdata[0])->annotations,
                                        "org.opencontainers.image.ref.name"),
                    ==, "web/1.0.0");
    null_bytes = bytes_of("{\"schemaVersion\":2,\"manifests\":null}");
    g_assert_true(vt_index_manifests_parse(null_bytes, &null, NULL));
    g_assert_cmpuint(null->len, ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GBytes) wrong = bytes_of(refused[i]);
        g_autoptr(GError) error = NULL;
        GPtrArray *none = NULL;

        g_assert_false(vt_index_manifests_parse(wrong, &none, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    }
}

#define CONFIG(disks, more)                                                                        \
    "{\"name\":\"debian-12\",\"version\":\"1.2.0\",\"os\":\"linux\",\"architecture\":\"amd64\","   \
    "\"created\":\"2026-11-21T10:00:00Z\",\"disks\":[" disks "]" more "}"
#define DISK(format, capacity)                                                                     \
    "{\"name\":\"root\",\"capacity\":" capacity ",\"format\":\"" format "\"}"

static const struct {
    const char *text;
    int code;
} bad_configs[] = {
    {"{}", VT_ERROR_INVALID},
    {CONFIG("", ""), VT_ERROR_UNSUPPORTED},
    {CONFIG(DISK("qcow2", "1") "," DISK("qcow2", "1"), ""), VT_ERROR_UNSUPPORTED},
    {CONFIG(DISK("raw", "1"), ""), VT_ERROR_UNSUPPORTED},
    {CONFIG(DISK("qcow2", "0"), ""), VT_ERROR_INVALID},
    {CONFIG(DISK("qcow2", "-1"), ""), VT_ERROR_INVALID},
    {CONFIG("1", ""), VT_ERROR_INVALID},
    {CONFIG(DISK("qcow2", "1"), ",\"name\":\"x\""), VT_ERROR_INVALID},
};

static void
test_config(void)
{
    g_autoptr(GBytes) bytes = bytes_of(CONFIG(DISK("qcow2", "4294967296"), ""));
    g_autoptr(GBytes) profile = bytes_of(CONFIG(DISK("qcow2", "1"), ",\"hardware\":{\"cpu\":2}"));
    g_autoptr(VtTemplateConfig) config = NULL, with_profile = NULL;
    g_autoptr(GBytes) again = NULL;

    g_assert_true(vt_template_config_parse(bytes, &config, NULL));
    g_assert_cmpstr(config->name, ==, "debian-12");
    g_assert_cmpuint(config->capacity, ==, 4294967296);
    again = vt_template_config_format(config);
    g_assert_true(g_bytes_equal(bytes, again));
    g_assert_true(vt_template_config_parse(profile, &with_profile, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(bad_configs); i++) {
        g_autoptr(GBytes) wrong = bytes_of(bad_configs[i].text);
        g_autoptr(GError) error = NULL;
        VtTemplateConfig *none = NULL;

        g_assert_false(vt_template_config_parse(wrong, &none, &error));
        g_assert_error(error, VT_ERROR, bad_configs[i].code);
    }
}

/* Each letter is a layer: i and j are indexes, f frames, z frames of size 0, u an unknown type */
static VtManifest *
template_of(const char *letters)
{
    VtManifest *manifest = vt_manifest_new(VT_TEMPLATE_ARTIFACT_TYPE, NULL);

    for (; *letters; letters++) {
        const char *type = strchr("ij", *letters)   ? VT_LAYER_INDEX_TYPE
                           : strchr("fz", *letters) ? VT_LAYER_FRAMES_TYPE
                                                    : "x/y";

        g_ptr_array_add(manifest->layers,
                        descriptor(type, *letters == 'j' ? B : A, *letters == 'z' ? 0 : 9));
    }
    return manifest;
}

static void
test_layers(void)
{
    static const struct {
        const char *letters;
        int code;
    } refused[] = {{"", VT_ERROR_INVALID},
                   {"fi", VT_ERROR_INVALID},
                   {"ifi", VT_ERROR_INVALID},
                   {"iz", VT_ERROR_INVALID},
                   {"iu", VT_ERROR_UNSUPPORTED}};
    g_autoptr(VtManifest) manifest = template_of("iffj");
    g_autoptr(VtManifest) foreign = vt_manifest_new("a/b", NULL);
    g_autoptr(GPtrArray) layers = NULL;
    GPtrArray *none = NULL;

    g_assert_true(vt_template_layers(manifest, &layers, NULL));
    g_assert_cmpuint(layers->len, ==, 2);
    g_assert_cmpuint(((VtTemplateLayer *)layers->pdata[0])->blobs->len, ==, 2);
    g_assert_cmpuint(((VtTemplateLayer *)layers->pdata[1])->blobs->len, ==, 0);
    g_assert_true(((VtTemplateLayer *)layers->pdata[1])->index == manifest->layers->pdata[3]);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(VtManifest) wrong = template_of(refused[i].letters);
        g_autoptr(GError) error = NULL;

        g_assert_false(vt_template_layers(wrong, &none, &error));
        g_assert_error(error, VT_ERROR, refused[i].code);
    }
    g_assert_false(vt_template_layers(foreign, &none, NULL));
}

static void
test_layers_max(void)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new(VT_TEMPLATE_ARTIFACT_TYPE, NULL);
    g_autoptr(GPtrArray) layers = NULL;
    GPtrArray *none = NULL;

    for (int i = 0; i <= VT_LAYERS_MAX; i++) {
        VtDescriptor *index = descriptor(VT_LAYER_INDEX_TYPE, A, 1);

        index->digest.bytes[0] = (uint8_t)i;
        if (i == VT_LAYERS_MAX)
            g_assert_true(vt_template_layers(manifest, &layers, NULL));
        g_ptr_array_add(manifest->layers, index);
    }
    g_assert_false(vt_template_layers(manifest, &none, NULL));
}

/* @size: (nullable) */
static VtDescriptor *
bridged(const char *digest, const char *size)
{
    VtDescriptor *index = descriptor(VT_LAYER_INDEX_TYPE, A, 9);

    vt_descriptor_annotate(index, VT_BRIDGE_DIGEST_KEY, digest);
    if (size)
        vt_descriptor_annotate(index, VT_BRIDGE_SIZE_KEY, size);
    return index;
}

/* What is not one is none: the layer can be fetched without */
static void
test_bridge(void)
{
    static const char *const sizes[] = {NULL, "", "0", "-1", "12x", "4194305"};
    g_autoptr(VtManifest) bridge = vt_manifest_new(VT_BRIDGE_ARTIFACT_TYPE, NULL);
    g_autoptr(VtDescriptor) good = bridged(A, "1234"), wrong = bridged("sha256:12", "1234");
    g_autoptr(GPtrArray) layers = NULL;
    g_autoptr(GError) error = NULL;
    char text[VT_DIGEST_STRING_MAX];
    GPtrArray *none = NULL;
    VtDigest digest;
    uint64_t size;

    g_assert_true(vt_template_layer_bridge(&(VtTemplateLayer){.index = good}, &digest, &size));
    g_assert_cmpstr(vt_digest_format(&digest, text), ==, A);
    g_assert_cmpuint(size, ==, 1234);
    g_assert_false(vt_template_layer_bridge(&(VtTemplateLayer){.index = wrong}, &digest, &size));
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(VtDescriptor) index = bridged(A, sizes[i]);

        g_assert_false(
            vt_template_layer_bridge(&(VtTemplateLayer){.index = index}, &digest, &size));
    }
    g_ptr_array_add(bridge->layers, g_steal_pointer(&good));
    g_assert_true(vt_bridge_layers(bridge, &layers, NULL));
    g_assert_cmpuint(layers->len, ==, 1);
    /* neither is taken for the other */
    g_assert_false(vt_template_layers(bridge, &none, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNSUPPORTED);
    g_free(bridge->artifact_type);
    bridge->artifact_type = g_strdup(VT_TEMPLATE_ARTIFACT_TYPE);
    g_assert_false(vt_bridge_layers(bridge, &none, NULL));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/manifest/format", test_format);
    g_test_add_func("/manifest/foreign", test_foreign);
    g_test_add_func("/manifest/refuse", test_refuse);
    g_test_add_func("/manifest/index", test_index);
    g_test_add_func("/manifest/config", test_config);
    g_test_add_func("/manifest/layers", test_layers);
    g_test_add_func("/manifest/layers-max", test_layers_max);
    g_test_add_func("/manifest/bridge", test_bridge);
    return g_test_run();
}
