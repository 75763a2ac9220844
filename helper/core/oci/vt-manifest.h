/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-manifest.h: OCI manifests: the generic document, and a template version as one */
#pragma once

#include "vt-digest.h"

#include <jansson.h>
#include <stdint.h>

#define VT_OCI_MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define VT_OCI_INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define VT_OCI_EMPTY_TYPE    "application/vnd.oci.empty.v1+json"
#define VT_OCI_EMPTY_DIGEST                                                                        \
    "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

#define VT_TEMPLATE_ARTIFACT_TYPE "application/vnd.virt-template.v1"
#define VT_TEMPLATE_CONFIG_TYPE   "application/vnd.virt-template.config.v1+json"
#define VT_LAYER_INDEX_TYPE       "application/vnd.virt-template.layer.index.v1"
#define VT_LAYER_FRAMES_TYPE      "application/vnd.virt-template.layer.frames.v1+zstd"
#define VT_BRIDGE_ARTIFACT_TYPE   "application/vnd.virt-template.bridge.v1"
/* Annotations of a layer's index: another manifest, whose layers make the same disk */
#define VT_BRIDGE_DIGEST_KEY "virt-template.layer.bridge.digest"
#define VT_BRIDGE_SIZE_KEY   "virt-template.layer.bridge.size"

/* Registries take 4 MiB; the index of a layout directory, which has an entry for each version and
 * each signature, may be larger */
#define VT_OCI_MANIFEST_MAX (4u << 20)
#define VT_OCI_INDEX_MAX    (16u << 20)

/* design: default chain limit is 8; this is what a host accepts at all */
#define VT_LAYERS_MAX 64
/* 4 TiB of compressed data in blobs of 256 MiB */
#define VT_LAYER_BLOBS_MAX 16384

/**
 * VtDescriptor: OCI descriptor (image-spec descriptor.md); `urls` and `data` are ignored
 * @size: bytes, not negative
 * @annotations: (nullable) (element-type utf8 utf8)
 */
typedef struct {
    char *media_type;
    char *artifact_type;
    VtDigest digest;
    uint64_t size;
    GHashTable *annotations;
} VtDescriptor;
void vt_descriptor_free(VtDescriptor *descriptor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtDescriptor, vt_descriptor_free)

/** vt_descriptor_new: Returns: (transfer full) */
VtDescriptor *vt_descriptor_new(const char *media_type, const VtDigest *digest, uint64_t size);
/** vt_descriptor_copy: Returns: (transfer full): the same, annotations and all */
VtDescriptor *vt_descriptor_copy(const VtDescriptor *descriptor);
/** vt_descriptor_annotate: Sets one annotation */
void vt_descriptor_annotate(VtDescriptor *descriptor, const char *key, const char *value);

/**
 * VtManifest: any OCI image manifest
 * @config: never %NULL
 * @layers: (element-type VtDescriptor)
 * @subject: (nullable)
 * @annotations: (element-type utf8 utf8): never %NULL
 */
typedef struct {
    char *artifact_type;
    VtDescriptor *config;
    GPtrArray *layers;
    VtDescriptor *subject;
    GHashTable *annotations;
} VtManifest;
void vt_manifest_free(VtManifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtManifest, vt_manifest_free)

/** vt_manifest_new: @config: (nullable) (transfer full): %NULL = the empty descriptor */
VtManifest *vt_manifest_new(const char *artifact_type, VtDescriptor *config);
/**
 * vt_manifest_parse: Unknown fields are accepted, as OCI demands; known ones are checked
 *
 * Also reads Docker's manifest version 2, schema 2, which has the same fields. A document that is
 * a manifest and an index at once is refused.
 */
bool vt_manifest_parse(GBytes *bytes, VtManifest **ret_manifest, GError **error);
/** vt_manifest_format: Returns: (transfer full): deterministic JSON */
GBytes *vt_manifest_format(const VtManifest *manifest);

/** vt_index_manifests_parse: @ret: (element-type VtDescriptor): `manifests` of an OCI image index
 */
bool vt_index_manifests_parse(GBytes *bytes, GPtrArray **ret_descriptors, GError **error);
/** vt_index_manifests_format: Returns: (transfer full): an OCI image index of @descriptors */
GBytes *vt_index_manifests_format(GPtrArray *descriptors);

/**
 * VtTemplateConfig: our config document
 *
 * {"name":"debian-12","version":"1.2.0","os":"linux","architecture":"amd64",
 *  "created":"2026-11-21T10:00:00Z",
 *  "disks":[{"name":"root","capacity":4294967296,"format":"qcow2"}],
 *  "parameters":[...],"user-data":{...},"hardware":{...}}
 *
 * @profile: (nullable): an object of those of the last three that are there, see vt-profile.h;
 *   they are kept, not read here
 */
typedef struct {
    char *name;
    char *version;
    char *os;
    char *architecture;
    char *created;
    uint64_t capacity;
    json_t *profile;
} VtTemplateConfig;
void vt_template_config_free(VtTemplateConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtTemplateConfig, vt_template_config_free)
/* Profiles and parameters of a template are written by people */
#define VT_TEMPLATE_CONFIG_MAX (1u << 20)
/** vt_template_config_parse: Exactly one disk, else %VT_ERROR_UNSUPPORTED */
bool vt_template_config_parse(GBytes *bytes, VtTemplateConfig **ret_config, GError **error);
GBytes *vt_template_config_format(const VtTemplateConfig *config);

/**
 * VtTemplateLayer: one layer of a template's chain
 * @index: descriptor of the index blob (%VT_LAYER_INDEX_TYPE)
 * @blobs: (element-type VtDescriptor): its frame blobs in the order of the index's blob numbers
 */
typedef struct {
    const VtDescriptor *index;
    GPtrArray *blobs;
} VtTemplateLayer;

/**
 * vt_template_layers:
 * @manifest: a manifest with artifactType %VT_TEMPLATE_ARTIFACT_TYPE
 * @ret_layers: (out) (transfer full) (element-type VtTemplateLayer): base first; the layers
 *   borrow from @manifest
 *
 * The manifest's `layers` are, for each layer of the chain, base first, one index descriptor
 * followed by its frame blobs. %VT_ERROR_INVALID: another order, an index twice, too many;
 * %VT_ERROR_UNSUPPORTED: another artifact, or a layer of another type.
 */
bool vt_template_layers(const VtManifest *manifest, GPtrArray **ret_layers, GError **error);

/** vt_template_layer_size: Returns: bytes of its index and frames in the store */
uint64_t vt_template_layer_size(const VtTemplateLayer *layer);

/**
 * vt_template_layer_bridge:
 * @ret_digest: (out): of the manifest of the layer's bridge
 * @ret_size: (out): its bytes
 *
 * Returns: whether it has one
 */
bool vt_template_layer_bridge(const VtTemplateLayer *layer, VtDigest *ret_digest,
                              uint64_t *ret_size);

/** vt_bridge_layers: As vt_template_layers(), of a manifest with %VT_BRIDGE_ARTIFACT_TYPE */
bool vt_bridge_layers(const VtManifest *manifest, GPtrArray **ret_layers, GError **error);
