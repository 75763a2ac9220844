/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-upload.c: what somebody has put into a volume NAME-seed.iso, as the files of a seed */
#include "vt-upload.h"

#include "vt-json.h"
#include "vt-user-data.h"
#include "vt-yaml.h"

#include <archive.h>
#include <archive_entry.h>
#include <libxml/parser.h>
#include <string.h>

/* ECMA-119: the first volume descriptor is in sector 16: "\1CD001" */
#define ISO_MARK_OFFSET (16u * 2048 + 1)
#define ISO_MARK        "CD001"
/* POSIX.1: "ustar" in the header of the first file */
#define TAR_MARK_OFFSET 257u
#define TAR_MARK        "ustar"

#define PATH_PATTERN "^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
#define HOST_PATTERN "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
/* Where Windows Setup looks */
#define ANSWER "Unattend.xml"
/* Hexadecimal digits of the SHA-256 of an upload in its instance-id */
#define ID_DIGITS 16

void
vt_upload_clear(VtUpload *upload)
{
    g_clear_pointer(&upload->files, g_ptr_array_unref);
}

static void
seed_file_free(gpointer data)
{
    VtSeedFile *file = data;

    g_free(file->path);
    g_bytes_unref(file->bytes);
    g_free(file);
}

static void
add_file(GPtrArray *files, const char *path, GBytes *bytes)
{
    VtSeedFile *file = g_new(VtSeedFile, 1);

    *file = (VtSeedFile){g_strdup(path), g_bytes_ref(bytes)};
    g_ptr_array_add(files, file);
}

static const VtSeedFile *
find_file(const GPtrArray *files, const char *prefix, bool whole)
{
    for (guint i = 0; i < files->len; i++) {
        const VtSeedFile *file = files->pdata[i];

        if (whole ? g_str_equal(file->path, prefix) : g_str_has_prefix(file->path, prefix))
            return file;
    }
    return NULL;
}

/* ---- checks of what is known ---- */

static bool
check_yaml(const char *text, const char *what, GError **error)
{
    return vt_yaml_check(text, what, error);
}

/* What cloud-init and cloudbase-init read in a config drive */
static bool
check_json(const char *text, const char *what, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    json_auto_t *root = NULL;

    return vt_json_parse(bytes, what, VT_UPLOAD_MAX, &root, error);
}

static const struct {
    const char *path;
    bool (*check)(const char *text, const char *what, GError **error);
} documents[] = {
    {"user-data", vt_user_data_check},
    {"meta-data", check_yaml},
    {"network-config", check_yaml},
    {"openstack/latest/user_data", vt_user_data_check},
    {"openstack/latest/meta_data.json", check_json},
    {"openstack/latest/network_data.json", check_json},
};

/* Windows Setup says no more than that it cannot read it. It may be in UTF-16 */
static bool
check_answer(const VtSeedFile *file, GError **error)
{
    gsize size;
    const char *data = g_bytes_get_data(file->bytes, &size);
    const xmlError *reason;
    xmlDoc *document;

    if (size == 0)
        return vt_throw(error, VT_ERROR_INVALID, "%s is empty", file->path);
    document = xmlReadMemory(data, (int)size, NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    reason = xmlGetLastError();
    if (!document)
        return vt_throw(error, VT_ERROR_INVALID, "%s: line %d: not well-formed XML", file->path,
                        reason ? reason->line : 1);
    xmlFreeDoc(document);
    return true;
}

static bool
check_document(const VtSeedFile *file, GError **error)
{
    if (g_str_equal(file->path, ANSWER))
        return check_answer(file, error);
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        gsize size;
        const char *data = g_bytes_get_data(file->bytes, &size);
        g_autofree char *text = NULL;

        if (!g_str_equal(documents[i].path, file->path))
            continue;
        if (size > 0 && memchr(data, '\0', size))
            return vt_throw(error, VT_ERROR_INVALID, "%s has a NUL byte", file->path);
        text = g_strndup(data, size);
        return documents[i].check(text, file->path, error);
    }
    return true;
}

/* ---- the two forms ---- */

static bool
throw_archive(struct archive *archive, GError **error)
{
    const char *problem = archive_error_string(archive);

    return vt_throw(error, VT_ERROR_INVALID, "the archive cannot be read: %s",
                    problem ? problem : "unknown error");
}

