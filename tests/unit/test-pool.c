/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pool.c: the directory of a pool: commit, evict, seals, clones */
#include "pool-fixture.h"
#include "vt-clones.h"
#include "vt-fs.h"
#include "vt-pool.h"
#include "vt-qcow2.h"
#include "vt-sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void
test_commit(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *path = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autoptr(GHashTable) volumes = NULL;
    g_autoptr(GBytes) manifest = NULL;
    g_autoptr(GBytes) proofs = NULL, config = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *layer = NULL;
    VtDigest index, found;
    struct stat st;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0444);
    g_assert_cmpint(st.st_nlink, ==, 2);
    g_assert_true(vt_pool_check_version(fixture->pool, "debian-12", "1.0.0", &index, &error));
    g_assert_true(vt_pool_find_layer(fixture->pool, "debian-12", "1.0.0", &found, &error));
    g_assert_true(vt_digest_equal(&index, &found));
    g_assert_true(vt_pool_scan(fixture->pool, &volumes, &error));
    g_assert_true(g_hash_table_contains(volumes, "debian-12@1.0.0.qcow2"));
    g_assert_cmpuint(g_hash_table_size(volumes), ==, 1);
    g_assert_true(vt_pool_read_manifest(fixture->pool, &index, &manifest, &proofs, &error));
    g_assert_true(vt_pool_read_config(fixture->pool, &index, &config, &error));
    layer = vt_pool_layer_path(fixture->pool, &index);
    g_assert_cmpint(stat(layer, &st), ==, 0);
    /* Doing it again changes nothing */
    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    g_assert_no_error(error);
}

