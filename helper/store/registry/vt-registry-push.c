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
#define HTTP_NO_CONTENT 204
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

/* POST .../blobs/uploads/ -> 202, Location: where to PUT; @ret_url: (out) (transfer full): that */
static bool
begin_upload(VtRegistry *registry, const VtStoreBlob *blob, char **ret_url, GError **error)
{
    g_autofree char *path = g_strconcat("/v2/", blob->repository, "/blobs/uploads/", NULL);
    const VtHttpRequest request = {
        .method = "POST", .url = path, .limit = PUSH_ANSWER_MAX, .body_fd = -1};
    g_autoptr(VtHttpReply) reply = NULL;
    const char *location;

    if (!vt_registry_send(registry, blob->repository, &request, &reply, error))
        return false;
    location = vt_http_reply_header(reply, "location");
    if (!location)
        return vt_throw(error, VT_ERROR_NETWORK,
                        "%s %s: HTTP %ld, but the registry does not say where to upload to",
                        reply->method, reply->url, reply->status);
    return vt_registry_resolve(registry, reply, location, ret_url, error);
}

/* GET the location of an upload that was cut -> 204, Range: 0-1234: what the registry has. Whether
 * registries keep what came of a cut request, and whether they know, differs: docker-registry drops
 * the upload. Then it begins anew.
 * @url: (in out): the location, which may change. Returns: bytes that need not be sent again */
static uint64_t
ask_progress(VtRegistry *registry, const VtStoreBlob *blob, char **url)
{
    const VtHttpRequest request = {
        .method = "GET", .url = *url, .limit = PUSH_ANSWER_MAX, .body_fd = -1};
    g_autoptr(VtHttpReply) reply = NULL;
    const char *range, *location;
    uint64_t last = 0;
    char *next = NULL;

    /* "Range: 0-0" is said of nothing, too */
    if (blob->size < 2)
        return 0;
    if (!vt_registry_ask(registry, blob->repository, &request, &reply, NULL) ||
        reply->status != HTTP_NO_CONTENT)
        return 0;
    range = vt_http_reply_header(reply, "range");
    if (!range || !g_str_has_prefix(range, "0-") ||
        !g_ascii_string_to_unsigned(range + 2, 10, 1, blob->size - 1, &last, NULL))
        return 0;
    location = vt_http_reply_header(reply, "location");
    if (location && !vt_registry_resolve(registry, reply, location, &next, NULL))
        return 0;
    if (next) {
        g_free(*url);
        *url = next;
    }
    return last + 1;
}

/**
 * Upload: one blob on its way
 * @url: (nullable): where it goes; %NULL: it is to begin
 * @have: bytes of it that the registry said it has; @best: the most that counted as progress
 */
typedef struct {
    VtRegistry *registry;
    const VtStoreBlob *blob;
    char *url;
    uint64_t have;
    uint64_t best;
} Upload;

static void
on_sent(void *user, uint64_t sent)
{
    const Upload *upload = user;

    if (upload->blob->progress)
        upload->blob->progress(upload->blob->user, upload->have + sent);
}

/* The rest of a blob, behind what the registry has: 202, Location: where it is finished */
static bool
send_rest(Upload *upload, VtHttpReply **ret_reply, GError **error)
{
    const VtStoreBlob *blob = upload->blob;
    g_autofree char *range = g_strdup_printf(
        "Content-Range: %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, upload->have, blob->size - 1);
    const char *const headers[] = {"Content-Type: application/octet-stream", range, NULL};
    const VtHttpRequest request = {.method = "PATCH",
                                   .url = upload->url,
                                   .headers = headers,
                                   .limit = PUSH_ANSWER_MAX,
                                   .body_fd = blob->fd,
                                   .body_offset = upload->have,
                                   .body_size = blob->size - upload->have,
                                   .progress = on_sent,
                                   .progress_user = upload};
    g_autoptr(VtHttpReply) reply = NULL;
    const char *location;
    char *next = NULL;

    if (!vt_registry_ask(upload->registry, blob->repository, &request, &reply, error))
        return false;
    location = vt_http_reply_header(reply, "location");
    if (vt_registry_is_success(reply)) {
        if (location && !vt_registry_resolve(upload->registry, reply, location, &next, error))
            return false;
        if (next) {
            g_free(upload->url);
            upload->url = next;
        }
        upload->have = blob->size;
    }
    *ret_reply = g_steal_pointer(&reply);
    return true;
}

/* PUT of the blob, or of nothing if all of it is there; @ret_reply: (out): good or bad */
static bool
finish_upload(Upload *upload, VtHttpReply **ret_reply, GError **error)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    const VtStoreBlob *blob = upload->blob;
    g_autofree char *escaped = g_uri_escape_string(blob->digest, NULL, FALSE);
    g_autofree char *url =
        g_strconcat(upload->url, strchr(upload->url, '?') ? "&" : "?", "digest=", escaped, NULL);
    const VtHttpRequest request = {.method = "PUT",
                                   .url = url,
                                   .headers = headers,
                                   .limit = PUSH_ANSWER_MAX,
                                   .body_fd = blob->fd,
                                   .body_offset = upload->have,
                                   .body_size = blob->size - upload->have,
                                   .progress = on_sent,
                                   .progress_user = upload};

    return vt_registry_ask(upload->registry, blob->repository, &request, ret_reply, error);
}

static bool
begin_anew(Upload *upload, VtHttpReply **ret_reply, GError **error)
{
    g_clear_pointer(&upload->url, g_free);
    upload->have = 0;
    return begin_upload(upload->registry, upload->blob, &upload->url, error) &&
           finish_upload(upload, ret_reply, error);
}

/* One attempt: goes on where the one before it was cut, if the registry can */
static bool
upload_once(Upload *upload, VtHttpReply **ret_reply, GError **error)
{
    g_autoptr(VtHttpReply) reply = NULL;

    upload->have = upload->url ? ask_progress(upload->registry, upload->blob, &upload->url) : 0;
    if (upload->have == 0)
        return begin_anew(upload, ret_reply, error);
    if (upload->have < upload->blob->size && !send_rest(upload, &reply, error))
        return false;
    if (upload->have == upload->blob->size)
        return finish_upload(upload, ret_reply, error);
    if (reply && reply->outcome == VT_HTTP_ANSWERED && reply->status >= 400 && reply->status <= 499)
        return begin_anew(upload, ret_reply, error);
    *ret_reply = g_steal_pointer(&reply);
    return true;
}

static bool
upload_all(Upload *upload, GError **error)
{
    VtAttempts attempts = {0};

    for (;;) {
        g_autoptr(VtHttpReply) reply = NULL;
        int pause_ms;

        if (!upload_once(upload, &reply, error))
            return false;
        if (vt_registry_is_success(reply))
            return true;
        if (upload->have >= upload->best + VT_REGISTRY_PROGRESS) {
            upload->best = upload->have;
            attempts = (VtAttempts){0};
        }
        if (!vt_registry_pause(upload->registry, reply, &attempts, &pause_ms, error))
            return false;
        vt_http_pause(upload->registry->http, pause_ms);
    }
}

bool
vt_registry_put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest,
                     GError **error)
{
    Upload upload = {.registry = (VtRegistry *)store, .blob = blob};
    bool has = false;

    if (!vt_registry_has_blob(store, blob->repository, digest, &has, error))
        return false;
    if (!has)
        has = upload_all(&upload, error);
    g_free(upload.url);
    if (has && blob->progress)
        blob->progress(blob->user, blob->size);
    return has;
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
