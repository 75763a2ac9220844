/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store.c: a central store: checks arguments and hands over to the kind of store */
#include "vt-store-ops.h"

#include "vt-fs.h"
#include "vt-mirrored.h"
#include "vt-oci-name.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* One registry, or what rules make of it */
static bool
open_registry(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
              GError **error)
{
    g_autoptr(VtHosts) hosts = options->hosts ? vt_hosts_ref(options->hosts) : NULL;
    VtStoreOptions with_hosts = *options;

    if (!hosts && !vt_hosts_read(url, &hosts, error))
        return false;
    with_hosts.hosts = hosts;
    return (vt_registries_is_empty(hosts->registries) ? vt_registry_open : vt_mirrored_open)(
        url, &with_hosts, ret_store, error);
}

static bool (*const openers[])(const VtStoreUrl *, const VtStoreOptions *, VtStore **,
                               GError **) = {
    [VT_TRANSPORT_OCI] = vt_layout_open,
    [VT_TRANSPORT_DOCKER] = open_registry,
};

bool
vt_store_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
              GError **error)
{
    return openers[url->transport](url, options, ret_store, error);
}

void
vt_store_free(VtStore *store)
{
    if (!store)
        return;
    g_queue_clear_full(&store->ended, (GDestroyNotify)vt_range_free);
    store->ops->free(store);
}

VtSource *
vt_store_source(VtStore *store)
{
    return &store->source;
}

void
vt_store_limit(VtStore *store, unsigned connections, uint64_t rate)
{
    if (store->ops->limit)
        store->ops->limit(store, connections, rate);
}

unsigned
vt_store_connections(const VtStore *store)
{
    return store->connections;
}

bool
vt_store_streams(const VtStore *store)
{
    return store->streams;
}

uint64_t
vt_store_requests(const VtStore *store)
{
    return store->requests;
}

uint64_t
vt_store_retries(const VtStore *store)
{
    return store->retries;
}

/* ---- ranges ---- */

void
vt_range_free(VtRange *range)
{
    g_free(range->repository);
    g_clear_error(&range->error);
    g_free(range);
}

void
vt_store_range_ended(VtStore *store, VtRange *range, GError *error)
{
    range->error = error;
    g_queue_push_tail(&store->ended, range);
}

static bool
check_range(const VtRange *range, const char *digest, GError **error)
{
    uint64_t end;
    VtDigest parsed;

    if (!vt_oci_repository_check(range->repository, error) ||
        !vt_digest_parse(digest, &parsed, error))
        return false;
    if (range->length == 0 || __builtin_add_overflow(range->offset, range->length, &end) ||
        end > range->blob_size)
        return vt_throw(error, VT_ERROR_INVALID,
                        "blob %s has no range of %u bytes at %" G_GUINT64_FORMAT
                        ", only %" G_GUINT64_FORMAT " bytes",
                        digest, range->length, range->offset, range->blob_size);
    return true;
}

void
vt_store_start_range(VtStore *store, const VtStoreRange *request)
{
    VtRange *range = g_new0(VtRange, 1);
    GError *error = NULL;

    range->repository = g_strdup(request->repository);
    range->blob_size = request->blob_size;
    range->offset = request->offset;
    range->length = request->length;
    range->buffer = request->buffer;
    range->done = request->done;
    range->user = request->user;
    range->progress = request->progress;
    range->room = request->room;
    range->sink = request->sink;
    g_assert(!range->sink || (range->room && store->streams));
    if (!check_range(range, request->digest, &error)) {
        vt_store_range_ended(store, range, error);
        return;
    }
    g_strlcpy(range->digest, request->digest, sizeof(range->digest));
    store->ops->read_range(store, range);
}

void
vt_store_dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    if (g_queue_is_empty(&store->ended))
        store->ops->dispatch(store, extra_fd, timeout_ms < 0 ? G_MAXINT : timeout_ms);
    /* Only those that ended by now: a callback may start a range that fails at once */
    for (guint left = g_queue_get_length(&store->ended); left > 0; left--) {
        g_autoptr(VtRange) range = g_queue_pop_head(&store->ended);

        range->done(range->user, range->error);
    }
}

/* ---- writing ---- */

static bool
check_writable(VtStore *store, const char *repository, GError **error)
{
    if (!store->writable)
        return vt_throw(error, VT_ERROR_DENIED, "the store was opened for reading only");
    return vt_oci_repository_check(repository, error);
}

bool
vt_store_has_blob(VtStore *store, const char *repository, const char *digest, bool *ret_has,
                  GError **error)
{
    VtDigest parsed;

    if (!vt_oci_repository_check(repository, error) || !vt_digest_parse(digest, &parsed, error))
        return false;
    return store->ops->has_blob(store, repository, &parsed, ret_has, error);
}

bool
vt_store_blob_begin(VtStore *store, int *ret_fd, GError **error)
{
    if (!store->writable)
        return vt_throw(error, VT_ERROR_DENIED, "the store was opened for reading only");
    return store->ops->blob_begin(store, ret_fd, error);
}

bool
vt_store_put_blob(VtStore *store, const VtStoreBlob *blob, GError **error)
{
    VtDigest digest;
    struct stat st;

    if (!check_writable(store, blob->repository, error) ||
        !vt_digest_parse(blob->digest, &digest, error))
        return false;
    if (fstat(blob->fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the data of blob %s", blob->digest);
    if ((uint64_t)st.st_size != blob->size)
        return vt_throw(error, VT_ERROR_INVALID,
                        "blob %s has %lld bytes, not %" G_GUINT64_FORMAT " as announced",
                        blob->digest, (long long)st.st_size, blob->size);
    return store->ops->put_blob(store, blob, &digest, error);
}

bool
vt_store_put_bytes(VtStore *store, const char *repository, const char *digest, GBytes *bytes,
                   GError **error)
{
    gsize length;
    const void *data = g_bytes_get_data(bytes, &length);
    vt_autofd fd = -1;

    return vt_store_blob_begin(store, &fd, error) &&
           vt_fs_write_all(fd, data, length, digest, error) &&
           vt_store_blob_commit(store, repository, fd, digest, length, NULL, NULL, error);
}

bool
vt_store_put_manifest(VtStore *store, const char *repository, const char *tag,
                      const char *media_type, GBytes *bytes, GError **error)
{
    VtStoreManifest manifest = {repository, tag, media_type, bytes};

    if (!check_writable(store, repository, error) || (tag && !vt_oci_tag_check(tag, error)))
        return false;
    /* It becomes a header field */
    if (!*media_type || strpbrk(media_type, "\r\n"))
        return vt_throw(error, VT_ERROR_INVALID, "the media type of the manifest is malformed");
    if (g_bytes_get_size(bytes) > VT_MANIFEST_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "the manifest for '%s' has %zu bytes; registries take at most %u",
                        repository, g_bytes_get_size(bytes), VT_MANIFEST_MAX);
    return store->ops->put_manifest(store, &manifest, error);
}

bool
vt_store_list_tags(VtStore *store, const char *repository, GPtrArray **ret_tags, GError **error)
{
    if (!vt_oci_repository_check(repository, error))
        return false;
    if (!store->ops->list_tags)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "this kind of store lists no tags");
    return store->ops->list_tags(store, repository, ret_tags, error);
}
