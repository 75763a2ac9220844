/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pool-mark.c: which of many layers are over one that is damaged, and what is read for that */
#include "pool-fixture.h"
#include "vt-fs.h"
#include "vt-pool.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT 5000u
/* Of a chain: a full layer, and those over it */
#define LENGTH 5u
/* Where a layer index has its parent */
#define PARENT_AT 88
#define HEAD_SIZE 128

/* The linker leads the calls of the library here */
DIR *__real_vt_fs_read_dir(int dir_fd);
DIR *__wrap_vt_fs_read_dir(int dir_fd);

static guint directories;

DIR *
__wrap_vt_fs_read_dir(int dir_fd)
{
    directories++;
    return __real_vt_fs_read_dir(dir_fd);
}

static VtDigest
digest_of(guint number)
{
    VtDigest digest = {{0xda}};

    memcpy(digest.bytes + 1, &number, sizeof(number));
    return digest;
}

/* @head: (nullable): of an index. Returns: the inode */
static guint64
write_file(const PoolFixture *fixture, const VtDigest *digest, const char *suffix,
           const uint8_t *head)
{
    char hex[2 * VT_DIGEST_BYTES + 1];
    g_autofree char *name = g_strconcat(".layers/", vt_digest_hex(digest, hex), suffix, NULL);
    vt_autofd fd =
        openat(vt_pool_dir_fd(fixture->pool), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    struct stat st;

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(!head || write(fd, head, HEAD_SIZE) == HEAD_SIZE);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return st.st_ino;
}

/* Every LENGTH layers are a chain, the lowest first */
static void
make_layers(const PoolFixture *fixture, guint64 inodes[COUNT])
{
    g_assert_true(vt_pool_prepare(fixture->pool, NULL));
    for (guint i = 0; i < COUNT; i++) {
        const VtDigest digest = digest_of(i);
        uint8_t head[HEAD_SIZE] = {0};

        if (i % LENGTH > 0) {
            const VtDigest parent = digest_of(i - 1);

            memcpy(head + PARENT_AT, parent.bytes, VT_DIGEST_BYTES);
        }
        write_file(fixture, &digest, ".index", head);
        inodes[i] = write_file(fixture, &digest, ".qcow2", NULL);
    }
}

static void
add_mark(GHashTable *marks, const VtDigest *digest, const char *mark)
{
    g_hash_table_insert(marks, (gpointer)digest, (gpointer)mark);
}

/* How many read(2) and pread(2) this process has called */
static guint
reads(void)
{
    g_autofree char *text = NULL;
    const char *found;

    g_assert_true(g_file_get_contents("/proc/self/io", &text, NULL, NULL));
    found = strstr(text, "syscr: ");
    g_assert_nonnull(found);
    return (guint)g_ascii_strtoull(found + strlen("syscr: "), NULL, 10);
}

static void
test_many(PoolFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) marks = g_hash_table_new(vt_digest_hash, vt_digest_same);
    const VtDigest middle = digest_of(12), top = digest_of(99), bottom = digest_of(4000);
    g_autofree guint64 *inodes = g_new0(guint64, COUNT);
    g_autoptr(GHashTable) found = NULL;
    g_autoptr(GError) error = NULL;
    guint before;

    make_layers(fixture, inodes);
    add_mark(marks, &middle, "middle");
    add_mark(marks, &top, "top");
    add_mark(marks, &bottom, "bottom");
    directories = 0;
    before = reads();
    g_assert_true(vt_pool_mark(fixture->pool, marks, &found, &error));
    g_assert_no_error(error);
    /* reading /proc/self/io takes some, too */
    g_assert_cmpuint(reads() - before, <=, COUNT + 10);
    g_assert_cmpuint(directories, ==, 1);
    g_assert_cmpuint(g_hash_table_size(found), ==, 3 + 1 + LENGTH);
    for (guint i = 0; i < COUNT; i++) {
        const char *mark = i >= 12 && i <= 14               ? "middle"
                           : i == 99                        ? "top"
                           : i >= 4000 && i < 4000 + LENGTH ? "bottom"
                                                            : NULL;

        g_assert_cmpstr(g_hash_table_lookup(found, &inodes[i]), ==, mark);
    }
}

/* Only files that somebody changed can be so: a circle, a layer without its index, no layers */
static void
test_odd(PoolFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) marks = g_hash_table_new(vt_digest_hash, vt_digest_same);
    g_autoptr(GHashTable) found = NULL, none = NULL;
    const VtDigest lost = digest_of(3);
    g_autoptr(GError) error = NULL;
    guint64 inodes[3];

    add_mark(marks, &lost, "lost");
    g_assert_false(vt_pool_mark(fixture->pool, marks, &none, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(vt_pool_prepare(fixture->pool, NULL));
    for (guint i = 0; i < 2; i++) {
        const VtDigest digest = digest_of(i), other = digest_of(1 - i);
        uint8_t head[HEAD_SIZE] = {0};

        memcpy(head + PARENT_AT, other.bytes, VT_DIGEST_BYTES);
        write_file(fixture, &digest, ".index", head);
        inodes[i] = write_file(fixture, &digest, ".qcow2", NULL);
    }
    inodes[2] = write_file(fixture, &lost, ".qcow2", NULL);
    g_assert_true(vt_pool_mark(fixture->pool, marks, &found, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(g_hash_table_size(found), ==, 1);
    g_assert_cmpstr(g_hash_table_lookup(found, &inodes[2]), ==, "lost");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/pool-mark/many", PoolFixture, NULL, pool_set_up, test_many, pool_tear_down);
    g_test_add("/pool-mark/odd", PoolFixture, NULL, pool_set_up, test_odd, pool_tear_down);
    return g_test_run();
}
