/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-bridge.c: a second way to a full layer, for hosts that have the version before it */
#include "vt-publish-bridge.h"

#include "vt-publish-layer.h"
#include "vt-sha256.h"

static bool
put_manifest(const VtPublisher *publisher, const char *name, const VtManifest *manifest,
             VtPublishBridge *bridge, GError **error)
{
    g_autofree char *repository = vt_store_url_repository(publisher->url, name), *tag = NULL;
    g_autoptr(GBytes) bytes = vt_manifest_format(manifest), empty = g_bytes_new_static("{}", 2);
    char hex[VT_DIGEST_STRING_MAX];

    /* no version has such a tag */
    tag = g_strdup_printf("sha256-%s.bridge", vt_digest_hex(&bridge->full, hex));
    if (!vt_store_put_bytes(publisher->store, repository, VT_OCI_EMPTY_DIGEST, empty, error) ||
        !vt_store_put_manifest(publisher->store, repository, tag, VT_OCI_MANIFEST_TYPE, bytes,
                               error))
        return false;
    vt_sha256_bytes(bytes, bridge->manifest.bytes);
    bridge->size = g_bytes_get_size(bytes);
    return true;
}

bool
vt_publish_bridge(const VtPublisher *publisher, const VtPublishRequest *request,
                  const VtPublishParent *parent, const VtEncodeResult *delta,
                  VtPublishBridge *bridge, GError **error)
{
    g_autoptr(VtManifest) manifest = vt_manifest_new(VT_BRIDGE_ARTIFACT_TYPE, NULL);

    vt_publish_parent_list(publisher, request, parent, manifest);
    if (!vt_publish_layer_list(publisher, request, delta, manifest, error) ||
        !put_manifest(publisher, request->name, manifest, bridge, error))
        return false;
    bridge->bytes = delta->stored_bytes + g_bytes_get_size(delta->index);
    bridge->over = g_strdup_printf("%s@%s", parent->name, parent->version);
    return true;
}

void
vt_publish_bridge_annotate(const VtPublishBridge *bridge, VtDescriptor *index)
{
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, bridge->size);
    char text[VT_DIGEST_STRING_MAX];

    vt_descriptor_annotate(index, VT_BRIDGE_DIGEST_KEY, vt_digest_format(&bridge->manifest, text));
    vt_descriptor_annotate(index, VT_BRIDGE_SIZE_KEY, size);
}

void
vt_publish_bridge_strip(VtDescriptor *index)
{
    if (!index->annotations)
        return;
    g_hash_table_remove(index->annotations, VT_BRIDGE_DIGEST_KEY);
    g_hash_table_remove(index->annotations, VT_BRIDGE_SIZE_KEY);
}
