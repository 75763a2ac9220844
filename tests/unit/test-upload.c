/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-upload.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#define NAME "web1-seed.iso"

static bool
read_text(const char *text, gsize zeros, VtUpload *ret, GError **error)
{
    const gsize size = strlen(text) + zeros;
    char *data = g_malloc0(size + 1);
    g_autoptr(GBytes) bytes = NULL;

    memcpy(data, text, strlen(text));
    bytes = g_bytes_new_take(data, size);
    return vt_upload_read(NAME, bytes, ret, error);
}

static void
assert_file(const VtUpload *upload, const char *path, const char *text)
{
    for (guint i = 0; i < upload->files->len; i++) {
        const VtSeedFile *file = upload->files->pdata[i];
        gsize size;
        const char *data = g_bytes_get_data(file->bytes, &size);

        if (g_str_equal(file->path, path)) {
            g_assert_cmpmem(data, size, text, strlen(text));
            return;
        }
    }
    g_error("no file '%s'", path);
}

static void
test_user_data(void)
{
    static const char *const texts[] = {"#cloud-config\na: 1\n", "#!/bin/sh\n", "#include\nx\n"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        for (gsize zeros = 0; zeros <= 40000; zeros += 20000) {
            g_auto(VtUpload) upload = {0};
            g_autoptr(GError) error = NULL;

            g_assert_true(read_text(texts[i], zeros, &upload, &error));
            g_assert_no_error(error);
            g_assert_cmpstr(upload.label, ==, "CIDATA");
            g_assert_cmpuint(upload.files->len, ==, 2);
            assert_file(&upload, "user-data", texts[i]);
        }
    }
}

/* Equal for equal uploads, another one for others; only what can be a host name is one */
static void
test_meta_data(void)
{
    static const char text[] = "#cloud-config\na: 1\n";
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, strlen(text));
    g_auto(VtUpload) one = {0}, two = {0};
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_upload_read(NAME, bytes, &one, &error));
    g_assert_true(vt_upload_read("a_b-seed.iso", bytes, &two, &error));
    assert_file(&one, "meta-data",
                "{\"instance-id\":\"web1-2f3f73e3a8ff3552\",\"local-hostname\":\"web1\"}");
    assert_file(&two, "meta-data", "{\"instance-id\":\"a_b-2f3f73e3a8ff3552\"}");
}

static void
test_nothing(void)
{
    g_autofree char *iso = g_malloc0(40000);
    g_autoptr(GBytes) image = NULL;
    g_auto(VtUpload) upload = {0};
    g_autoptr(GError) error = NULL;

    memcpy(iso, "#!", 2);
    memcpy(iso + 32768, "\1CD001", 6);
    image = g_bytes_new(iso, 40000);
    g_assert_true(vt_upload_read(NAME, image, &upload, &error));
    g_assert_null(upload.label);
    g_assert_true(read_text("", 0, &upload, &error));
    g_assert_null(upload.label);
    g_assert_true(read_text("", 70000, &upload, &error));
    g_assert_null(upload.label);
}

static const struct {
    const char *text, *message;
} bad[] = {
    {"hello", "as user-data: user-data does not begin with"},
    {" #cloud-config\n", "does not begin with"},
    {"#cloud-config\n- a\n", "user-data: line 2: not a mapping"},
    {"#cloud-config\na: &x [*x]\n", "an alias of what is not there"},
    {"\xff\xfe", "does not begin with"},
};

static void
test_refuse(void)
{
    static const char nul[] = "#!/bin/sh\n\0x";
    g_autoptr(GBytes) bytes = g_bytes_new_static(nul, sizeof(nul));
    g_auto(VtUpload) none = {0};
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_auto(VtUpload) upload = {0};
        g_autoptr(GError) refused = NULL;

        g_assert_false(read_text(bad[i].text, 100, &upload, &refused));
        g_assert_null(upload.files);
        g_assert_nonnull(strstr(refused->message, bad[i].message));
    }
    g_assert_false(vt_upload_read(NAME, bytes, &none, &error));
    g_assert_nonnull(strstr(error->message, "user-data has a NUL byte"));
}

/* ---- archives ---- */

#define SCRIPT "#!/bin/sh\n"
/* One more than are allowed */
#define TOO_MANY 33

/* link: of a hard link; or what type says */
typedef struct {
    const char *path;
    const char *text;
    const char *link;
    mode_t type;
} Entry;

static void
add_entry(struct archive *archive, const Entry *entry)
{
    struct archive_entry *header = archive_entry_new();
    const gsize size = entry->text ? strlen(entry->text) : 0;

    archive_entry_set_pathname(header, entry->path);
    archive_entry_set_filetype(header, entry->type ? entry->type : AE_IFREG);
    archive_entry_set_perm(header, 0644);
    archive_entry_set_size(header, (gint64)size);
    if (entry->link)
        archive_entry_set_hardlink(header, entry->link);
    g_assert_cmpint(archive_write_header(archive, header), ==, ARCHIVE_OK);
    if (size > 0)
        g_assert_cmpint(archive_write_data(archive, entry->text, size), ==, size);
    archive_entry_free(header);
}

static bool
read_archive(const Entry *entries, VtUpload *ret, GError **error)
{
    struct archive *archive = archive_write_new();
    char *data = g_malloc(1 << 20);
    g_autoptr(GBytes) bytes = NULL;
    size_t used = 0;

    archive_write_set_format_pax_restricted(archive);
    g_assert_cmpint(archive_write_open_memory(archive, data, 1 << 20, &used), ==, ARCHIVE_OK);
    for (; entries->path; entries++)
        add_entry(archive, entries);
    g_assert_cmpint(archive_write_close(archive), ==, ARCHIVE_OK);
    archive_write_free(archive);
    bytes = g_bytes_new_take(data, used);
    return vt_upload_read(NAME, bytes, ret, error);
}

