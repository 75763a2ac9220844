/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-oci-index.h: editing OCI image indexes that others write too: unknown members survive */
#pragma once

#include "vt-json.h"

/* The annotation that is a manifest's tag in the index.json of a layout (image-spec) */
#define VT_OCI_REF_NAME "org.opencontainers.image.ref.name"
/* 15,000 versions, each with its signatures, at about 1 KiB for a version */
#define VT_OCI_INDEX_MAX (16u << 20)

/** vt_oci_index_new: Returns: (transfer full): an index without entries */
json_t *vt_oci_index_new(void);

/**
 * vt_oci_index_parse:
 * @document: what it is, for messages
 * @ret_index: (out) (transfer full): every entry is an object that has a string `digest`
 */
bool vt_oci_index_parse(GBytes *bytes, const char *document, json_t **ret_index, GError **error);

/** vt_oci_descriptor_new: Returns: (transfer full): @artifact_type: (nullable) */
json_t *vt_oci_descriptor_new(const char *media_type, const VtDigest *digest, uint64_t size,
                              const char *artifact_type);

/**
 * vt_oci_descriptor_read: Digest and size of one entry
 * @error: %VT_ERROR_UNSUPPORTED for an algorithm other than sha256
 */
bool vt_oci_descriptor_read(const json_t *descriptor, VtDigest *ret_digest, uint64_t *ret_size,
                            GError **error);

/** vt_oci_descriptor_ref_name: Returns: (nullable) (transfer none): its VT_OCI_REF_NAME */
const char *vt_oci_descriptor_ref_name(const json_t *descriptor);

/**
 * vt_oci_index_find:
 * @ref_name: value of VT_OCI_REF_NAME
 * @ret_descriptor: (out) (transfer none)
 * @error: %VT_ERROR_NOT_FOUND; %VT_ERROR_INVALID if two different manifests have the name
 */
bool vt_oci_index_find(const json_t *index, const char *ref_name, const json_t **ret_descriptor,
                       GError **error);

/** vt_oci_index_tag: Gives @descriptor (transfer full) the name, and takes it from all others */
void vt_oci_index_tag(json_t *index, const char *ref_name, json_t *descriptor);

/** vt_oci_index_add: Adds @descriptor (transfer full). Returns: false if its digest was there */
bool vt_oci_index_add(json_t *index, json_t *descriptor);

/** vt_oci_index_merge: Adds the entries of @other that @index lacks */
void vt_oci_index_merge(json_t *index, const json_t *other);

/**
 * vt_oci_describe:
 * @manifest: a manifest or index
 * @ret_descriptor: (out) (transfer full): its descriptor as the referrers API gives it, with
 *   artifactType (that of the config if it has no other) and its annotations
 * @ret_has_subject: (out): whether the manifest refers to another one
 * @ret_subject: (out): which one, if so
 */
bool vt_oci_describe(GBytes *manifest, const char *media_type, json_t **ret_descriptor,
                     bool *ret_has_subject, VtDigest *ret_subject, GError **error);
