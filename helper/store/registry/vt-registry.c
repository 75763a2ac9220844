/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry.c: reading the documents of an OCI registry (distribution-spec 1.1) */
#include "vt-registry.h"

#include "vt-auth-file.h"
#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-oci-index.h"
#include "vt-oci-name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* At the least one referrer in each; a list without end must end */
#define REFERRER_PAGES_MAX 64
/* As many as an answer has room for */
#define REFERRERS_MAX (VT_MANIFEST_MAX / 256)

static const char *const manifest_accept[] = {
    "Accept: " VT_OCI_MANIFEST_TYPE ", " VT_OCI_INDEX_TYPE
    ", application/vnd.docker.distribution.manifest.v2+json"
    ", application/vnd.docker.distribution.manifest.list.v2+json",
    NULL};

static bool
get_bytes(VtRegistry *registry, const char *repository, const VtHttpRequest *request,
          GBytes **ret_bytes, GError **error)
{
    g_autoptr(VtHttpReply) reply = NULL;

    if (!vt_registry_send(registry, repository, request, &reply, error))
        return false;
    *ret_bytes = g_byte_array_free_to_bytes(g_steal_pointer(&reply->body));
    return true;
}

static bool
get_manifest(VtSource *source, const char *repository, const char *reference, GBytes **ret_bytes,
             GError **error)
{
    g_autofree char *path = NULL;
    VtHttpRequest request = {.method = "GET",
                             .headers = manifest_accept,
                             .limit = VT_MANIFEST_MAX,
                             .follow = true,
                             .body_fd = -1};

    if (!vt_oci_repository_check(repository, error) || !vt_oci_reference_check(reference, error))
        return false;
    path = g_strconcat("/v2/", repository, "/manifests/", reference, NULL);
    request.url = path;
    return get_bytes((VtRegistry *)source, repository, &request, ret_bytes, error);
}

static bool
get_blob(VtSource *source, const char *repository, const char *text, gsize limit,
         GBytes **ret_bytes, GError **error)
{
    g_autofree char *path = NULL;
    VtHttpRequest request = {.method = "GET", .limit = limit, .follow = true, .body_fd = -1};
    VtDigest digest;

    if (!vt_oci_repository_check(repository, error) || !vt_digest_parse(text, &digest, error))
        return false;
    path = g_strconcat("/v2/", repository, "/blobs/", text, NULL);
    request.url = path;
    return get_bytes((VtRegistry *)source, repository, &request, ret_bytes, error);
}

/* ---- referrers ---- */

static bool
is_not_there(const GError *error)
{
    return g_error_matches(error, VT_ERROR, VT_ERROR_NOT_FOUND) ||
           g_error_matches(error, VT_ERROR, VT_ERROR_UNSUPPORTED);
}

static bool
add_index(json_t *found, GBytes *bytes, const char *what, GError **error)
{
    json_t *index = NULL;

    if (!vt_oci_index_parse(bytes, what, &index, error))
        return false;
    vt_oci_index_merge(found, index);
    json_decref(index);
    return json_array_size(json_object_get(found, "manifests")) <= REFERRERS_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE, "%s: more than %u referrers", what, REFERRERS_MAX);
}

static bool
is_index(const VtHttpReply *reply)
{
    const char *type = vt_http_reply_header(reply, "content-type");

    return type && g_str_has_prefix(type, VT_OCI_INDEX_TYPE);
}

/** Listing: @url: (nullable): of the next page; @found: what was listed so far, in @bytes */
typedef struct {
    VtRegistry *registry;
    const char *repository;
    char *url;
    json_t *found;
    gsize bytes;
} Listing;

/* One page. All together have no more bytes than a manifest may have: so large is the answer */
static bool
add_page(Listing *listing, GError **error)
{
    static const char *const accept[] = {"Accept: " VT_OCI_INDEX_TYPE, NULL};
    g_autofree char *path = g_steal_pointer(&listing->url);
    g_autoptr(VtHttpReply) reply = NULL;
    g_autoptr(GBytes) bytes = NULL;
    const VtHttpRequest request = {.method = "GET",
                                   .url = path,
                                   .headers = accept,
                                   .limit = VT_MANIFEST_MAX,
                                   .follow = true,
                                   .body_fd = -1};

    if (!vt_registry_send(listing->registry, listing->repository, &request, &reply, error))
        return false;
    /* Front pages answer everything with 200 */
    if (!is_index(reply))
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "%s: not an image index", reply->url);
    listing->bytes += reply->body->len;
    if (listing->bytes > VT_MANIFEST_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s: the referrers have more than %u bytes",
                        reply->url, VT_MANIFEST_MAX);
    bytes = g_bytes_new(reply->body->data, reply->body->len);
    return add_index(listing->found, bytes, reply->url, error) &&
           vt_registry_next_page(listing->registry, reply, &listing->url, error);
}