static const struct {
    const char *label;
    Entry entries[4];
} archives[] = {
    {"CIDATA", {{"./user-data", SCRIPT, NULL, 0}, {"a/b/c", "x", NULL, 0}}},
    {"CIDATA", {{"meta-data", "a: 1\n", NULL, 0}, {"network-config", "version: 2\n", NULL, 0}}},
    {"config-2",
     {{"openstack", NULL, NULL, AE_IFDIR},
      {"openstack/latest/meta_data.json", "{}", NULL, 0},
      {"openstack/latest/user_data", SCRIPT, NULL, 0}}},
    {"UNATTEND", {{"Unattend.xml", "<unattend/>", NULL, 0}}},
};

static void
test_archives(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(archives); i++) {
        g_auto(VtUpload) upload = {0};
        g_autoptr(GError) error = NULL;

        g_assert_true(read_archive(archives[i].entries, &upload, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(upload.label, ==, archives[i].label);
    }
}

static const struct {
    const char *says;
    Entry entries[3];
} refused[] = {
    {"'/user-data' in the archive is not a plain relative path", {{"/user-data", SCRIPT, NULL, 0}}},
    {"'a/../../b' in the archive is not a plain", {{"a/../../b", "x", NULL, 0}}},
    {"'a\\nb' in the archive is not a plain", {{"a\nb", "x", NULL, 0}}},
    {"'.hidden' in the archive is not a plain", {{".hidden", "x", NULL, 0}}},
    {"'h' in the archive is no regular file",
     {{"user-data", SCRIPT, NULL, 0}, {"h", NULL, "/etc/shadow", 0}}},
    {"'sda' in the archive is no regular file", {{"sda", NULL, NULL, AE_IFBLK}}},
    {"'p' in the archive is no regular file", {{"p", NULL, NULL, AE_IFIFO}}},
    {"'./user-data' is in the archive twice",
     {{"user-data", SCRIPT, NULL, 0}, {"./user-data", SCRIPT, NULL, 0}}},
    {"user-data does not begin with", {{"user-data", "hello", NULL, 0}}},
    {"network-config: line 1", {{"network-config", "- a\n", NULL, 0}}},
    {"openstack/latest/meta_data.json: line 1",
     {{"openstack/latest/meta_data.json", "{'", NULL, 0}}},
    {"Unattend.xml: line 2: not well-formed XML", {{"Unattend.xml", "<a>\n</b>", NULL, 0}}},
    {"Unattend.xml is empty", {{"Unattend.xml", "", NULL, 0}}},
    {"has neither 'user-data', 'meta-data'", {{"vendor-data", SCRIPT, NULL, 0}}},
};

static void
test_archives_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_auto(VtUpload) upload = {0};
        g_autoptr(GError) error = NULL;

        g_assert_false(read_archive(refused[i].entries, &upload, &error));
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, refused[i].says));
        g_assert_null(upload.files);
    }
}

static void
test_archive_of_many(void)
{
    Entry entries[TOO_MANY + 1] = {{NULL}};
    char names[TOO_MANY][8];
    g_auto(VtUpload) upload = {0};
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < TOO_MANY; i++) {
        g_snprintf(names[i], sizeof(names[i]), "f%d", i);
        entries[i] = (Entry){names[i], "x", NULL, 0};
    }
    g_assert_false(read_archive(entries, &upload, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_assert_nonnull(strstr(error->message, "more than 32 files"));
}

/* As Windows itself writes it */
static void
test_utf16(void)
{
    static const char xml[] = "<?xml version=\"1.0\" encoding=\"utf-16\"?><unattend/>";
    struct archive *archive = archive_write_new();
    struct archive_entry *header = archive_entry_new();
    g_autofree char *data = g_malloc(1 << 16), *text = NULL;
    g_auto(VtUpload) upload = {0};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    size_t used = 0;
    gsize size = 0;

    text = g_convert(xml, -1, "UTF-16", "UTF-8", NULL, &size, &error);
    g_assert_no_error(error);
    archive_write_set_format_ustar(archive);
    archive_write_open_memory(archive, data, 1 << 16, &used);
    archive_entry_set_pathname(header, "Unattend.xml");
    archive_entry_set_filetype(header, AE_IFREG);
    archive_entry_set_size(header, (gint64)size);
    g_assert_cmpint(archive_write_header(archive, header), ==, ARCHIVE_OK);
    g_assert_cmpint(archive_write_data(archive, text, size), ==, size);
    archive_entry_free(header);
    archive_write_close(archive);
    archive_write_free(archive);
    bytes = g_bytes_new(data, used);
    g_assert_true(vt_upload_read(NAME, bytes, &upload, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(upload.label, ==, "UNATTEND");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/upload/user-data", test_user_data);
    g_test_add_func("/upload/meta-data", test_meta_data);
    g_test_add_func("/upload/nothing", test_nothing);
    g_test_add_func("/upload/refuse", test_refuse);
    g_test_add_func("/upload/archives", test_archives);
    g_test_add_func("/upload/archives-refused", test_archives_refused);
    g_test_add_func("/upload/archive-of-many", test_archive_of_many);
    g_test_add_func("/upload/utf-16", test_utf16);
    return g_test_run();
}