static bool
read_entry(struct archive *archive, struct archive_entry *entry, GPtrArray *files, GError **error)
{
    const char *path = archive_entry_pathname(entry);
    const la_int64_t size = archive_entry_size(entry);
    g_autofree char *shown = vt_json_shown(path ? path : "");
    g_autoptr(GBytes) bytes = NULL;
    char *data;

    while (path && g_str_has_prefix(path, "./"))
        path += 2;
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return true;
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' in the archive is no regular file", shown);
    if (!path || !g_regex_match_simple(PATH_PATTERN, path, G_REGEX_DOLLAR_ENDONLY, 0))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' in the archive is not a plain relative path",
                        shown);
    if (files->len == VT_UPLOAD_FILES_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "the archive has more than %d files",
                        VT_UPLOAD_FILES_MAX);
    if (size < 0 || size > VT_UPLOAD_MAX)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "'%s' in the archive has more than %u bytes",
                        shown, VT_UPLOAD_MAX);
    data = g_malloc((gsize)size + 1);
    bytes = g_bytes_new_take(data, (gsize)size);
    if (archive_read_data(archive, data, (size_t)size) != size)
        return throw_archive(archive, error);
    if (find_file(files, path, true))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' is in the archive twice", shown);
    add_file(files, path, bytes);
    return check_document(files->pdata[files->len - 1], error);
}

static bool
read_entries(struct archive *archive, GPtrArray *files, GError **error)
{
    struct archive_entry *entry;
    int status;

    while ((status = archive_read_next_header(archive, &entry)) == ARCHIVE_OK) {
        if (!read_entry(archive, entry, files, error))
            return false;
    }
    return status == ARCHIVE_EOF || throw_archive(archive, error);
}

static bool
read_archive(GBytes *bytes, GPtrArray *files, GError **error)
{
    struct archive *archive = archive_read_new();
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    bool ok;

    archive_read_support_format_tar(archive);
    ok = archive_read_open_memory(archive, data, size) == ARCHIVE_OK
             ? read_entries(archive, files, error)
             : throw_archive(archive, error);
    archive_read_free(archive);
    return ok;
}

/* ---- meta-data ---- */

/* {"instance-id":"web1-0123456789abcdef","local-hostname":"web1"} */
static GBytes *
make_meta_data(const char *name, GBytes *bytes)
{
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, bytes);
    g_autofree char *host = g_strndup(name, strlen(name) - strlen(VT_SEED_SUFFIX));
    g_autofree char *id = g_strdup_printf("%s-%.*s", host, ID_DIGITS, sum);
    json_auto_t *meta = json_object();

    vt_json_set_string(meta, "instance-id", id);
    if (g_regex_match_simple(HOST_PATTERN, host, G_REGEX_DOLLAR_ENDONLY, 0))
        vt_json_set_string(meta, "local-hostname", host);
    return vt_json_format(meta);
}

static bool
complete(const char *name, GBytes *bytes, VtUpload *upload, GError **error)
{
    if (find_file(upload->files, "openstack/", false)) {
        upload->label = "config-2";
        return true;
    }
    if (find_file(upload->files, "user-data", true) ||
        find_file(upload->files, "meta-data", true)) {
        g_autoptr(GBytes) meta = make_meta_data(name, bytes), empty = g_bytes_new_static("", 0);

        if (!find_file(upload->files, "meta-data", true))
            add_file(upload->files, "meta-data", meta);
        if (!find_file(upload->files, "user-data", true))
            add_file(upload->files, "user-data", empty);
        upload->label = "CIDATA";
        return true;
    }
    upload->label = "UNATTEND";
    return find_file(upload->files, ANSWER, true) ||
           vt_throw(error, VT_ERROR_INVALID,
                    "the archive has neither 'user-data', 'meta-data', 'openstack/...' nor "
                    "'" ANSWER "'");
}

static bool
has_mark(const char *data, gsize size, gsize offset, const char *mark)
{
    return size >= offset + strlen(mark) && memcmp(data + offset, mark, strlen(mark)) == 0;
}

/* A volume is as large as it was made, whatever was put into it */
static gsize
used_size(const char *data, gsize size)
{
    while (size > 0 && data[size - 1] == '\0')
        size--;
    return size;
}

bool
vt_upload_read(const char *name, GBytes *bytes, VtUpload *ret_upload, GError **error)
{
    g_auto(VtUpload) upload = {.files = g_ptr_array_new_with_free_func(seed_file_free)};
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);
    const gsize used = data ? used_size(data, size) : 0;
    g_autoptr(GBytes) content = g_bytes_new_from_bytes(bytes, 0, used);

    if (used == 0 || has_mark(data, size, ISO_MARK_OFFSET, ISO_MARK))
        return true;
    if (has_mark(data, used, TAR_MARK_OFFSET, TAR_MARK)) {
        if (!read_archive(bytes, upload.files, error))
            return false;
    } else {
        add_file(upload.files, "user-data", content);
        if (!check_document(upload.files->pdata[0], error)) {
            g_prefix_error(error, "neither an ISO image nor a tar archive, and as user-data: ");
            return false;
        }
    }
    if (!complete(name, content, &upload, error))
        return false;
    *ret_upload = upload;
    upload.files = NULL;
    return true;
}
