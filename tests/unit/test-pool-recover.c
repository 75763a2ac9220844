/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-pool-recover.c: the directory of a pool in which somebody was interrupted */
#include "pool-fixture.h"
#include "vt-fs.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>

static char *
layer_file(const PoolFixture *fixture, const char *folder, const VtDigest *index,
           const char *suffix)
{
    char hex[2 * VT_DIGEST_BYTES + 1];

    return g_strdup_printf("%s/%s/%s%s", fixture->dir, folder, vt_digest_hex(index, hex), suffix);
}

static VtSeal
seal_of(const char *path, bool open_it)
{
    g_autoptr(VtSealManager) manager = vt_seal_manager_new(VT_SEAL_MANAGER);
    vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    if (open_it)
        g_assert_true(vt_seal_open(fd, manager, NULL));
    return vt_seal_query(fd);
}

/* Documents without what they are about, and those that were being written, are removed */
static void
test_recover_documents(PoolFixture *fixture, gconstpointer data)
{
    static const VtDigest other = {{0xaa}};
    g_autofree char *index = layer_file(fixture, ".layers", &other, ".index");
    g_autofree char *manifest = layer_file(fixture, ".layers/manifests", &other, ".json");
    g_autofree char *written =
        g_build_filename(fixture->dir, ".layers", ".x.index.01234567.tmp", NULL);
    g_autofree char *kept = g_build_filename(fixture->dir, "mine@1.0.0.qcow2", NULL);
    g_autofree char *seeds = g_build_filename(fixture->dir, ".seeds", NULL);
    g_autofree char *secrets = g_build_filename(seeds, ".web-seed.iso.89abcdef.tmp", NULL);
    const char *const left[] = {index, manifest, written, secrets};
    g_autoptr(GBytes) kept_manifest = NULL, proofs = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest digest;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &digest, &error));
    g_assert_cmpint(g_mkdir(seeds, 0700), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(left); i++)
        g_assert_true(g_file_set_contents(left[i], "left", -1, NULL));
    g_assert_true(g_file_set_contents(kept, "not ours", -1, NULL));
    vt_pool_recover(fixture->pool);
    for (size_t i = 0; i < G_N_ELEMENTS(left); i++)
        g_assert_cmpint(g_access(left[i], F_OK), <, 0);
    g_assert_cmpint(g_access(kept, F_OK), ==, 0);
    g_assert_true(vt_pool_check_version(fixture->pool, "debian-12", "1.0.0", &digest, &error));
    g_assert_true(vt_pool_read_manifest(fixture->pool, &digest, &kept_manifest, &proofs, &error));
    g_assert_no_error(error);
}

static void
set_mode(const char *path, mode_t mode)
{
    seal_of(path, true);
    g_assert_cmpint(chmod(path, mode), ==, 0);
}

/* Sealing under no lock of ours is the caller's part */
static void
recover(const PoolFixture *fixture)
{
    vt_pool_recover(fixture->pool);
    vt_pool_reseal(fixture->pool);
}

/* A commit that ended before the seal, and one that ended before the version */
static void
test_recover_commit(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *version = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autoptr(GBytes) manifest = NULL, proofs = NULL;
    g_autoptr(GError) error = NULL;
    bool resumed = false;
    vt_autofd fd = -1;
    VtDigest index;
    struct stat st;
    VtSeal seal;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    seal = seal_of(version, false);
    set_mode(version, 0400);
    vt_pool_recover(fixture->pool);
    g_assert_false(vt_pool_stat_version(fixture->pool, "debian-12", "1.0.0", NULL));
    g_assert_cmpint(seal_of(version, false), ==, seal & VT_SEAL_VERITY);
    g_assert_true(vt_pool_read_manifest(fixture->pool, &index, &manifest, &proofs, &error));
    vt_pool_reseal(fixture->pool);
    g_assert_cmpint(seal_of(version, false), ==, seal);
    g_assert_true(vt_pool_stat_version(fixture->pool, "debian-12", "1.0.0", &st));
    g_assert_cmpint(st.st_mode & 07777, ==, 0444);
    set_mode(version, 0400);
    g_assert_cmpint(unlink(version), ==, 0);
    recover(fixture);
    g_assert_false(vt_pool_has_layer(fixture->pool, &index));
    g_assert_true(vt_pool_partial_open(fixture->pool, &index, &fd, &resumed, &error));
    g_assert_true(resumed);
}

/* Somebody has removed the version by hand: no rest of a commit, so it stays. @data: whether the
 * seal has gone, too, as that of a mount does at a reboot */
static void
test_recover_committed(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *version = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autoptr(GError) error = NULL;
    g_autofree char *layer = NULL;
    VtDigest index;
    VtSeal seal;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    layer = vt_pool_layer_path(fixture->pool, &index);
    seal = seal_of(layer, false);
    seal_of(version, true);
    g_assert_cmpint(unlink(version), ==, 0);
    if (data)
        seal_of(layer, true);
    else
        vt_pool_reseal(fixture->pool);
    recover(fixture);
    g_assert_true(vt_pool_has_layer(fixture->pool, &index));
    g_assert_cmpint(seal_of(layer, false), ==, seal);
}

