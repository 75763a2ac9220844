/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-layout-write.c: adding to an OCI image layout directory */
#include "vt-layout.h"

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-oci-name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

/* index.json is replaced by rename, so it cannot carry the lock itself. Other tools ignore files
 * that they do not know; they take no lock, either. */
#define LOCK_FILE ".virt-template.lock"
/* A writer holds the lock for some milliseconds */
#define LOCK_TRIES     100
#define LOCK_WAIT_US   100000
#define FILE_MODE      0644
#define DIRECTORY_MODE 0755

/* ---- blobs ---- */

/* Whether blobs/sha256/@hex is there; a blob of another size than @size is an error */
static bool
check_existing(VtLayout *layout, int blobs_fd, const char *hex, uint64_t size, GError **error)
{
    struct stat st;

    if (fstatat(blobs_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot stat blob '%s' in '%s'", hex, layout->path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "'%s/blobs/sha256/%s' is damaged: it is not a file of %" G_GUINT64_FORMAT
                        " bytes; remove it and try again",
                        layout->path, hex, size);
    return true;
}

bool
vt_layout_has_blob(VtStore *store, const char *repository, const VtDigest *digest, bool *ret_has,
                   GError **error)
{
    VtLayout *layout = (VtLayout *)store;
    char hex[VT_DIGEST_STRING_MAX];
    g_autofree char *path = g_strconcat("blobs/sha256/", vt_digest_hex(digest, hex), NULL);
    g_autoptr(GError) local = NULL;
    vt_autofd fd = -1;
    uint64_t size;
    bool has = vt_layout_open_file(layout, path, &fd, &size, &local);

    if (!has && !g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    *ret_has = has;
    return true;
}

bool
vt_layout_blob_begin(VtStore *store, int *ret_fd, GError **error)
{
    VtLayout *layout = (VtLayout *)store;
    vt_autofd blobs_fd = -1;

    return vt_layout_open_dir(layout, "blobs/sha256", &blobs_fd, error) &&
           vt_fs_tmpfile(blobs_fd, FILE_MODE, ret_fd, error);
}

bool
vt_layout_put_blob(VtStore *store, const VtStoreBlob *blob, const VtDigest *digest, GError **error)
{
    VtLayout *layout = (VtLayout *)store;
    g_autoptr(GError) local = NULL;
    char hex[VT_DIGEST_STRING_MAX];
    vt_autofd blobs_fd = -1;

    vt_digest_hex(digest, hex);
    if (!vt_layout_open_dir(layout, "blobs/sha256", &blobs_fd, error))
        return false;
    if (!vt_fs_link_tmpfile(blob->fd, blobs_fd, hex, &local)) {
        if (g_error_matches(local, VT_ERROR, VT_ERROR_EXISTS))
            return check_existing(layout, blobs_fd, hex, blob->size, error);
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    if (blob->progress)
        blob->progress(blob->user, blob->size);
    return true;
}

/* Writes a document as a blob */
static bool
put_document(VtLayout *layout, GBytes *bytes, VtDigest *ret_digest, GError **error)
{
    g_autofree char *hex = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, bytes);
    g_autofree char *text = g_strconcat(VT_DIGEST_PREFIX, hex, NULL);
    VtStoreBlob blob = {.digest = text, .size = g_bytes_get_size(bytes)};
    VtDigest digest;
    vt_autofd fd = -1;

    if (!vt_digest_parse(text, &digest, error) ||
        !vt_layout_blob_begin(&layout->store, &fd, error) ||
        !vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), blob.size, text, error))
        return false;
    blob.fd = fd;
    if (!vt_layout_put_blob(&layout->store, &blob, &digest, error))
        return false;
    *ret_digest = digest;
    return true;
}

/* ---- index.json ---- */

static bool
lock_layout(VtLayout *layout, int dir_fd, int *ret_fd, GError **error)
{
    vt_autofd fd = openat(dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                          FILE_MODE);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/" LOCK_FILE "'", layout->path);
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            *ret_fd = vt_steal_fd(&fd);
            return true;
        }
        if (errno != EWOULDBLOCK && errno != EINTR)
            return vt_throw_errno(error, errno, "cannot lock '%s'", layout->path);
        g_usleep(LOCK_WAIT_US);
    }
    return vt_throw(error, VT_ERROR_BUSY,
                    "layout '%s' is being written by another process; try again", layout->path);
}

