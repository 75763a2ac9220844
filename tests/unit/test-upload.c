/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-upload.h"

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

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/upload/user-data", test_user_data);
    g_test_add_func("/upload/meta-data", test_meta_data);
    g_test_add_func("/upload/nothing", test_nothing);
    g_test_add_func("/upload/refuse", test_refuse);
    return g_test_run();
}
