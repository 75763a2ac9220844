/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-manifest.c: OCI manifests and indexes as values */
#include "vt-manifest.h"

#include "vt-json.h"

#include <string.h>

/* RFC 6838 allows 127 characters on each side of the '/' */
#define MEDIA_TYPE_MAX 255
/* Far more than anybody has: keys of one hash would take the time of their square in our table */
#define ANNOTATIONS_MAX 256
/* A manifest has every blob of the chain and one index for each layer */
#define LAYERS_MAX (VT_LAYER_BLOBS_MAX + VT_LAYERS_MAX)

#define DOCKER_MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"

void
vt_descriptor_free(VtDescriptor *descriptor)
{
    if (!descriptor)
        return;
    g_free(descriptor->media_type);
    g_free(descriptor->artifact_type);
    g_clear_pointer(&descriptor->annotations, g_hash_table_unref);
    g_free(descriptor);
}

static GPtrArray *
descriptors_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)vt_descriptor_free);
}

static GHashTable *
annotations_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

VtDescriptor *
vt_descriptor_new(const char *media_type, const VtDigest *digest, uint64_t size)
{
    VtDescriptor *descriptor = g_new0(VtDescriptor, 1);

    descriptor->media_type = g_strdup(media_type);
    descriptor->digest = *digest;
    descriptor->size = size;
    return descriptor;
}

void
vt_descriptor_annotate(VtDescriptor *descriptor, const char *key, const char *value)
{
    if (!descriptor->annotations)
        descriptor->annotations = annotations_new();
    g_hash_table_replace(descriptor->annotations, g_strdup(key), g_strdup(value));
}

VtDescriptor *
vt_descriptor_copy(const VtDescriptor *descriptor)
{
    VtDescriptor *copy =
        vt_descriptor_new(descriptor->media_type, &descriptor->digest, descriptor->size);
    GHashTableIter iter;
    gpointer key, value;

    copy->artifact_type = g_strdup(descriptor->artifact_type);
    if (!descriptor->annotations)
        return copy;
    copy->annotations = annotations_new();
    g_hash_table_iter_init(&iter, descriptor->annotations);
    while (g_hash_table_iter_next(&iter, &key, &value))
        vt_descriptor_annotate(copy, key, value);
    return copy;
}

void
vt_manifest_free(VtManifest *manifest)
{
    if (!manifest)
        return;
    g_free(manifest->artifact_type);
    vt_descriptor_free(manifest->config);
    g_clear_pointer(&manifest->layers, g_ptr_array_unref);
    vt_descriptor_free(manifest->subject);
    g_clear_pointer(&manifest->annotations, g_hash_table_unref);
    g_free(manifest);
}

static VtDescriptor *
empty_descriptor(void)
{
    VtDigest digest;
    bool ok = vt_digest_parse(VT_OCI_EMPTY_DIGEST, &digest, NULL);

    g_assert(ok);
    return vt_descriptor_new(VT_OCI_EMPTY_TYPE, &digest, strlen("{}"));
}

VtManifest *
vt_manifest_new(const char *artifact_type, VtDescriptor *config)
{
    VtManifest *manifest = g_new0(VtManifest, 1);

    manifest->artifact_type = g_strdup(artifact_type);
    manifest->config = config ? config : empty_descriptor();
    manifest->layers = descriptors_new();
    manifest->annotations = annotations_new();
    return manifest;
}

/* ---- parsing ---- */

/* "annotations": {"key": "value"}; absent is empty */
static bool
parse_annotations(const VtJson *object, GHashTable *annotations, GError **error)
{
    VtJson map;
    const char *key;
    json_t *value;

    if (!json_object_get(object->value, "annotations"))
        return true;
    if (!vt_json_object(object, "annotations", &map, error))
        return false;
    if (json_object_size(map.value) > ANNOTATIONS_MAX)
        return vt_json_throw(&map, error, "has more than %d entries", ANNOTATIONS_MAX);
    json_object_foreach(map.value, key, value)
    {
        const char *text = NULL;

        if (!vt_json_string(&map, key, &text, error))
            return false;
        g_hash_table_replace(annotations, g_strdup(key), g_strdup(text));
    }
    return true;
}

