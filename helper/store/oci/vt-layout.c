/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layout.c: reading an OCI image layout directory */
#include "vt-layout.h"

#include "vt-fs.h"
#include "vt-oci-name.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* {"imageLayoutVersion":"1.0.0"} */
#define LAYOUT_FILE_MAX 4096
#define LAYOUT_VERSION  "1.0.0"
/* openat2() gives EAGAIN when something was renamed meanwhile */
#define OPEN_TRIES 16
/* Untagged manifests looked at for a subject: what other tools attached to all templates */
#define SUBJECT_SCAN_MAX 10000
/* And bytes of them: what others attach has a few KiB */
#define SUBJECT_BYTES_MAX (64u << 20)

/* ---- files ---- */

static int
open_beneath(int dir_fd, const char *path, uint64_t flags)
{
    const struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd = -1;

    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

static bool
throw_open(VtLayout *layout, const char *path, GError **error)
{
    int number = errno;

    if (number == ELOOP || number == EXDEV)
        return vt_throw(error, VT_ERROR_INVALID,
                        "'%s/%s' is, or is reached through, a symbolic link; a layout has none",
                        layout->path, path);
    return vt_throw_errno(error, number, "cannot open '%s/%s'", layout->path, path);
}

bool
vt_layout_open_dir(VtLayout *layout, const char *path, int *ret_fd, GError **error)
{
    int fd = open_beneath(layout->dir_fd, path, O_RDONLY | O_DIRECTORY);

    if (fd < 0)
        return throw_open(layout, path, error);
    *ret_fd = fd;
    return true;
}

bool
vt_layout_open_file(VtLayout *layout, const char *path, int *ret_fd, uint64_t *ret_size,
                    GError **error)
{
    vt_autofd fd = open_beneath(layout->dir_fd, path, O_RDONLY);
    struct stat st;

    layout->store.requests++;
    if (fd < 0)
        return throw_open(layout, path, error);
    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s/%s'", layout->path, path);
    if (!S_ISREG(st.st_mode))
        return vt_throw(error, VT_ERROR_INVALID, "'%s/%s' is not a regular file", layout->path,
                        path);
    *ret_fd = vt_steal_fd(&fd);
    *ret_size = (uint64_t)st.st_size;
    return true;
}

static bool
read_file(VtLayout *layout, const char *path, gsize limit, GBytes **ret_bytes, GError **error)
{
    g_autofree char *what = g_strconcat(layout->path, "/", path, NULL);
    g_autofree char *data = NULL;
    vt_autofd fd = -1;
    uint64_t size;

    if (!vt_layout_open_file(layout, path, &fd, &size, error))
        return false;
    if (size > limit)
        return vt_throw(error, VT_ERROR_TOO_LARGE,
                        "'%s' has %" G_GUINT64_FORMAT " bytes, more than %zu", what, size, limit);
    data = g_malloc(size + 1);
    if (!vt_fs_pread_all(fd, data, size, 0, what, error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&data), size);
    return true;
}

static char *
blob_path(const VtDigest *digest)
{
    char hex[VT_DIGEST_STRING_MAX];

    return g_strconcat("blobs/sha256/", vt_digest_hex(digest, hex), NULL);
}

/* ---- documents ---- */

bool
vt_layout_read_index(VtLayout *layout, json_t **ret_index, GError **error)
{
    g_autofree char *what = g_strconcat(layout->path, "/index.json", NULL);
    g_autoptr(GError) local = NULL;
    g_autoptr(GBytes) bytes = NULL;

    if (read_file(layout, "index.json", VT_OCI_INDEX_MAX, &bytes, &local))
        return vt_oci_index_parse(bytes, what, ret_index, error);
    /* Not found would mean: the store is all right and does not have it */
    if (g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND))
        return vt_throw(error, VT_ERROR_INVALID, "the layout is damaged: %s", local->message);
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

bool
vt_layout_read_document(VtLayout *layout, const json_t *descriptor, GBytes **ret_bytes,
                        GError **error)
{
    g_autofree char *path = NULL;
    g_autoptr(GBytes) bytes = NULL;
    VtDigest digest;
    uint64_t size;

    if (!vt_oci_descriptor_read(descriptor, &digest, &size, error))
        return false;
    path = blob_path(&digest);
    if (!read_file(layout, path, VT_MANIFEST_MAX, &bytes, error))
        return false;
    if (g_bytes_get_size(bytes) != size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "'%s/%s' has %zu bytes, but index.json says %" G_GUINT64_FORMAT,
                        layout->path, path, g_bytes_get_size(bytes), size);
    *ret_bytes = g_steal_pointer(&bytes);
    return true;
}

bool
vt_layout_find(const json_t *index, const char *repository, const char *tag,
               const json_t **ret_descriptor, GError **error)
{
    g_autofree char *slash = g_strconcat(repository, "/", tag, NULL);
    g_autofree char *colon = g_strconcat(repository, ":", tag, NULL);
    /* What skopeo users write; and tags of one digest are as good without repository */
    const char *const names[] = {slash, colon, vt_oci_is_digest_tag(tag) ? tag : NULL};

    for (gsize i = 0; i < G_N_ELEMENTS(names) && names[i]; i++) {
        g_autoptr(GError) local = NULL;

        if (vt_oci_index_find(index, names[i], ret_descriptor, &local))
            return true;
        if (!g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&local));
            return false;
        }
    }
    return vt_throw(error, VT_ERROR_NOT_FOUND, "no manifest is named '%s'", slash);
}

