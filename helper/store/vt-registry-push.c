/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry-push.c: writing to an OCI registry (distribution-spec 1.1, "Push") */
#include "vt-registry.h"

#include "vt-manifest.h"
#include "vt-oci-index.h"
#include "vt-oci-name.h"
#include "vt-spool.h"

#include <string.h>

/* What a registry says about an upload is not read but for its errors */
#define PUSH_ANSWER_MAX 65536
#define HTTP_CREATED    201
/* Writers of one fallback tag that meet each other, before we give up */
#define FALLBACK_ROUNDS 5

/* ---- blobs ---- */

bool
vt_registry_has_blob(VtStore *store, const char *repository, const VtDigest *digest, bool *ret_has,
                     GError **error)
{
    char text[VT_DIGEST_STRING_MAX];
    g_autofree char *path =
        g_strconcat("/v2/", repository, "/blobs/", vt_digest_format(digest, text), NULL);
    const VtHttpRequest request = {.method = "HEAD", .url = path, .follow = true, .body_fd = -1};
    g_autoptr(VtHttpReply) reply = NULL;
    g_autoptr(GError) local = NULL;
    bool has = vt_registry_send((VtRegistry *)store, repository, &request, &reply, &local);

    if (!has && !g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    *ret_has = has;
    return true;
}

bool
vt_registry_blob_begin(VtStore *store, int *ret_fd, GError **error)
{
    return vt_spool_open(ret_fd, error);
}

/* POST .../blobs/uploads/ -> 202, Location: where to PUT; @ret_url: (out): that, with the digest */
static bool
begin_upload(VtRegistry *registry, const VtStoreBlob *blob, char **ret_url, GError **error)
{
    g_autofree char *path = g_strconcat("/v2/", blob->repository, "/blobs/uploads/", NULL);
    const VtHttpRequest request = {
        .method = "POST", .url = path, .limit = PUSH_ANSWER_MAX, .body_fd = -1};
    g_autofree char *escaped = g_uri_escape_string(blob->digest, NULL, FALSE), *url = NULL;
    g_autoptr(VtHttpReply) reply = NULL;
    const char *location;

    if (!vt_registry_send(registry, blob->repository, &request, &reply, error))
        return false;
    location = vt_http_reply_header(reply, "location");
    if (!location)
        return vt_throw(error, VT_ERROR_NETWORK,
                        "%s %s: HTTP %ld, but the registry does not say where to upload to",
                        reply->method, reply->url, reply->status);
    if (!vt_registry_resolve(registry, reply, location, &url, error))
        return false;
    *ret_url = g_strconcat(url, strchr(url, '?') ? "&" : "?", "digest=", escaped, NULL);
    return true;
}

/* One attempt. @ret_reply: (out): what became of the upload, good or bad */
static bool
upload(VtRegistry *registry, const VtStoreBlob *blob, VtHttpReply **ret_reply, GError **error)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    g_autofree char *url = NULL;
    VtHttpRequest request = {.method = "PUT",
                             .headers = headers,
                             .limit = PUSH_ANSWER_MAX,
                             .body_fd = blob->fd,
                             .body_size = blob->size,
                             .progress = blob->progress,
                             .progress_user = blob->user};

    if (!begin_upload(registry, blob, &url, error))
        return false;
    request.url = url;
    return vt_registry_ask(registry, blob->repository, &request, ret_reply, error);
}

bool
vt_registry_put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest,
                     GError **error)
{
    VtRegistry *registry = (VtRegistry *)store;
    VtAttempts attempts = {0};
    bool has = false;

    if (!vt_registry_has_blob(store, blob->repository, digest, &has, error))
        return false;
    /* A cut upload begins anew: what the registry has of it, it does not say reliably */
    while (!has) {
        g_autoptr(VtHttpReply) reply = NULL;
        int pause_ms;

        if (!upload(registry, blob, &reply, error))
            return false;
        has = vt_registry_is_success(reply);
        if (has)
            break;
        if (!vt_registry_pause(registry, reply, &attempts, &pause_ms, error))
            return false;
        vt_http_pause(registry->http, pause_ms);
    }
    if (blob->progress)
        blob->progress(blob->user, blob->size);
    return true;
}

/* POST .../blobs/uploads/?mount=sha256:...&from=repository -> 201: it is there. 202: it is to be
 * uploaded. Errors are no reason to give up: a token, for one, is good for one repository only */