static bool
parse_media_type(const VtJson *object, const char *field, const char **ret, GError **error)
{
    VtJson member = vt_json_member(object, field);
    const char *text = NULL;

    if (!vt_json_string(object, field, &text, error))
        return false;
    if (!*text || strlen(text) > MEDIA_TYPE_MAX)
        return vt_json_throw(&member, error, "is empty or longer than %d bytes", MEDIA_TYPE_MAX);
    *ret = text;
    return true;
}

/* {"mediaType":"...","digest":"sha256:...","size":1234,"annotations":{...},"artifactType":"..."} */
static bool
parse_descriptor(const VtJson *at, VtDescriptor **ret, GError **error)
{
    g_autoptr(VtDescriptor) descriptor = NULL;
    const char *media_type = NULL, *artifact_type = NULL;
    VtDigest digest;
    uint64_t size = 0;

    if (!vt_json_is_object(at, error) || !parse_media_type(at, "mediaType", &media_type, error) ||
        !vt_json_digest(at, "digest", &digest, error) || !vt_json_uint(at, "size", &size, error) ||
        !vt_json_string_if(at, "artifactType", &artifact_type, error))
        return false;
    descriptor = vt_descriptor_new(media_type, &digest, size);
    descriptor->artifact_type = g_strdup(artifact_type);
    if (json_object_get(at->value, "annotations")) {
        descriptor->annotations = annotations_new();
        if (!parse_annotations(at, descriptor->annotations, error))
            return false;
    }
    *ret = g_steal_pointer(&descriptor);
    return true;
}

static bool
parse_descriptors(const VtJson *array, size_t max, GPtrArray *descriptors, GError **error)
{
    if (json_array_size(array->value) > max)
        return vt_json_throw(array, error, "has more than %zu entries", max);
    for (size_t i = 0; i < json_array_size(array->value); i++) {
        VtJson at = vt_json_element(array, i);
        VtDescriptor *descriptor = NULL;

        if (!parse_descriptor(&at, &descriptor, error))
            return false;
        g_ptr_array_add(descriptors, descriptor);
    }
    return true;
}

/* One reader must not see a manifest where another sees an index (CVE-2021-41190) */
static bool
check_kind(const VtJson *root, const char *const *media_types, const char *const *foreign,
           GError **error)
{
    const char *media_type = NULL;
    uint64_t version = 0;

    if (!vt_json_uint(root, "schemaVersion", &version, error) ||
        !vt_json_string_if(root, "mediaType", &media_type, error))
        return false;
    if (version != 2)
        return vt_json_throw(root, error, "schemaVersion is not 2");
    if (media_type && !g_strv_contains(media_types, media_type)) {
        g_autofree char *shown = vt_json_shown(media_type);

        return vt_json_throw(root, error, "mediaType is \"%s\", not \"%s\"", shown, media_types[0]);
    }
    for (size_t i = 0; foreign[i]; i++) {
        if (json_object_get(root->value, foreign[i]))
            return vt_json_throw(root, error,
                                 "has \"%s\", which does not belong in a document of "
                                 "type \"%s\"",
                                 foreign[i], media_types[0]);
    }
    return true;
}

static bool
parse_subject(const VtJson *root, VtManifest *manifest, GError **error)
{
    VtJson at = vt_json_member(root, "subject");

    return !at.value || parse_descriptor(&at, &manifest->subject, error);
}

bool
vt_manifest_parse(GBytes *bytes, VtManifest **ret_manifest, GError **error)
{
    static const char *const media_types[] = {VT_OCI_MANIFEST_TYPE, DOCKER_MANIFEST_TYPE, NULL};
    static const char *const foreign[] = {"manifests", "fsLayers", NULL};
    g_autoptr(VtManifest) manifest = NULL;
    json_auto_t *document = NULL;
    const char *artifact_type = NULL;
    VtDescriptor *config = NULL;
    VtJson root, at, layers;

    if (!vt_json_parse(bytes, "manifest", VT_OCI_MANIFEST_MAX, &document, error))
        return false;
    root = vt_json_root(document, "manifest");
    at = vt_json_member(&root, "config");
    if (!check_kind(&root, media_types, foreign, error) ||
        !vt_json_string_if(&root, "artifactType", &artifact_type, error) ||
        !vt_json_array(&root, "layers", &layers, error) || !parse_descriptor(&at, &config, error))
        return false;
    manifest = vt_manifest_new(artifact_type, config);
    if (!parse_descriptors(&layers, LAYERS_MAX, manifest->layers, error) ||
        !parse_subject(&root, manifest, error) ||
        !parse_annotations(&root, manifest->annotations, error))
        return false;
    *ret_manifest = g_steal_pointer(&manifest);
    return true;
}