static bool
get_tagged(VtLayout *layout, const char *repository, const char *tag, GBytes **ret_bytes,
           GError **error)
{
    const json_t *descriptor = NULL;
    json_t *index = NULL;
    bool ok;

    if (!vt_oci_tag_check(tag, error) || !vt_layout_read_index(layout, &index, error))
        return false;
    ok = vt_layout_find(index, repository, tag, &descriptor, error);
    if (!ok)
        g_prefix_error(error, "layout '%s': ", layout->path);
    ok = ok && vt_layout_read_document(layout, descriptor, ret_bytes, error);
    json_decref(index);
    return ok;
}

static bool
get_blob(VtSource *source, const char *repository, const char *text, gsize limit,
         GBytes **ret_bytes, GError **error)
{
    VtLayout *layout = (VtLayout *)source;
    g_autofree char *path = NULL;
    VtDigest digest;

    if (!vt_oci_repository_check(repository, error) || !vt_digest_parse(text, &digest, error))
        return false;
    path = blob_path(&digest);
    return read_file(layout, path, limit, ret_bytes, error);
}

static bool
get_manifest(VtSource *source, const char *repository, const char *reference, GBytes **ret_bytes,
             GError **error)
{
    if (!vt_oci_repository_check(repository, error))
        return false;
    if (strchr(reference, ':'))
        return get_blob(source, repository, reference, VT_MANIFEST_MAX, ret_bytes, error);
    return get_tagged((VtLayout *)source, repository, reference, ret_bytes, error);
}

/* ---- referrers ---- */

/** Scan: @found: what refers to @digest, in manifests of @added bytes; @read: bytes of all */
typedef struct {
    const VtDigest *digest;
    json_t *found;
    gsize added;
    gsize read;
} Scan;

/* Adds what @descriptor names if its subject is the digest. A manifest that cannot be read is
 * somebody else's trouble: it must not hide the others. */
