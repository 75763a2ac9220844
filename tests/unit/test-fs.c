/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-fs.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *path;
    int fd;
} Dir;

static void
dir_setup(Dir *dir, gconstpointer data)
{
    dir->path = g_dir_make_tmp("vt-fs-XXXXXX", NULL);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(dir->fd, >=, 0);
}

static void
dir_teardown(Dir *dir, gconstpointer data)
{
    g_autoptr(GDir) list = g_dir_open(dir->path, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(list)))
        g_assert_cmpint(unlinkat(dir->fd, name, 0), ==, 0);
    close(dir->fd);
    g_assert_cmpint(g_rmdir(dir->path), ==, 0);
    g_free(dir->path);
}

static int
entries(Dir *dir)
{
    g_autoptr(GDir) list = g_dir_open(dir->path, 0, NULL);
    int count = 0;

    while (g_dir_read_name(list))
        count++;
    return count;
}

static void
test_link(Dir *dir, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    vt_autofd fd = -1;

    g_assert_true(vt_fs_tmpfile(dir->fd, 0644, &fd, &error));
    g_assert_true(vt_fs_write_all(fd, "hello", 5, "x", &error));
    g_assert_true(vt_fs_link_tmpfile(fd, dir->fd, "x", &error));
    g_assert_true(vt_fs_read(dir->fd, "x", 5, &bytes, &error));
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "hello", 5);
    g_assert_false(vt_fs_link_tmpfile(fd, dir->fd, "x", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_EXISTS);
}

/* As vt_fs_tmpfile() leaves one where there are no unnamed files */
static void
test_link_removed(Dir *dir, gconstpointer data)
{
    vt_autofd fd = openat(dir->fd, "removed", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = NULL;
    struct stat st;

    g_assert_cmpint(unlinkat(dir->fd, "removed", 0), ==, 0);
    g_assert_true(vt_fs_write_all(fd, "hello", 5, "x", &error));
    g_assert_true(vt_fs_link_tmpfile(fd, dir->fd, "x", &error));
    g_assert_no_error(error);
    g_assert_true(vt_fs_read(dir->fd, "x", 5, &bytes, &error));
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), "hello", 5);
    g_assert_cmpint(fstatat(dir->fd, "x", &st, 0), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0640);
    g_assert_false(vt_fs_link_tmpfile(fd, dir->fd, "x", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_EXISTS);
    g_assert_cmpint(unlinkat(dir->fd, "x", 0), ==, 0);
    g_assert_cmpint(entries(dir), ==, 0);
}

static void
test_replace(Dir *dir, gconstpointer data)
{
    g_autoptr(GBytes) first = g_bytes_new_static("one", 3), second = g_bytes_new_static("two!", 4);
    g_autoptr(GBytes) read_back = NULL;

    g_assert_true(vt_fs_replace(dir->fd, "x", first, 0600, NULL));
    g_assert_true(vt_fs_replace(dir->fd, "x", second, 0600, NULL));
    g_assert_true(vt_fs_read(dir->fd, "x", 100, &read_back, NULL));
    g_assert_true(g_bytes_equal(second, read_back));
    g_assert_false(vt_fs_replace(dir->fd, "no/x", first, 0600, NULL));
}

static void
test_read_refuses(Dir *dir, gconstpointer data)
{
    g_autoptr(GBytes) text = g_bytes_new_static("0123456789", 10), bytes = NULL;
    g_autoptr(GError) large = NULL, link = NULL, directory = NULL, missing = NULL;

    g_assert_true(vt_fs_replace(dir->fd, "x", text, 0600, NULL));
    g_assert_false(vt_fs_read(dir->fd, "x", 9, &bytes, &large));
    g_assert_error(large, VT_ERROR, VT_ERROR_TOO_LARGE);
    g_assert_cmpint(symlinkat("x", dir->fd, "link"), ==, 0);
    g_assert_false(vt_fs_read(dir->fd, "link", 100, &bytes, &link));
    g_assert_false(vt_fs_read(dir->fd, ".", 100, &bytes, &directory));
    g_assert_error(directory, VT_ERROR, VT_ERROR_INVALID);
    g_assert_false(vt_fs_read(dir->fd, "none", 100, &bytes, &missing));
    g_assert_error(missing, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_assert_null(bytes);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/fs/link", Dir, NULL, dir_setup, test_link, dir_teardown);
    g_test_add("/fs/link/removed", Dir, NULL, dir_setup, test_link_removed, dir_teardown);
    g_test_add("/fs/replace", Dir, NULL, dir_setup, test_replace, dir_teardown);
    g_test_add("/fs/read-refuses", Dir, NULL, dir_setup, test_read_refuses, dir_teardown);
    return g_test_run();
}