bool
vt_index_manifests_parse(GBytes *bytes, GPtrArray **ret_descriptors, GError **error)
{
    static const char *const media_types[] = {VT_OCI_INDEX_TYPE, NULL};
    static const char *const foreign[] = {"config", "layers", "fsLayers", NULL};
    g_autoptr(GPtrArray) descriptors = descriptors_new();
    json_auto_t *document = NULL;
    VtJson root, manifests;

    if (!vt_json_parse(bytes, "index", VT_OCI_INDEX_MAX, &document, error))
        return false;
    root = vt_json_root(document, "index");
    if (!check_kind(&root, media_types, foreign, error))
        return false;
    /* some registries write null where there are no entries */
    if (!json_is_null(json_object_get(root.value, "manifests")) &&
        (!vt_json_array(&root, "manifests", &manifests, error) ||
         !parse_descriptors(&manifests, VT_JSON_VALUES_MAX, descriptors, error)))
        return false;
    *ret_descriptors = g_steal_pointer(&descriptors);
    return true;
}

/* ---- formatting ---- */

static int
compare_keys(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted by key: a hash table has no order of its own */
static void
set_annotations(json_t *object, GHashTable *annotations)
{
    guint n = 0;
    g_autofree char **keys = NULL;
    json_t *map;

    if (!annotations || g_hash_table_size(annotations) == 0)
        return;
    keys = (char **)g_hash_table_get_keys_as_array(annotations, &n);
    qsort(keys, n, sizeof(*keys), compare_keys);
    map = json_object();
    for (guint i = 0; i < n; i++)
        vt_json_set_string(map, keys[i], g_hash_table_lookup(annotations, keys[i]));
    json_object_set_new(object, "annotations", map);
}

static json_t *
format_descriptor(const VtDescriptor *descriptor)
{
    json_t *object = json_object();

    vt_json_set_string(object, "mediaType", descriptor->media_type);
    vt_json_set_digest(object, "digest", &descriptor->digest);
    vt_json_set_uint(object, "size", descriptor->size);
    if (descriptor->artifact_type)
        vt_json_set_string(object, "artifactType", descriptor->artifact_type);
    set_annotations(object, descriptor->annotations);
    return object;
}

static json_t *
format_descriptors(GPtrArray *descriptors)
{
    json_t *array = json_array();

    for (guint i = 0; i < descriptors->len; i++)
        json_array_append_new(array, format_descriptor(g_ptr_array_index(descriptors, i)));
    return array;
}

GBytes *
vt_manifest_format(const VtManifest *manifest)
{
    json_auto_t *root = json_object();

    vt_json_set_uint(root, "schemaVersion", 2);
    vt_json_set_string(root, "mediaType", VT_OCI_MANIFEST_TYPE);
    if (manifest->artifact_type)
        vt_json_set_string(root, "artifactType", manifest->artifact_type);
    json_object_set_new(root, "config", format_descriptor(manifest->config));
    json_object_set_new(root, "layers", format_descriptors(manifest->layers));
    if (manifest->subject)
        json_object_set_new(root, "subject", format_descriptor(manifest->subject));
    set_annotations(root, manifest->annotations);
    return vt_json_format(root);
}

GBytes *
vt_index_manifests_format(GPtrArray *descriptors)
{
    json_auto_t *root = json_object();

    vt_json_set_uint(root, "schemaVersion", 2);
    vt_json_set_string(root, "mediaType", VT_OCI_INDEX_TYPE);
    json_object_set_new(root, "manifests", format_descriptors(descriptors));
    return vt_json_format(root);
}