static void
add_if_refers(VtLayout *layout, const json_t *descriptor, Scan *scan)
{
    const char *type = json_string_value(json_object_get(descriptor, "mediaType"));
    g_autoptr(GBytes) bytes = NULL;
    VtDigest subject;
    json_t *described;
    bool has;

    if (!type || !vt_layout_read_document(layout, descriptor, &bytes, NULL))
        return;
    scan->read += g_bytes_get_size(bytes);
    if (!vt_oci_describe(bytes, type, &described, &has, &subject, NULL))
        return;
    if (has && vt_digest_equal(&subject, scan->digest) && scan->added <= VT_MANIFEST_MAX) {
        scan->added += g_bytes_get_size(bytes);
        vt_oci_index_add(scan->found, described);
    } else {
        json_decref(described);
    }
}

/* oras lists what it attached in index.json without a name */
static void
scan_subjects(VtLayout *layout, const json_t *index, const VtDigest *digest, json_t *found)
{
    const json_t *manifests = json_object_get(index, "manifests");
    Scan scan = {digest, found, 0, 0};
    unsigned scanned = 0;

    for (size_t i = 0; i < json_array_size(manifests) && scanned < SUBJECT_SCAN_MAX &&
                       scan.read < SUBJECT_BYTES_MAX;
         i++) {
        const json_t *entry = json_array_get(manifests, i);

        if (vt_oci_descriptor_ref_name(entry))
            continue;
        add_if_refers(layout, entry, &scan);
        scanned++;
    }
}

static bool
add_fallback(VtLayout *layout, const json_t *index, const char *repository, const VtDigest *digest,
             json_t *found, GError **error)
{
    g_autofree char *tag = vt_oci_fallback_tag(digest);
    const json_t *descriptor = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) local = NULL;
    json_t *listed = NULL;

    if (!vt_layout_find(index, repository, tag, &descriptor, &local)) {
        if (g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND))
            return true;
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    if (!vt_layout_read_document(layout, descriptor, &bytes, error) ||
        !vt_oci_index_parse(bytes, tag, &listed, error))
        return false;
    vt_oci_index_merge(found, listed);
    json_decref(listed);
    return true;
}

static bool
get_referrers(VtSource *source, const char *repository, const char *text, GBytes **ret_bytes,
              GError **error)
{
    VtLayout *layout = (VtLayout *)source;
    json_t *index = NULL, *found;
    VtDigest digest;
    bool ok;

    if (!vt_oci_repository_check(repository, error) || !vt_digest_parse(text, &digest, error) ||
        !vt_layout_read_index(layout, &index, error))
        return false;
    found = vt_oci_index_new();
    ok = add_fallback(layout, index, repository, &digest, found, error);
    if (ok) {
        scan_subjects(layout, index, &digest, found);
        *ret_bytes = vt_json_format(found);
    }
    json_decref(found);
    json_decref(index);
    return ok;
}

/* ---- ranges ---- */

static void
read_range(VtStore *store, VtRange *range)
{
    g_queue_push_tail(&((VtLayout *)store)->pending, range);
}

static bool
open_blob(VtLayout *layout, const VtRange *range, const VtLayoutBlob **ret_blob, GError **error)
{
    VtLayoutBlob *slot = &layout->open[layout->next];
    g_autofree char *path = NULL;
    vt_autofd fd = -1;
    VtDigest digest;
    uint64_t size;

    for (unsigned i = 0; i < VT_LAYOUT_OPEN_MAX; i++) {
        if (g_str_equal(layout->open[i].digest, range->digest)) {
            *ret_blob = &layout->open[i];
            return true;
        }
    }
    if (!vt_digest_parse(range->digest, &digest, error))
        return false;
    path = blob_path(&digest);
    if (!vt_layout_open_file(layout, path, &fd, &size, error))
        return false;
    vt_close_fd(&slot->fd);
    slot->fd = vt_steal_fd(&fd);
    slot->size = size;
    g_strlcpy(slot->digest, range->digest, sizeof(slot->digest));
    layout->next = (layout->next + 1) % VT_LAYOUT_OPEN_MAX;
    *ret_blob = slot;
    return true;
}

