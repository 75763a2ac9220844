/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-oci-index.c: editing OCI image indexes that others write too: unknown members survive */
#include "vt-oci-index.h"

#include "vt-manifest.h"

json_t *
vt_oci_index_new(void)
{
    json_t *index = json_object();

    json_object_set_new(index, "schemaVersion", json_integer(2));
    json_object_set_new(index, "mediaType", json_string(VT_OCI_INDEX_TYPE));
    json_object_set_new(index, "manifests", json_array());
    return index;
}

static bool
check_entries(json_t *root, const char *document, GError **error)
{
    VtJson top = vt_json_root(root, document), manifests;
    const char *digest;

    if (!vt_json_array(&top, "manifests", &manifests, error))
        return false;
    for (size_t i = 0; i < json_array_size(manifests.value); i++) {
        VtJson entry = vt_json_element(&manifests, i);

        if (!vt_json_is_object(&entry, error) || !vt_json_string(&entry, "digest", &digest, error))
            return false;
    }
    return true;
}

bool
vt_oci_index_parse(GBytes *bytes, const char *document, json_t **ret_index, GError **error)
{
    json_t *root = NULL;

    if (!vt_json_parse(bytes, document, VT_OCI_INDEX_MAX, &root, error))
        return false;
    if (!check_entries(root, document, error)) {
        json_decref(root);
        return false;
    }
    *ret_index = root;
    return true;
}

json_t *
vt_oci_descriptor_new(const char *media_type, const VtDigest *digest, uint64_t size,
                      const char *artifact_type)
{
    char text[VT_DIGEST_STRING_MAX];
    json_t *descriptor = json_object();

    json_object_set_new(descriptor, "mediaType", json_string(media_type));
    if (artifact_type)
        json_object_set_new(descriptor, "artifactType", json_string(artifact_type));
    json_object_set_new(descriptor, "digest", json_string(vt_digest_format(digest, text)));
    json_object_set_new(descriptor, "size", json_integer((json_int_t)size));
    return descriptor;
}

bool
vt_oci_descriptor_read(const json_t *descriptor, VtDigest *ret_digest, uint64_t *ret_size,
                       GError **error)
{
    VtJson at = vt_json_root((json_t *)descriptor, "descriptor");
    const char *text;
    VtDigest digest;
    uint64_t size;

    if (!vt_json_string(&at, "digest", &text, error) || !vt_digest_parse(text, &digest, error) ||
        !vt_json_uint(&at, "size", &size, error))
        return false;
    *ret_digest = digest;
    *ret_size = size;
    return true;
}

const char *
vt_oci_descriptor_ref_name(const json_t *descriptor)
{
    return json_string_value(
        json_object_get(json_object_get(descriptor, "annotations"), VT_OCI_REF_NAME));
}

static const char *
digest_of(const json_t *descriptor)
{
    return json_string_value(json_object_get(descriptor, "digest"));
}

bool
vt_oci_index_find(const json_t *index, const char *ref_name, const json_t **ret_descriptor,
                  GError **error)
{
    const json_t *manifests = json_object_get(index, "manifests"), *found = NULL;

    for (size_t i = 0; i < json_array_size(manifests); i++) {
        const json_t *entry = json_array_get(manifests, i);

        if (g_strcmp0(vt_oci_descriptor_ref_name(entry), ref_name) != 0)
            continue;
        if (found && g_strcmp0(digest_of(found), digest_of(entry)) != 0)
            return vt_throw(error, VT_ERROR_INVALID, "two manifests are named '%s'", ref_name);
        found = entry;
    }
    if (!found)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "no manifest is named '%s'", ref_name);
    *ret_descriptor = found;
    return true;
}

void
vt_oci_index_tag(json_t *index, const char *ref_name, json_t *descriptor)
{
    const json_t *manifests = json_object_get(index, "manifests");
    json_t *annotations = json_object_get(descriptor, "annotations");
    json_t *kept = json_array();

    for (size_t i = 0; i < json_array_size(manifests); i++) {
        json_t *entry = json_array_get(manifests, i);

        if (g_strcmp0(vt_oci_descriptor_ref_name(entry), ref_name) != 0)
            json_array_append(kept, entry);
    }
    if (!annotations) {
        annotations = json_object();
        json_object_set_new(descriptor, "annotations", annotations);
    }
    json_object_set_new(annotations, VT_OCI_REF_NAME, json_string(ref_name));
    json_array_append_new(kept, descriptor);
    json_object_set_new(index, "manifests", kept);
}

bool
vt_oci_index_add(json_t *index, json_t *descriptor)
{
    json_t *manifests = json_object_get(index, "manifests");

    for (size_t i = 0; i < json_array_size(manifests); i++) {
        if (g_strcmp0(digest_of(json_array_get(manifests, i)), digest_of(descriptor)) == 0) {
            json_decref(descriptor);
            return false;
        }
    }
    json_array_append_new(manifests, descriptor);
    return true;
}

/* A store may list as many as it likes, so they are not compared with each other */
void
vt_oci_index_merge(json_t *index, const json_t *other)
{
    json_t *manifests = json_object_get(index, "manifests");
    const json_t *more = json_object_get(other, "manifests");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (size_t i = 0; i < json_array_size(manifests); i++)
        g_hash_table_add(seen, (gpointer)(uintptr_t)digest_of(json_array_get(manifests, i)));
    for (size_t i = 0; i < json_array_size(more); i++) {
        json_t *entry = json_array_get(more, i);

        if (g_hash_table_add(seen, (gpointer)(uintptr_t)digest_of(entry)))
            json_array_append(manifests, entry);
    }
}

/* image-spec: a manifest without artifactType has the media type of its config as one */
static const char *
artifact_type_of(const json_t *manifest)
{
    const char *type = json_string_value(json_object_get(manifest, "artifactType"));

    if (type && *type)
        return type;
    return json_string_value(json_object_get(json_object_get(manifest, "config"), "mediaType"));
}

static bool
read_subject(json_t *root, bool *ret_has_subject, VtDigest *ret_subject, GError **error)
{
    VtJson top = vt_json_root(root, "manifest"), subject = {0};
    VtDigest digest = {0};
    bool has = json_object_get(root, "subject") != NULL;

    if (has && (!vt_json_object(&top, "subject", &subject, error) ||
                !vt_json_digest(&subject, "digest", &digest, error)))
        return false;
    *ret_has_subject = has;
    *ret_subject = digest;
    return true;
}

bool
vt_oci_describe(GBytes *manifest, const char *media_type, json_t **ret_descriptor,
                bool *ret_has_subject, VtDigest *ret_subject, GError **error)
{
    g_autofree char *hex = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, manifest);
    g_autofree char *text = g_strconcat(VT_DIGEST_PREFIX, hex, NULL);
    json_t *root = NULL, *descriptor, *annotations;
    VtDigest digest;
    bool ok;

    if (!vt_digest_parse(text, &digest, error) ||
        !vt_json_parse(manifest, "manifest", g_bytes_get_size(manifest), &root, error))
        return false;
    ok = read_subject(root, ret_has_subject, ret_subject, error);
    if (ok) {
        descriptor = vt_oci_descriptor_new(media_type, &digest, g_bytes_get_size(manifest),
                                           artifact_type_of(root));
        annotations = json_object_get(root, "annotations");
        if (json_is_object(annotations))
            json_object_set_new(descriptor, "annotations", json_deep_copy(annotations));
        *ret_descriptor = descriptor;
    }
    json_decref(root);
    return ok;
}