bool
vt_registry_mount_blob(VtStore *store, const VtBlobCopy *copy)
{
    g_autofree char *digest = g_uri_escape_string(copy->digest, NULL, FALSE);
    g_autofree char *from = g_uri_escape_string(copy->from, NULL, FALSE);
    g_autofree char *path = g_strconcat("/v2/", copy->repository, "/blobs/uploads/?mount=", digest,
                                        "&from=", from, NULL);
    const VtHttpRequest request = {
        .method = "POST", .url = path, .limit = PUSH_ANSWER_MAX, .body_fd = -1};
    g_autoptr(VtHttpReply) reply = NULL;

    return vt_registry_send((VtRegistry *)store, copy->repository, &request, &reply, NULL) &&
           reply->status == HTTP_CREATED;
}

/* ---- manifests ---- */

/* @ret_lists: (out): whether the registry lists it with its subject by itself */
static bool
put_document(VtRegistry *registry, const VtStoreManifest *manifest, bool *ret_lists, GError **error)
{
    g_autofree char *path =
        g_strconcat("/v2/", manifest->repository, "/manifests/", manifest->tag, NULL);
    g_autofree char *type = g_strconcat("Content-Type: ", manifest->media_type, NULL);
    const char *const headers[] = {type, NULL};
    const VtHttpRequest request = {.method = "PUT",
                                   .url = path,
                                   .headers = headers,
                                   .limit = PUSH_ANSWER_MAX,
                                   .body = manifest->bytes,
                                   .body_fd = -1};
    g_autoptr(VtHttpReply) reply = NULL;

    if (!vt_registry_send(registry, manifest->repository, &request, &reply, error))
        return false;
    *ret_lists = vt_http_reply_header(reply, "oci-subject") != NULL;
    return true;
}

/* @ret_index: (out) (transfer full): what the fallback tag lists now, maybe nothing */
static bool
get_fallback(VtRegistry *registry, const char *repository, const char *tag, json_t **ret_index,
             GError **error)
{
    VtSource *source = &registry->store.source;
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (source->get_manifest(source, repository, tag, &bytes, &local))
        return vt_oci_index_parse(bytes, tag, ret_index, error);
    if (!g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    *ret_index = vt_oci_index_new();
    return true;
}

/* One round. @ret_listed: (out): it was listed already, there was nothing to do */
static bool
list_once(VtRegistry *registry, VtStoreManifest *list, json_t *descriptor, bool *ret_listed,
          GError **error)
{
    json_t *index = NULL;
    g_autoptr(GBytes) bytes = NULL;
    bool ignored;

    if (!get_fallback(registry, list->repository, list->tag, &index, error))
        return false;
    *ret_listed = !vt_oci_index_add(index, json_deep_copy(descriptor));
    bytes = vt_json_format(index);
    json_decref(index);
    list->bytes = bytes;
    return *ret_listed || put_document(registry, list, &ignored, error);
}

/* The protocol has no lock: what was put is read again, and put once more if somebody else's
 * list took its place */
static bool
list_referrer(VtRegistry *registry, const char *repository, const VtDigest *subject,
              json_t *descriptor, GError **error)
{
    g_autofree char *tag = vt_oci_fallback_tag(subject);
    VtStoreManifest list = {repository, tag, VT_OCI_INDEX_TYPE, NULL};

    for (unsigned round = 0; round < FALLBACK_ROUNDS; round++) {
        bool listed = false;

        if (!list_once(registry, &list, descriptor, &listed, error))
            return false;
        if (listed)
            return true;
    }
    return vt_throw(error, VT_ERROR_BUSY,
                    "others keep changing the tag '%s' of '%s'; the signature is stored, but not "
                    "listed; try again",
                    tag, repository);
}

bool
vt_registry_put_manifest(VtStore *store, const VtStoreManifest *manifest, GError **error)
{
    VtRegistry *registry = (VtRegistry *)store;
    VtStoreManifest put = *manifest;
    json_t *descriptor = NULL;
    bool has_subject, lists = false, ok;
    VtDigest subject;

    if (!vt_oci_describe(manifest->bytes, manifest->media_type, &descriptor, &has_subject, &subject,
                         error))
        return false;
    if (!put.tag)
        put.tag = json_string_value(json_object_get(descriptor, "digest"));
    ok = put_document(registry, &put, &lists, error);
    if (ok && has_subject && !lists)
        ok = list_referrer(registry, manifest->repository, &subject, descriptor, error);
    json_decref(descriptor);
    return ok;
}
