/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-initramfs.c: archives of cpio "newc" for a kernel, made with libarchive */
#include "vtc-initramfs.h"

#include "vt-fs.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What is read of a compressed file at once */
#define CHUNK 65536

struct VtcInitramfs {
    struct archive *archive;
    int fd;
    int status;
};

static bool
throw_archive(struct archive *archive, const char *what, GError **error)
{
    const char *reason = archive_error_string(archive);

    return vt_throw(error, VT_ERROR_FAILED, "%s: %s", what, reason ? reason : "libarchive failed");
}

VtcInitramfs *
vtc_initramfs_new(void)
{
    VtcInitramfs *self = g_new0(VtcInitramfs, 1);

    self->fd = memfd_create("initramfs", MFD_CLOEXEC);
    self->archive = archive_write_new();
    archive_write_set_format_cpio_newc(self->archive);
    archive_write_add_filter_none(self->archive);
    self->status = archive_write_open_fd(self->archive, self->fd);
    return self;
}

void
vtc_initramfs_free(VtcInitramfs *self)
{
    archive_write_free(self->archive);
    vt_close_fd(&self->fd);
    g_free(self);
}

static bool
add(VtcInitramfs *self, const char *name, mode_t type, GBytes *bytes, GError **error)
{
    struct archive_entry *entry = archive_entry_new();
    gsize length = 0;
    const void *data = bytes ? g_bytes_get_data(bytes, &length) : NULL;
    bool ok;

    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, type);
    archive_entry_set_perm(entry, 0755);
    archive_entry_set_size(entry, (gint64)length);
    ok = self->fd >= 0 && self->status == ARCHIVE_OK &&
         archive_write_header(self->archive, entry) == ARCHIVE_OK &&
         (length == 0 || archive_write_data(self->archive, data, length) == (la_ssize_t)length);
    archive_entry_free(entry);
    return ok || throw_archive(self->archive, name, error);
}

bool
vtc_initramfs_add_folder(VtcInitramfs *self, const char *name, GError **error)
{
    return add(self, name, AE_IFDIR, NULL, error);
}

bool
vtc_initramfs_add(VtcInitramfs *self, const char *name, GBytes *bytes, GError **error)
{
    return add(self, name, AE_IFREG, bytes, error);
}

bool
vtc_initramfs_finish(VtcInitramfs *self, int *ret_fd, GError **error)
{
    if (archive_write_close(self->archive) != ARCHIVE_OK)
        return throw_archive(self->archive, "the guest's files", error);
    *ret_fd = vt_steal_fd(&self->fd);
    return true;
}

/* ---- files that may be compressed ---- */

static bool
read_chunks(struct archive *archive, const char *path, size_t limit, GByteArray *unpacked,
            GError **error)
{
    g_autofree uint8_t *chunk = g_malloc(CHUNK);
    la_ssize_t n;

    while ((n = archive_read_data(archive, chunk, CHUNK)) > 0) {
        if ((size_t)n > limit - unpacked->len)
            return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' has more than %zu bytes", path, limit);
        g_byte_array_append(unpacked, chunk, (guint)n);
    }
    return n == 0 || throw_archive(archive, path, error);
}

bool
vtc_initramfs_unpacked(const char *path, size_t limit, GBytes **ret_bytes, GError **error)
{
    struct archive *archive = archive_read_new();
    g_autoptr(GByteArray) unpacked = g_byte_array_new();
    struct archive_entry *entry = NULL;
    bool ok;

    archive_read_support_filter_all(archive);
    archive_read_support_format_raw(archive);
    ok = archive_read_open_filename(archive, path, CHUNK) == ARCHIVE_OK &&
         archive_read_next_header(archive, &entry) == ARCHIVE_OK;
    if (!ok)
        throw_archive(archive, path, error);
    ok = ok && read_chunks(archive, path, limit, unpacked, error);
    archive_read_free(archive);
    if (ok)
        *ret_bytes = g_byte_array_free_to_bytes(g_steal_pointer(&unpacked));
    return ok;
}
