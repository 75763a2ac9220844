/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-template.c: a template version as an OCI manifest: its config document and its layers */
#include "vt-manifest.h"

#include "vt-json.h"
#include "vt-name.h"

#include <string.h>

static const char *const profile_fields[] = {"parameters", "user-data", "hardware"};

void
vt_template_config_free(VtTemplateConfig *config)
{
    if (!config)
        return;
    g_free(config->name);
    g_free(config->version);
    g_free(config->os);
    g_free(config->architecture);
    g_free(config->created);
    json_decref(config->profile);
    g_free(config);
}

/* "disks":[{"name":"root","capacity":4294967296,"format":"qcow2"}] */
static bool
parse_disks(const VtJson *root, VtTemplateConfig *config, GError **error)
{
    const char *name = NULL, *format = NULL;
    VtJson disks, disk;

    if (!vt_json_array(root, "disks", &disks, error))
        return false;
    if (json_array_size(disks.value) != 1)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "template config: %zu disks; this version of virt-template reads "
                        "templates of one disk",
                        json_array_size(disks.value));
    disk = vt_json_element(&disks, 0);
    if (!vt_json_is_object(&disk, error) || !vt_json_word(&disk, "name", &name, error) ||
        !vt_json_uint(&disk, "capacity", &config->capacity, error) ||
        !vt_json_word(&disk, "format", &format, error))
        return false;
    if (strcmp(format, "qcow2") != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "template config: disk format '%s'; this version of virt-template reads "
                        "qcow2",
                        format);
    if (config->capacity == 0)
        return vt_json_throw(&disk, error, "capacity is 0");
    return true;
}

static json_t *
pick_profile(const json_t *root)
{
    json_t *profile = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(profile_fields); i++) {
        json_t *value = json_object_get(root, profile_fields[i]);

        if (value && !profile)
            profile = json_object();
        if (value)
            json_object_set(profile, profile_fields[i], value);
    }
    return profile;
}

bool
vt_template_config_parse(GBytes *bytes, VtTemplateConfig **ret_config, GError **error)
{
    const char *name = NULL, *version = NULL, *os = NULL, *architecture = NULL, *created = NULL;
    g_autoptr(VtTemplateConfig) config = g_new0(VtTemplateConfig, 1);
    json_auto_t *document = NULL;
    VtJson root;

    if (!vt_json_parse(bytes, "template config", VT_TEMPLATE_CONFIG_MAX, &document, error))
        return false;
    root = vt_json_root(document, "template config");
    if (!vt_json_string(&root, "name", &name, error) || !vt_name_check(name, error) ||
        !vt_json_string(&root, "version", &version, error) || !vt_version_check(version, error) ||
        !vt_json_word(&root, "os", &os, error) ||
        !vt_json_word(&root, "architecture", &architecture, error) ||
        !vt_json_time(&root, "created", &created, error) || !parse_disks(&root, config, error))
        return false;
    config->name = g_strdup(name);
    config->version = g_strdup(version);
    config->os = g_strdup(os);
    config->architecture = g_strdup(architecture);
    config->created = g_strdup(created);
    config->profile = pick_profile(document);
    *ret_config = g_steal_pointer(&config);
    return true;
}

GBytes *
vt_template_config_format(const VtTemplateConfig *config)
{
    json_auto_t *root = json_object();
    json_t *disk = json_object(), *disks = json_array();

    vt_json_set_string(root, "name", config->name);
    vt_json_set_string(root, "version", config->version);
    vt_json_set_string(root, "os", config->os);
    vt_json_set_string(root, "architecture", config->architecture);
    vt_json_set_string(root, "created", config->created);
    vt_json_set_string(disk, "name", "root");
    vt_json_set_uint(disk, "capacity", config->capacity);
    vt_json_set_string(disk, "format", "qcow2");
    json_array_append_new(disks, disk);
    json_object_set_new(root, "disks", disks);
    for (size_t i = 0; i < G_N_ELEMENTS(profile_fields); i++)
        json_object_set(root, profile_fields[i],
                        json_object_get(config->profile, profile_fields[i]));
    return vt_json_format(root);
}

/* ---- layers ---- */

static void
layer_free(VtTemplateLayer *layer)
{
    g_ptr_array_unref(layer->blobs);
    g_free(layer);
}

static bool
index_is_new(GPtrArray *layers, const VtDescriptor *index)
{
    for (guint i = 0; i < layers->len; i++) {
        const VtTemplateLayer *layer = g_ptr_array_index(layers, i);

        if (vt_digest_equal(&layer->index->digest, &index->digest))
            return false;
    }
    return true;
}