static bool
add_listed(VtRegistry *registry, const char *repository, const char *digest, json_t *found,
           GError **error)
{
    Listing listing = {.registry = registry,
                       .repository = repository,
                       .url = g_strconcat("/v2/", repository, "/referrers/", digest, NULL),
                       .found = found};
    g_autoptr(GError) local = NULL;
    unsigned page = 0;

    while (listing.url && page < REFERRER_PAGES_MAX && add_page(&listing, &local))
        page++;
    if (listing.url && page == REFERRER_PAGES_MAX)
        vt_throw(&local, VT_ERROR_TOO_LARGE, "'%s' has more than %d pages of referrers of %s",
                 repository, REFERRER_PAGES_MAX, digest);
    g_free(listing.url);
    if (!local || (page == 0 && is_not_there(local)))
        return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

/* Also where the API is there: what was pushed before it came may stand in the tag only */
static bool
add_fallback(VtSource *source, const char *repository, const VtDigest *digest, json_t *found,
             GError **error)
{
    g_autofree char *tag = vt_oci_fallback_tag(digest);
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (get_manifest(source, repository, tag, &bytes, &local))
        return add_index(found, bytes, tag, error);
    if (is_not_there(local))
        return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

static bool
get_referrers(VtSource *source, const char *repository, const char *text, GBytes **ret_bytes,
              GError **error)
{
    json_t *found;
    VtDigest digest;
    bool ok;

    if (!vt_oci_repository_check(repository, error) || !vt_digest_parse(text, &digest, error))
        return false;
    found = vt_oci_index_new();
    ok = add_listed((VtRegistry *)source, repository, text, found, error) &&
         add_fallback(source, repository, &digest, found, error);
    if (ok)
        *ret_bytes = vt_json_format(found);
    json_decref(found);
    return ok;
}

/* ---- the store ---- */

static void
registry_free(VtStore *store)
{
    VtRegistry *registry = (VtRegistry *)store;

    vt_http_free(registry->http);
    g_clear_pointer(&registry->ranges, vt_range_queue_free);
    g_clear_pointer(&registry->authorizations, g_hash_table_unref);
    g_clear_pointer(&registry->auth_file, g_bytes_unref);
    g_free(registry->host);
    g_free(registry);
}

static const VtStoreOps registry_ops = {
    .free = registry_free,
    .read_range = vt_registry_read_range,
    .dispatch = vt_registry_dispatch,
    .limit = vt_registry_limit,
    .has_blob = vt_registry_has_blob,
    .blob_begin = vt_registry_blob_begin,
    .put_blob = vt_registry_put_blob,
    .mount_blob = vt_registry_mount_blob,
    .list_tags = vt_registry_list_tags,
    .put_manifest = vt_registry_put_manifest,
};

/* The user's own choice: it may be a symbolic link, or a /proc/self/fd of a worker */
static bool
read_auth_file(const char *path, GBytes **ret_bytes, GError **error)
{
    vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    g_autofree char *data = NULL;
    struct stat st;

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open the auth file '%s'", path);
    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the auth file '%s'", path);
    if (!S_ISREG(st.st_mode) || st.st_size > VT_AUTH_FILE_MAX)
        return vt_throw(error, VT_ERROR_INVALID,
                        "the auth file '%s' is not a regular file of at most %u bytes", path,
                        VT_AUTH_FILE_MAX);
    data = g_malloc((gsize)st.st_size + 1);
    if (!vt_fs_pread_all(fd, data, (gsize)st.st_size, 0, path, error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&data), (gsize)st.st_size);
    return true;
}

bool
vt_registry_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                 GError **error)
{
    const VtHttpOptions http = {url->host, options->insecure, options->ca_file, options->patience_s,
                                options->hosts};
    VtRegistry *registry = g_new0(VtRegistry, 1);
    g_autoptr(VtStore) store = &registry->store;

    store->ops = &registry_ops;
    store->source.get_manifest = get_manifest;
    store->source.get_blob = get_blob;
    store->source.get_referrers = get_referrers;
    store->writable = options->writable;
    store->streams = true;
    store->connections = VT_HTTP_CONNECTIONS;
    registry->tries = options->tries > 0 ? options->tries : VT_REGISTRY_TRIES;
    registry->host = g_strdup(url->host);
    registry->ranges = vt_range_queue_new();
    registry->authorizations = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                     (GDestroyNotify)vt_authorization_free);
    if (options->auth_file && !read_auth_file(options->auth_file, &registry->auth_file, error))
        return false;
    if (!vt_http_new(&http, &registry->http, error))
        return false;
    *ret_store = g_steal_pointer(&store);
    return true;
}
