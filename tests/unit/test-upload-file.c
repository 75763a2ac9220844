/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vt-upload-file.h"

#include "vt-fs.h"
#include "vt-seed-file.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#define NAME "web-seed.iso"

typedef struct {
    char *path;
    int fd;
} Pool;

static void
put(const Pool *pool, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(pool->path, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
pool_setup(Pool *pool, gconstpointer data)
{
    pool->path = g_dir_make_tmp("vt-upload-XXXXXX", NULL);
    pool->fd = open(pool->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(pool->fd, >=, 0);
    put(pool, NAME, "#cloud-config\n");
}

static void
empty(int dir_fd, const char *path)
{
    g_autoptr(GDir) list = g_dir_open(path, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(list))) {
        if (unlinkat(dir_fd, name, 0) < 0)
            g_assert_cmpint(unlinkat(dir_fd, name, AT_REMOVEDIR), ==, 0);
    }
}

static void
pool_teardown(Pool *pool, gconstpointer data)
{
    g_autofree char *records = g_build_filename(pool->path, VT_SEED_RECORDS_DIR, NULL);
    vt_autofd records_fd = open(records, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    empty(records_fd, records);
    empty(pool->fd, pool->path);
    close(pool->fd);
    g_assert_cmpint(g_rmdir(pool->path), ==, 0);
    g_free(pool->path);
}

static bool
has_record(const Pool *pool, const char *name)
{
    g_autofree char *path = g_build_filename(VT_SEED_RECORDS_DIR, name, NULL);
    struct stat st;

    return fstatat(pool->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static guint
count(const Pool *pool)
{
    g_autoptr(GPtrArray) names = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_upload_list(pool->path, &names, &error));
    g_assert_no_error(error);
    return names->len;
}

static void
open_it(const Pool *pool, VtUploadFile *file)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_upload_open(pool->path, NAME, file, &error));
    g_assert_no_error(error);
}

static void
assert_busy(const Pool *pool)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_upload_open(pool->path, NAME, &file, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
}

/* Two threads would write one file, and the second one over what came later */
static void
test_one_at_a_time(Pool *pool, gconstpointer data)
{
    g_autoptr(GBytes) image = g_bytes_new_static("seed", 4);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(count(pool), ==, 1);
    {
        g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};

        open_it(pool, &file);
        assert_busy(pool);
        g_assert_true(vt_upload_replace(&file, image, &error));
        g_assert_no_error(error);
    }
    {
        g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};

        open_it(pool, &file);
        g_assert_cmpuint(file.size, ==, 4);
    }
}

static void
test_being_written(Pool *pool, gconstpointer data)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    vt_autofd writer = openat(pool->fd, NAME, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(writer, >=, 0);
    assert_busy(pool);
    vt_close_fd(&writer);
    open_it(pool, &file);
}

/* A folder is in the way */
static void
test_nothing_left(Pool *pool, gconstpointer data)
{
    g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};
    g_autoptr(GBytes) image = g_bytes_new_static("seed", 4);
    g_autoptr(GError) error = NULL;

    open_it(pool, &file);
    g_assert_cmpint(unlinkat(pool->fd, NAME, 0), ==, 0);
    g_assert_cmpint(mkdirat(pool->fd, NAME, 0700), ==, 0);
    g_assert_false(vt_upload_replace(&file, image, &error));
    g_assert_nonnull(strstr(error->message, "cannot write '" NAME "'"));
    g_assert_false(has_record(pool, NAME ".part"));
}

/* What is an ISO image or empty is not refused any more */
static void
test_refusal(Pool *pool, gconstpointer data)
{
    g_autofree char *iso = g_strnfill(40000, ' ');
    g_autoptr(GError) error = NULL;

    memcpy(iso + 32768, "\1CD001", 6);
    for (int i = 0; i < 2; i++) {
        g_auto(VtUploadFile) file = {.dir_fd = -1, .records_fd = -1, .fd = -1};

        open_it(pool, &file);
        g_assert_true(vt_upload_refuse(&file, "it is bad", &error));
        vt_upload_file_clear(&file);
        file = (VtUploadFile){.dir_fd = -1, .records_fd = -1, .fd = -1};
        g_assert_cmpuint(count(pool), ==, 1);
        g_assert_true(has_record(pool, NAME ".refused"));
        put(pool, NAME, i == 0 ? iso : "");
        g_assert_cmpuint(count(pool), ==, 0);
        g_assert_false(has_record(pool, NAME ".refused"));
        put(pool, NAME, "#cloud-config\n");
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/upload-file/one-at-a-time", Pool, NULL, pool_setup, test_one_at_a_time,
               pool_teardown);
    g_test_add("/upload-file/being-written", Pool, NULL, pool_setup, test_being_written,
               pool_teardown);
    g_test_add("/upload-file/nothing-left", Pool, NULL, pool_setup, test_nothing_left,
               pool_teardown);
    g_test_add("/upload-file/refusal", Pool, NULL, pool_setup, test_refusal, pool_teardown);
    return g_test_run();
}