static bool
add_index(GPtrArray *layers, const VtDescriptor *descriptor, guint place, GError **error)
{
    VtTemplateLayer *layer;

    if (layers->len >= VT_LAYERS_MAX)
        return vt_throw(error, VT_ERROR_INVALID, "template manifest: more than %d layers",
                        VT_LAYERS_MAX);
    if (!index_is_new(layers, descriptor))
        return vt_throw(error, VT_ERROR_INVALID,
                        "template manifest: layers[%u]: the same layer index twice", place);
    layer = g_new0(VtTemplateLayer, 1);
    layer->index = descriptor;
    layer->blobs = g_ptr_array_new();
    g_ptr_array_add(layers, layer);
    return true;
}

static bool
add_blob(GPtrArray *layers, VtDescriptor *descriptor, guint place, GError **error)
{
    VtTemplateLayer *layer;

    if (layers->len == 0)
        return vt_throw(error, VT_ERROR_INVALID,
                        "template manifest: layers[%u]: frames before the first layer index",
                        place);
    layer = g_ptr_array_index(layers, layers->len - 1);
    if (layer->blobs->len >= VT_LAYER_BLOBS_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "template manifest: more than %d blobs in one layer", VT_LAYER_BLOBS_MAX);
    g_ptr_array_add(layer->blobs, descriptor);
    return true;
}

static bool
add_layer(GPtrArray *layers, VtDescriptor *descriptor, guint place, GError **error)
{
    g_autofree char *shown = NULL;

    if (descriptor->size == 0)
        return vt_throw(error, VT_ERROR_INVALID, "template manifest: layers[%u]: size is 0", place);
    if (strcmp(descriptor->media_type, VT_LAYER_INDEX_TYPE) == 0)
        return add_index(layers, descriptor, place, error);
    if (strcmp(descriptor->media_type, VT_LAYER_FRAMES_TYPE) == 0)
        return add_blob(layers, descriptor, place, error);
    shown = vt_json_shown(descriptor->media_type);
    return vt_throw(error, VT_ERROR_UNSUPPORTED,
                    "template manifest: layers[%u]: unknown type '%s'; a newer virt-template may "
                    "have made it",
                    place, shown);
}

static bool
list_layers(const VtManifest *manifest, const char *type, const char *what, GPtrArray **ret_layers,
            GError **error)
{
    g_autoptr(GPtrArray) layers = g_ptr_array_new_with_free_func((GDestroyNotify)layer_free);

    if (g_strcmp0(manifest->artifact_type, type) != 0) {
        const char *other = manifest->artifact_type ? manifest->artifact_type : "none";
        g_autofree char *shown = vt_json_shown(other);

        return vt_throw(error, VT_ERROR_UNSUPPORTED, "not a %s: its artifactType is '%s', not '%s'",
                        what, shown, type);
    }
    for (guint i = 0; i < manifest->layers->len; i++) {
        if (!add_layer(layers, g_ptr_array_index(manifest->layers, i), i, error))
            return false;
    }
    if (layers->len == 0)
        return vt_throw(error, VT_ERROR_INVALID, "template manifest: no layers");
    *ret_layers = g_steal_pointer(&layers);
    return true;
}

bool
vt_template_layers(const VtManifest *manifest, GPtrArray **ret_layers, GError **error)
{
    return list_layers(manifest, VT_TEMPLATE_ARTIFACT_TYPE, "template", ret_layers, error);
}

bool
vt_bridge_layers(const VtManifest *manifest, GPtrArray **ret_layers, GError **error)
{
    return list_layers(manifest, VT_BRIDGE_ARTIFACT_TYPE, "bridge", ret_layers, error);
}

bool
vt_template_layer_bridge(const VtTemplateLayer *layer, VtDigest *ret_digest, uint64_t *ret_size)
{
    const char *digest, *size;
    guint64 bytes;

    if (!layer->index->annotations)
        return false;
    digest = g_hash_table_lookup(layer->index->annotations, VT_BRIDGE_DIGEST_KEY);
    size = g_hash_table_lookup(layer->index->annotations, VT_BRIDGE_SIZE_KEY);
    if (!digest || !size ||
        !g_ascii_string_to_unsigned(size, 10, 1, VT_OCI_MANIFEST_MAX, &bytes, NULL) ||
        !vt_digest_parse(digest, ret_digest, NULL))
        return false;
    *ret_size = bytes;
    return true;
}

uint64_t
vt_template_layer_size(const VtTemplateLayer *layer)
{
    uint64_t size = layer->index->size;

    for (guint i = 0; i < layer->blobs->len; i++)
        size += ((const VtDescriptor *)layer->blobs->pdata[i])->size;
    return size;
}