static void
test_second_version(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *path = vt_pool_version_path(fixture->pool, "debian-12", "1.0.1");
    g_autoptr(GError) error = NULL;
    g_autofree char *layer = NULL;
    VtDigest index;
    struct stat st;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    g_assert_true(pool_commit(fixture, "1.0.1", "layer one", &index, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_nlink, ==, 3);
    layer = vt_pool_layer_path(fixture->pool, &index);
    /* The first eviction leaves the layer, the second takes it */
    g_assert_true(vt_pool_evict(fixture->pool, "debian-12", "1.0.0", &index, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(layer, &st), ==, 0);
    g_assert_true(vt_pool_evict(fixture->pool, "debian-12", "1.0.1", &index, &index, &error));
    g_assert_no_error(error);
    g_assert_cmpint(stat(layer, &st), ==, -1);
    g_assert_false(vt_pool_has_layer(fixture->pool, &index));
    g_assert_false(vt_pool_evict(fixture->pool, "debian-12", "1.0.1", &index, NULL, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
}

/* The kept index of a delta layer over @parent, as far as the pool reads it */
static GBytes *
delta_index(const VtDigest *parent)
{
    uint8_t head[128] = {0};

    memcpy(head + 88, parent->bytes, VT_DIGEST_BYTES);
    return g_bytes_new(head, sizeof(head));
}

/* Nothing gets a name over a parent that was removed while its child was fetched */
static void
test_parent_evicted(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *path = vt_pool_version_path(fixture->pool, "debian-12", "1.1.0");
    static const uint8_t full_layer[128];
    g_autoptr(GBytes) document = g_bytes_new_static("document", 8), delta = NULL;
    g_autoptr(GBytes) full = g_bytes_new_static(full_layer, sizeof(full_layer));
    VtPoolLayer layers[2] = {{.index_bytes = full}};
    VtPoolCommit commit_top = {.name = "debian-12",
                               .version = "1.1.0",
                               .layers = layers,
                               .layer_count = 2,
                               .manifest_bytes = document,
                               .config_bytes = document,
                               .proofs = document};
    g_autofree char *reason = NULL;
    g_autoptr(GError) error = NULL;
    int none = -1, fd = -1;
    bool resumed = true;
    VtSeal seal;

    g_assert_true(pool_commit(fixture, "1.0.0", "the base", &layers[0].index, &error));
    delta = delta_index(&layers[0].index);
    vt_sha256_bytes(delta, layers[1].index.bytes);
    layers[0].partial_fd = &none;
    layers[1].index_bytes = delta;
    layers[1].partial_fd = &fd;
    commit_top.manifest = layers[1].index;
    g_assert_true(vt_pool_partial_open(fixture->pool, &layers[1].index, &fd, &resumed, &error));
    g_assert_true(
        vt_pool_evict(fixture->pool, "debian-12", "1.0.0", &layers[0].index, NULL, &error));
    g_assert_false(vt_pool_commit(fixture->pool, &commit_top, &seal, &reason, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "was removed meanwhile: fetch again"));
    g_clear_error(&error);
    g_assert_cmpint(g_access(path, F_OK), <, 0);
    g_assert_false(vt_pool_has_layer(fixture->pool, &layers[1].index));
    /* with its parent, it does */
    g_assert_true(pool_commit(fixture, "1.0.0", "the base", &layers[0].index, &error));
    g_assert_true(vt_pool_commit(fixture->pool, &commit_top, &seal, &reason, &error));
    g_assert_no_error(error);
    g_assert_cmpint(g_access(path, F_OK), ==, 0);
}

/* Digests cannot be in a circle, but files that somebody changed can */
static void
test_circle(PoolFixture *fixture, gconstpointer data)
{
    static const VtDigest a = {{0xaa}}, b = {{0xbb}};
    const VtDigest *const circle[] = {&a, &b};
    g_autoptr(GArray) layers = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_pool_prepare(fixture->pool, &error));
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GBytes) index = delta_index(circle[1 - i]);
        char hex[2 * VT_DIGEST_BYTES + 1];
        g_autofree char *path = NULL;

        vt_digest_hex(circle[i], hex);
        path = g_strdup_printf("%s/.layers/%s.index", fixture->dir, hex);
        g_assert_true(g_file_set_contents(path, g_bytes_get_data(index, NULL),
                                          (gssize)g_bytes_get_size(index), NULL));
    }
    g_assert_false(vt_pool_chain(fixture->pool, &a, &layers, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
    g_assert_nonnull(strstr(error->message, "a chain of more than 64 layers"));
}

/* The new file of a layer takes the names of all versions that are the old one */
static void
test_replace(PoolFixture *fixture, gconstpointer data)
{
    const char *const versions[] = {"1.0.0", "1.0.1"};
    g_autoptr(GBytes) document = g_bytes_new_static("document", 8);
    VtPoolLayer layer = {.index_bytes = document};
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    struct stat old, st;
    bool resumed = true;
    int fd = -1;

    for (guint i = 0; i < 2; i++)
        g_assert_true(pool_commit(fixture, versions[i], "a layer", &layer.index, &error));
    path = vt_pool_layer_path(fixture->pool, &layer.index);
    g_assert_cmpint(stat(path, &old), ==, 0);
    layer.partial_fd = &fd;
    g_assert_true(vt_pool_partial_open(fixture->pool, &layer.index, &fd, &resumed, &error));
    g_assert_true(vt_fs_write_all(fd, "mended", 6, "partial", &error));
    g_assert_true(vt_pool_replace(fixture->pool, &layer, 1, &error));
    g_assert_no_error(error);
    g_assert_cmpint(fd, ==, -1);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_ino, !=, old.st_ino);
    g_assert_cmpuint(st.st_nlink, ==, 3);
    g_assert_cmpuint(st.st_size, ==, 6);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0444);
    for (guint i = 0; i < 2; i++)
        g_assert_true(
            vt_pool_check_version(fixture->pool, "debian-12", versions[i], &layer.index, &error));
}

static void
test_name_taken(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *path = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autoptr(GError) error = NULL;
    g_autofree char *content = NULL;
    VtDigest index;

    g_assert_true(g_file_set_contents(path, "mine", -1, NULL));
    g_assert_false(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_EXISTS);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_true(g_file_get_contents(path, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "mine");
    g_clear_error(&error);
    g_assert_false(vt_pool_check_version(fixture->pool, "debian-12", "1.0.0", &index, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_clear_error(&error);
    /* A link to something else is not the layer either */
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_true(pool_commit(fixture, "1.0.1", "another layer", &index, &error));
    vt_sha256_data("layer one", 9, &index);
    g_assert_false(vt_pool_check_version(fixture->pool, "debian-12", "1.0.1", &index, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_CORRUPT);
}

static void
test_partial(PoolFixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    vt_autofd first = -1;
    vt_autofd second = -1;
    bool resumed = true;
    VtDigest index;

    vt_sha256_data("x", 1, &index);
    g_assert_true(vt_pool_partial_open(fixture->pool, &index, &first, &resumed, &error));
    g_assert_false(resumed);
    g_assert_false(vt_pool_partial_open(fixture->pool, &index, &second, &resumed, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_clear_error(&error);
    g_assert_true(vt_fs_write_all(first, "half", 4, "partial", &error));
    close(vt_steal_fd(&first));
    g_assert_true(vt_pool_partial_open(fixture->pool, &index, &second, &resumed, &error));
    g_assert_true(resumed);
    vt_pool_partial_remove(fixture->pool, &index);
    g_assert_false(vt_pool_has_layer(fixture->pool, &index));
}

/* Which of these go: old and locked, old and free, new and free */
static void
test_partial_sweep(PoolFixture *fixture, gconstpointer data)
{
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    static const bool expected[] = {true, false, true};
    g_autoptr(GError) error = NULL;
    vt_autofd locked = -1;

    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        bool resumed;
        VtDigest index;
        int fd = -1;

        vt_sha256_data(&i, sizeof(i), &index);
        g_assert_true(vt_pool_partial_open(fixture->pool, &index, &fd, &resumed, &error));
        g_assert_true(vt_fs_write_all(fd, "half", 4, "partial", &error));
        g_assert_cmpint(i < 2 ? futimens(fd, old) : 0, ==, 0);
        if (i == 0)
            locked = fd;
        else
            close(fd);
    }
    vt_pool_partial_sweep(fixture->pool, 60);
    close(vt_steal_fd(&locked));
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        vt_autofd fd = -1;
        VtDigest index;
        bool resumed;

        vt_sha256_data(&i, sizeof(i), &index);
        g_assert_true(vt_pool_partial_open(fixture->pool, &index, &fd, &resumed, &error));
        g_assert_cmpint(resumed, ==, expected[i]);
    }
}

static void
test_directories(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *layers = g_build_filename(fixture->dir, VT_POOL_LAYERS, NULL);
    g_autoptr(VtPool) missing = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_pool_open("/nonexistent/pool", &missing, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "/nonexistent/pool"));
    g_clear_error(&error);
    /* A link in the place of our directory is not followed */
    g_assert_cmpint(symlink("/tmp", layers), ==, 0);
    g_assert_false(vt_pool_prepare(fixture->pool, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_cmpint(unlink(layers), ==, 0);
    if (geteuid() == 0) {
        g_assert_cmpint(mkdir(layers, 0755), ==, 0);
        g_assert_cmpint(chown(layers, 65534, 65534), ==, 0);
        g_assert_false(vt_pool_prepare(fixture->pool, &error));
        g_assert_error(error, VT_ERROR, VT_ERROR_DENIED);
    }
}

static void
test_seal(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *path = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *reason = NULL;
    g_autoptr(GError) error = NULL;
    vt_autofd fd = -1;
    VtDigest index;
    VtSeal seal;

    g_assert_true(vt_seal_probe(vt_pool_dir_fd(fixture->pool), &seal, &reason, &error));
    g_assert_no_error(error);
    g_test_message("seal here: %s (%s)", vt_seal_name(seal), reason ? reason : "");
    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(vt_seal_query(fd), ==, seal);
    if (seal == VT_SEAL_NONE) {
        g_assert_nonnull(reason);
        g_test_skip("neither fs-verity nor the immutable flag here: see the message above");
        return;
    }
    g_assert_cmpint(open(path, O_WRONLY | O_CLOEXEC), ==, -1);
    g_assert_cmpint(errno, ==, EPERM);
    if (seal == VT_SEAL_IMMUTABLE) {
        g_assert_cmpint(chown(path, 65534, 65534), ==, -1);
        g_assert_cmpint(unlink(path), ==, -1);
    }
}

static void
write_overlay(const char *path, const char *backing)
{
    VtQcow2Overlay overlay = {1 << 20, true, backing, "qcow2"};
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    uint64_t size;

    vt_qcow2_overlay_encode(&overlay, &bytes, &size, &error);
    g_assert_no_error(error);
    g_assert_true(g_file_set_contents(path, g_bytes_get_data(bytes, NULL),
                                      (gssize)g_bytes_get_size(bytes), NULL));
}

static void
assert_clones(PoolFixture *fixture, GHashTable *keep, const char *const *expected)
{
    g_auto(GStrv) paths = NULL;
    g_autoptr(GError) error = NULL;

    vt_clones_list(fixture->pool,
                   &(const VtClonesQuery){
                       .name = "debian-12", .version = "1.0.0", .keep = keep, .prune = true},
                   &paths, &error);
    g_assert_no_error(error);
    g_assert_true(g_strv_equal((const char *const *)paths, expected));
}

/* What has a version of another pool as its base is not looked into further: only who does not know
 * that finds that it leads here */
static void
test_clones_elsewhere(PoolFixture *fixture, gconstpointer data)
{
    g_autoptr(GHashTable) elsewhere = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *backing = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *clone = g_build_filename(fixture->dir, "vm.img", NULL);
    g_autofree char *far = g_build_filename(fixture->dir, "far", NULL);
    g_autofree char *version = g_build_filename(far, "web@2.0.0.qcow2", NULL);
    const VtClonesQuery query = {
        .name = "debian-12", .version = "1.0.0", .elsewhere = elsewhere, .prune = true};
    const char *const one[] = {clone, NULL};
    g_auto(GStrv) paths = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(mkdir(far, 0700), ==, 0);
    write_overlay(version, backing);
    write_overlay(clone, version);
    assert_clones(fixture, NULL, one);
    g_hash_table_add(elsewhere, far);
    vt_clones_list(fixture->pool, &query, &paths, &error);
    g_assert_no_error(error);
    g_assert_null(*paths);
    g_unlink(clone);
    write_overlay(clone, backing);
    g_clear_pointer(&paths, g_strfreev);
    vt_clones_list(fixture->pool, &query, &paths, &error);
    g_assert_no_error(error);
    g_assert_true(g_strv_equal((const char *const *)paths, one));
}

/* A clone under any name, behind a link, or on a disk that is not there now is still a clone */
static void
test_clones_hidden(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *backing = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *renamed = g_build_filename(fixture->dir, "vm.img", NULL);
    g_autofree char *disk = g_build_filename(fixture->dir, "disk", NULL);
    g_autofree char *away = g_build_filename(fixture->dir, "disk-away", NULL);
    g_autofree char *linked = g_build_filename(disk, "linked.qcow2", NULL);
    g_autofree char *moved = g_build_filename(disk, "moved", NULL);
    const char *const one[] = {renamed, NULL}, *const both[] = {linked, renamed, NULL};
    g_autoptr(GError) error = NULL;

    write_overlay(renamed, backing);
    assert_clones(fixture, NULL, one);
    g_assert_cmpint(mkdir(disk, 0700), ==, 0);
    write_overlay(moved, backing);
    g_assert_cmpint(symlink("moved", linked), ==, 0);
    g_assert_true(vt_clones_record(fixture->pool, "debian-12", "1.0.0", linked, &error));
    g_assert_cmpint(rename(disk, away), ==, 0);
    assert_clones(fixture, NULL, both);
    g_assert_cmpint(rename(away, disk), ==, 0);
    /* removed, in a directory that is there */
    g_assert_cmpint(unlink(linked), ==, 0);
    g_assert_cmpint(unlink(moved), ==, 0);
    assert_clones(fixture, NULL, one);
}

static void
test_clones(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *backing = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *other = g_build_filename(fixture->dir, "elsewhere", NULL);
    g_autofree char *here = g_build_filename(fixture->dir, "here.qcow2", NULL);
    g_autofree char *there = g_build_filename(other, "there.qcow2", NULL);
    g_autofree char *unrecorded = g_build_filename(other, "unrecorded.qcow2", NULL);
    g_autofree char *top = g_build_filename(other, "top.qcow2", NULL);
    g_autofree char *records = g_build_filename(fixture->dir, ".clones", NULL);
    g_autoptr(GHashTable) keep = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = NULL;

    g_assert_cmpint(mkdir(other, 0700), ==, 0);
    assert_clones(fixture, NULL, (const char *const[]){NULL});
    write_overlay(here, backing);
    assert_clones(fixture, NULL, (const char *const[]){here, NULL});
    /* In another directory it takes a record; then its neighbours are found, too */
    write_overlay(there, backing);
    write_overlay(unrecorded, backing);
    write_overlay(top, unrecorded);
    assert_clones(fixture, NULL, (const char *const[]){here, NULL});
    g_assert_true(vt_clones_record(fixture->pool, "debian-12", "1.0.0", there, &error));
    g_assert_true(vt_clones_record(fixture->pool, "debian-12", "1.0.0", there, &error));
    assert_clones(fixture, NULL, (const char *const[]){there, top, unrecorded, here, NULL});
    /* Neither another backing file, nor a file that is gone, nor one that is not an image */
    write_overlay(here, "/nonexistent/debian-12@1.0.0.qcow2");
    g_assert_cmpint(unlink(top), ==, 0);
    g_assert_true(g_file_set_contents(unrecorded, "text", -1, NULL));
    assert_clones(fixture, NULL, (const char *const[]){there, NULL});
    /* A file that has not its name yet keeps its record; a stale record goes */
    g_assert_cmpint(unlink(there), ==, 0);
    g_hash_table_add(keep, there);
    assert_clones(fixture, keep, (const char *const[]){NULL});
    dir = g_dir_open(records, 0, &error);
    g_assert_nonnull(g_dir_read_name(dir));
    assert_clones(fixture, NULL, (const char *const[]){NULL});
    g_dir_rewind(dir);
    g_assert_null(g_dir_read_name(dir));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function)                                                                        \
    g_test_add(path, PoolFixture, NULL, pool_set_up, function, pool_tear_down)
    ADD("/pool/commit", test_commit);
    ADD("/pool/second-version", test_second_version);
    ADD("/pool/parent-evicted", test_parent_evicted);
    ADD("/pool/circle", test_circle);
    ADD("/pool/replace", test_replace);
    ADD("/pool/name-taken", test_name_taken);
    ADD("/pool/partial", test_partial);
    ADD("/pool/partial-sweep", test_partial_sweep);
    ADD("/pool/directories", test_directories);
    ADD("/pool/seal", test_seal);
    ADD("/pool/clones", test_clones);
    ADD("/pool/clones-elsewhere", test_clones_elsewhere);
    ADD("/pool/clones-hidden", test_clones_hidden);
    return g_test_run();
}
