/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the image is read with mtools, as tests/e2e/test-unattend.sh does, too */
#include "vt-floppy.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT "<unattend/>\n"

static GPtrArray *
files_of(VtSeedFile *file)
{
    GPtrArray *files = g_ptr_array_new();

    g_ptr_array_add(files, file);
    return files;
}

static void
assert_output(const char *program, const char *path, const char *name, const char *expected)
{
    const char *argv[] = {program, "-i", path, name, NULL};
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    int status;

    g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
                               NULL, &output, NULL, &status, &error));
    g_assert_no_error(error);
    g_assert_cmpint(status, ==, 0);
    if (!strstr(output, expected))
        g_error("%s %s: expected '%s' in:\n%s", program, name, expected, output);
}

static void
test_read_back(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(TEXT, strlen(TEXT)), image = NULL;
    VtSeedFile file = {(char *)(uintptr_t) "Unattend.xml", bytes};
    g_autoptr(GPtrArray) files = files_of(&file);
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    int fd;

    g_assert_true(vt_floppy_write("UNATTEND", files, &image, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(image), ==, 1474560);
    fd = g_file_open_tmp("floppy-XXXXXX", &path, &error);
    g_assert_no_error(error);
    g_assert_cmpint(write(fd, g_bytes_get_data(image, NULL), 1474560), ==, 1474560);
    close(fd);
    assert_output("mtype", path, "::Unattend.xml", TEXT);
    assert_output("mdir", path, "::", "1980-01-01   0:00  Unattend.xml");
    assert_output("mdir", path, "::", "Volume in drive : is UNATTEND");
    assert_output("minfo", path, "::", "disk type=\"FAT12");
    g_unlink(path);
}

/* Neither the clock nor the time zone nor the user's settings are in it */
static void
test_same(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(TEXT, strlen(TEXT)), first = NULL, second = NULL;
    VtSeedFile file = {(char *)(uintptr_t) "Unattend.xml", bytes};
    g_autoptr(GPtrArray) files = files_of(&file);
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_floppy_write("UNATTEND", files, &first, &error));
    g_assert_no_error(error);
    /* FAT has dates of 2 seconds */
    g_usleep(2100 * 1000);
    g_setenv("TZ", "Asia/Tokyo", true);
    g_setenv("MTOOLS_LOWER_CASE", "1", true);
    g_assert_true(vt_floppy_write("UNATTEND", files, &second, &error));
    g_assert_no_error(error);
    g_assert_true(g_bytes_equal(first, second));
}

/* All that fits, and a byte more */
static void
test_size(void)
{
    for (gsize more = 0; more < 2; more++) {
        const gsize size = VT_FLOPPY_MAX + more;
        g_autoptr(GBytes) bytes = g_bytes_new_take(g_malloc0(size), size), image = NULL;
        VtSeedFile file = {(char *)(uintptr_t) "Unattend.xml", bytes};
        g_autoptr(GPtrArray) files = files_of(&file);
        g_autoptr(GError) error = NULL;

        if (more) {
            g_assert_false(vt_floppy_write("UNATTEND", files, &image, &error));
            g_assert_error(error, VT_ERROR, VT_ERROR_TOO_LARGE);
            g_assert_null(image);
        } else {
            g_assert_true(vt_floppy_write("UNATTEND", files, &image, &error));
            g_assert_no_error(error);
        }
    }
}

/* What mtools says against it comes through */
static void
test_complaint(void)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(TEXT, strlen(TEXT)), image = NULL;
    VtSeedFile file = {(char *)(uintptr_t) "missing/Unattend.xml", bytes};
    g_autoptr(GPtrArray) files = files_of(&file);
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_floppy_write("UNATTEND", files, &image, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_true(g_str_has_prefix(error->message, "cannot make the floppy: mcopy: "));
    g_assert_null(strstr(error->message, "mcopy: failed"));
    g_assert_null(image);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/floppy/read-back", test_read_back);
    g_test_add_func("/floppy/same", test_same);
    g_test_add_func("/floppy/size", test_size);
    g_test_add_func("/floppy/complaint", test_complaint);
    return g_test_run();
}