/* A rename by link() and unlink() that was cut between them, of a layer that got no version */
static void
test_recover_linked(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *version = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *layer = NULL, *partial = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest index;
    struct stat st;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    layer = vt_pool_layer_path(fixture->pool, &index);
    partial = layer_file(fixture, ".layers/.partial", &index, "");
    set_mode(version, 0400);
    g_assert_cmpint(link(layer, partial), ==, 0);
    vt_pool_recover(fixture->pool);
    g_assert_true(vt_pool_has_layer(fixture->pool, &index));
    g_assert_cmpint(g_access(partial, F_OK), <, 0);
    g_assert_cmpint(g_unlink(version), ==, 0);
    g_assert_cmpint(link(layer, partial), ==, 0);
    vt_pool_recover(fixture->pool);
    g_assert_false(vt_pool_has_layer(fixture->pool, &index));
    g_assert_cmpint(stat(partial, &st), ==, 0);
    g_assert_cmpint(st.st_nlink, ==, 1);
    g_assert_cmpint(st.st_size, ==, strlen("layer one"));
}

/* The same, and the layer is wanted again */
static void
test_partial_linked(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *layer = NULL, *partial = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest index;
    struct stat st;
    bool resumed = true;
    vt_autofd fd = -1;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    layer = vt_pool_layer_path(fixture->pool, &index);
    partial = layer_file(fixture, ".layers/.partial", &index, "");
    seal_of(layer, true);
    g_assert_cmpint(link(layer, partial), ==, 0);
    g_assert_false(vt_pool_partial_open(fixture->pool, &index, &fd, &resumed, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_clear_error(&error);
    g_assert_true(vt_pool_partial_open(fixture->pool, &index, &fd, &resumed, &error));
    g_assert_false(resumed);
    g_assert_cmpint(stat(layer, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, strlen("layer one"));
}

static void
test_recover_evict(PoolFixture *fixture, gconstpointer data)
{
    g_autofree char *version = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *gone = NULL, *document = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest index;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    gone = layer_file(fixture, ".layers/.partial", &index, ".gone");
    document = layer_file(fixture, ".layers", &index, ".index");
    seal_of(version, true);
    g_assert_cmpint(rename(version, gone), ==, 0);
    vt_pool_recover(fixture->pool);
    g_assert_cmpint(g_access(gone, F_OK), <, 0);
    g_assert_cmpint(g_access(document, F_OK), <, 0);
    g_assert_false(vt_pool_has_layer(fixture->pool, &index));
}

static ino_t
inode_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(lstat(path, &st), ==, 0);
    return st.st_ino;
}

/* A repair that cannot be ended: what the next one needs stays */
static void
test_recover_unended(PoolFixture *fixture, gconstpointer data)
{
    static const VtDigest other = {{0xaa}};
    g_autofree char *version = vt_pool_version_path(fixture->pool, "debian-12", "1.0.0");
    g_autofree char *removed = layer_file(fixture, ".layers", &other, ".index");
    g_autofree char *layer = NULL, *old = NULL, *next = NULL;
    g_autoptr(GError) error = NULL;
    VtDigest index;
    ino_t repaired;

    g_assert_true(pool_commit(fixture, "1.0.0", "layer one", &index, &error));
    layer = layer_file(fixture, ".layers", &index, ".qcow2");
    old = layer_file(fixture, ".layers/.partial", &index, ".old");
    next = layer_file(fixture, ".layers/.partial", &index, ".new");
    seal_of(version, true);
    g_assert_cmpint(rename(layer, old), ==, 0);
    g_assert_true(g_file_set_contents(layer, "layer one", -1, NULL));
    g_assert_true(g_file_set_contents(removed, "of a layer below which others are", -1, NULL));
    repaired = inode_of(layer);
    g_assert_cmpint(g_mkdir(next, 0700), ==, 0);
    g_test_expect_message(NULL, G_LOG_LEVEL_WARNING, "*interrupted repair*debian-12@1.0.0*");
    g_assert_cmpuint(vt_pool_recover(fixture->pool), ==, 0);
    g_test_assert_expected_messages();
    g_assert_cmpint(inode_of(layer), ==, repaired);
    g_assert_cmpint(inode_of(version), ==, inode_of(old));
    g_assert_cmpint(g_access(removed, F_OK), ==, 0);
    g_assert_cmpint(g_rmdir(next), ==, 0);
    g_assert_cmpuint(vt_pool_recover(fixture->pool), ==, 1);
    g_assert_cmpint(inode_of(version), ==, repaired);
    g_assert_cmpint(inode_of(layer), ==, repaired);
    g_assert_cmpint(g_access(old, F_OK), <, 0);
    g_assert_cmpint(g_access(removed, F_OK), <, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function)                                                                        \
    g_test_add(path, PoolFixture, NULL, pool_set_up, function, pool_tear_down)
    ADD("/pool/recover/documents", test_recover_documents);
    ADD("/pool/recover/commit", test_recover_commit);
    ADD("/pool/recover/sealed", test_recover_committed);
    g_test_add("/pool/recover/unsealed", PoolFixture, "", pool_set_up, test_recover_committed,
               pool_tear_down);
    ADD("/pool/recover/linked", test_recover_linked);
    ADD("/pool/recover/linked-partial", test_partial_linked);
    ADD("/pool/recover/evict", test_recover_evict);
    ADD("/pool/recover/unended", test_recover_unended);
    return g_test_run();
}