/* The fallback tag's index, with @descriptor (transfer none) added */
static bool
list_referrer(VtLayout *layout, json_t *index, const VtStoreManifest *manifest,
              const VtDigest *subject, json_t *descriptor, GError **error)
{
    g_autofree char *tag = vt_oci_fallback_tag(subject);
    g_autofree char *name = g_strconcat(manifest->repository, "/", tag, NULL);
    g_autoptr(GBytes) old = NULL, bytes = NULL;
    const json_t *listed = NULL;
    json_t *referrers = NULL;
    VtDigest digest;
    bool ok = true;

    if (!vt_oci_index_find(index, name, &listed, NULL))
        referrers = vt_oci_index_new();
    else if (!vt_layout_read_document(layout, listed, &old, error) ||
             !vt_oci_index_parse(old, tag, &referrers, error))
        return false;
    if (vt_oci_index_add(referrers, json_deep_copy(descriptor))) {
        bytes = vt_json_format(referrers);
        ok = put_document(layout, bytes, &digest, error);
        if (ok)
            vt_oci_index_tag(
                index, name,
                vt_oci_descriptor_new(VT_OCI_INDEX_TYPE, &digest, g_bytes_get_size(bytes), NULL));
    }
    json_decref(referrers);
    return ok;
}

/* An index entry for the manifest itself; its annotations stay in the manifest */
static void
tag_manifest(json_t *index, const VtStoreManifest *manifest, const json_t *descriptor)
{
    g_autofree char *name = g_strconcat(manifest->repository, "/", manifest->tag, NULL);
    json_t *entry = json_deep_copy(descriptor);

    json_object_del(entry, "annotations");
    vt_oci_index_tag(index, name, entry);
}

static bool
update_index(VtLayout *layout, const VtStoreManifest *manifest, const VtDigest *subject,
             json_t *descriptor, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    vt_autofd dir_fd = -1, lock_fd = -1;
    json_t *index = NULL;
    bool ok = true;

    if (!vt_layout_open_dir(layout, ".", &dir_fd, error) ||
        !lock_layout(layout, dir_fd, &lock_fd, error) ||
        !vt_layout_read_index(layout, &index, error))
        return false;
    /* Of one who was interrupted; others wait for the lock */
    vt_fs_sweep(dir_fd);
    if (manifest->tag)
        tag_manifest(index, manifest, descriptor);
    if (subject)
        ok = list_referrer(layout, index, manifest, subject, descriptor, error);
    bytes = vt_json_format(index);
    if (ok && g_bytes_get_size(bytes) > VT_OCI_INDEX_MAX)
        ok =
            vt_throw(error, VT_ERROR_TOO_LARGE, "the index.json of '%s' would grow beyond %u bytes",
                     layout->path, VT_OCI_INDEX_MAX);
    ok = ok && vt_fs_replace(dir_fd, "index.json", bytes, FILE_MODE, error);
    json_decref(index);
    return ok;
}

bool
vt_layout_put_manifest(VtStore *store, const VtStoreManifest *manifest, GError **error)
{
    VtLayout *layout = (VtLayout *)store;
    json_t *descriptor = NULL;
    VtDigest digest, subject;
    bool has_subject, ok = true;

    if (!vt_oci_describe(manifest->bytes, manifest->media_type, &descriptor, &has_subject, &subject,
                         error))
        return false;
    ok = put_document(layout, manifest->bytes, &digest, error);
    if (ok && (manifest->tag || has_subject))
        ok = update_index(layout, manifest, has_subject ? &subject : NULL, descriptor, error);
    json_decref(descriptor);
    return ok;
}

/* ---- a new layout ---- */

/* Refuses a directory that holds anything but the beginnings of a layout */
static bool
check_empty(const char *path, GError **error)
{
    static const char *const known[] = {"blobs", "index.json", LOCK_FILE, NULL};
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_strv_contains(known, name))
            return vt_throw(error, VT_ERROR_EXISTS,
                            "'%s' has other content ('%s') and is not an OCI layout; name an empty "
                            "or new directory",
                            path, name);
    }
    return true;
}

static bool
put_file(int dir_fd, const char *name, GBytes *bytes, GError **error)
{
    if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    return vt_fs_replace(dir_fd, name, bytes, FILE_MODE, error);
}

bool
vt_store_create_layout(const char *path, GError **error)
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    g_autofree char *blobs = g_build_filename(path, "blobs", "sha256", NULL);
    g_autofree char *file = g_build_filename(path, "oci-layout", NULL);
    g_autoptr(GBytes) layout = g_bytes_new_static(version, strlen(version)), index = NULL;
    vt_autofd dir_fd = -1;
    json_t *empty;

    if (faccessat(AT_FDCWD, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return true;
    if (!check_empty(path, error))
        return false;
    if (g_mkdir_with_parents(blobs, DIRECTORY_MODE) < 0)
        return vt_throw_errno(error, errno, "cannot make '%s'", blobs);
    dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", path);
    empty = vt_oci_index_new();
    index = vt_json_format(empty);
    json_decref(empty);
    /* oci-layout last: with it, the rest is there */
    return put_file(dir_fd, "index.json", index, error) &&
           put_file(dir_fd, "oci-layout", layout, error);
}