static bool
serve_range(VtLayout *layout, const VtRange *range, GError **error)
{
    const VtLayoutBlob *blob = NULL;

    if (!open_blob(layout, range, &blob, error))
        return false;
    if (blob->size != range->blob_size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "blob %s in '%s' has %" G_GUINT64_FORMAT
                        " bytes, but its manifest says %" G_GUINT64_FORMAT,
                        range->digest, layout->path, blob->size, range->blob_size);
    return vt_fs_pread_all(blob->fd, range->buffer, range->length, (off_t)range->offset,
                           range->digest, error);
}

static void
dispatch(VtStore *store, int extra_fd, int timeout_ms)
{
    VtLayout *layout = (VtLayout *)store;
    VtRange *range = g_queue_pop_head(&layout->pending);
    struct pollfd extra = {.fd = extra_fd, .events = POLLIN};
    GError *error = NULL;

    if (!range) {
        poll(&extra, 1, timeout_ms);
        return;
    }
    serve_range(layout, range, &error);
    vt_store_range_ended(store, range, error);
}

/* ---- the store ---- */

static void
layout_free(VtStore *store)
{
    VtLayout *layout = (VtLayout *)store;

    for (unsigned i = 0; i < VT_LAYOUT_OPEN_MAX; i++)
        vt_close_fd(&layout->open[i].fd);
    vt_close_fd(&layout->dir_fd);
    g_queue_clear_full(&layout->pending, (GDestroyNotify)vt_range_free);
    g_free(layout->path);
    g_free(layout);
}

static const VtStoreOps layout_ops = {
    .free = layout_free,
    .read_range = read_range,
    .dispatch = dispatch,
    .has_blob = vt_layout_has_blob,
    .blob_begin = vt_layout_blob_begin,
    .put_blob = vt_layout_put_blob,
    .put_manifest = vt_layout_put_manifest,
};

static bool
check_layout_file(VtLayout *layout, GError **error)
{
    g_autofree char *what = g_strconcat(layout->path, "/oci-layout", NULL);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) local = NULL;
    const char *version = NULL;
    json_t *root = NULL;
    VtJson top;
    bool ok;

    if (!read_file(layout, "oci-layout", LAYOUT_FILE_MAX, &bytes, &local)) {
        g_propagate_error(error, g_steal_pointer(&local));
        g_prefix_error(error,
                       "'%s' is not an OCI layout; make one with 'store init': ", layout->path);
        return false;
    }
    if (!vt_json_parse(bytes, what, LAYOUT_FILE_MAX, &root, error))
        return false;
    top = vt_json_root(root, what);
    ok = vt_json_string(&top, "imageLayoutVersion", &version, error);
    if (ok && !g_str_equal(version, LAYOUT_VERSION))
        ok = vt_throw(error, VT_ERROR_UNSUPPORTED,
                      "'%s': layout version '%.20s'; only " LAYOUT_VERSION " is supported", what,
                      version);
    json_decref(root);
    return ok;
}

static int
open_directory(const VtStoreUrl *url, const VtStoreOptions *options)
{
    if (options->layout_fd >= 0)
        return fcntl(options->layout_fd, F_DUPFD_CLOEXEC, 0);
    return open(url->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool
vt_layout_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
               GError **error)
{
    VtLayout *layout = g_new0(VtLayout, 1);
    g_autoptr(VtStore) store = &layout->store;

    store->ops = &layout_ops;
    store->source.get_manifest = get_manifest;
    store->source.get_blob = get_blob;
    store->source.get_referrers = get_referrers;
    store->writable = options->writable;
    store->connections = 1;
    layout->path = g_strdup(url->path);
    for (unsigned i = 0; i < VT_LAYOUT_OPEN_MAX; i++)
        layout->open[i].fd = -1;
    layout->dir_fd = open_directory(url, options);
    if (layout->dir_fd < 0)
        return vt_throw_errno(error, errno, "cannot open the layout '%s'", layout->path);
    if (!check_layout_file(layout, error))
        return false;
    *ret_store = g_steal_pointer(&store);
    return true;
}
