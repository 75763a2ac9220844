/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-daemon-fetch.c: virttemplated fetches, clones, evicts, and refuses what it must refuse */
#include "daemon-asserts.h"

#include "vt-fs.h"
#include "vt-manifest.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void
test_whole_way(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *clone = clone_path(f, "clone.qcow2");
    g_autofree char *layer = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autofree char *out = NULL;
    g_autoptr(GError) error = NULL;
    int status;
    struct stat st;

    daemon_make_store(f);
    g_assert_cmpuint(daemon_flags(f, "1.0.0", 10000, NULL), ==, 0);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 10000, NULL), ==, CURRENT);
    assert_no_clone(f, "1.0.1", VT_ERROR_NOT_FOUND);
    /* "" is the current one */
    assert_fetched(f, "");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE);
    g_assert_cmpint(stat(layer, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0444);
    g_assert_cmpint((int)st.st_uid, ==, 0);
    assert_clone(f, "", "clone.qcow2");
    /* QEMU's own tool reads through the clone what was published */
    out = g_strdup_printf("qemu-img compare -q -f qcow2 -F raw %s %s/two.raw", clone, f->dir);
    g_assert_true(g_spawn_command_line_sync(out, NULL, NULL, &status, &error));
    g_assert_cmpint(status, ==, 0);
    g_free(out);
    out = g_strdup_printf("qemu-img check -q %s", clone);
    g_assert_true(g_spawn_command_line_sync(out, NULL, NULL, &status, &error));
    g_assert_cmpint(status, ==, 0);
    g_assert_false(evict(f, "1.0.1", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, clone));
    g_clear_error(&error);
    g_assert_cmpint(g_unlink(clone), ==, 0);
    g_assert_true(evict(f, "1.0.1", &error));
    g_assert_no_error(error);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT);
    g_assert_false(evict(f, "1.0.1", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
}

static void
test_everything_present(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariant) status = NULL;
    guint64 requests = 99;
    gint64 begin;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    begin = g_get_monotonic_time();
    status = daemon_fetch(f, "1.0.1");
    g_test_message("complete already: %" G_GINT64_FORMAT " us", g_get_monotonic_time() - begin);
    g_assert_cmpint(daemon_job_error(status, NULL), ==, -1);
    g_assert_true(g_variant_lookup(status, "requests", "t", &requests));
    g_assert_cmpuint(requests, ==, 0);
}

/* The same image under another version is a second name of the same layer */
static void
test_shared_layer(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *url = NULL;
    g_autofree char *first = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autofree char *second = clone_path(f, "debian-12@1.0.2.qcow2");
    g_autoptr(GVariant) status = NULL;
    g_autoptr(GError) error = NULL;
    guint64 received = 1;
    struct stat a, b;

    daemon_make_store(f);
    url = g_strdup_printf("oci:%s", f->store);
    daemon_cli(f, 0, "publish", "-q", "--store", url, "--key", "release.key", "two.raw",
               "debian-12@1.0.2", NULL);
    assert_fetched(f, "1.0.1");
    status = daemon_fetch(f, "1.0.2");
    g_assert_cmpint(daemon_job_error(status, NULL), ==, -1);
    g_assert_true(g_variant_lookup(status, "received", "t", &received));
    g_assert_cmpuint(received, ==, 0);
    g_assert_cmpint(stat(first, &a), ==, 0);
    g_assert_cmpint(stat(second, &b), ==, 0);
    g_assert_cmpuint(a.st_ino, ==, b.st_ino);
    g_assert_true(evict(f, "1.0.1", &error));
    assert_clone(f, "1.0.2", "clone.qcow2");
}

/* Neither the store nor the database is needed for what is here; only the catalog is */
static void
test_offline(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *away = daemon_path(f, "store.away");
    g_autofree char *db = daemon_path(f, "state/state.db");
    g_autofree char *wal = daemon_path(f, "state/state.db-wal");
    g_autofree char *warning = NULL;
    g_autoptr(GVariant) status = NULL;
    guint64 received = 1;
    gint64 begin;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    g_assert_cmpint(g_rename(f->store, away), ==, 0);
    daemon_stop(f, SIGTERM);
    daemon_start(f);
    assert_clone(f, "1.0.1", "one.qcow2");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 5000, &warning), ==, CURRENT | COMPLETE);
    g_assert_nonnull(strstr(warning, f->store));
    /* Nobody waits for a store that was away a moment ago */
    begin = g_get_monotonic_time();
    daemon_flags(f, "1.0.1", 10000, NULL);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, G_USEC_PER_SEC);
    assert_fetch_fails(f, "1.0.0", VT_ERROR_NETWORK, f->store);

    daemon_stop(f, SIGTERM);
    g_assert_cmpint(g_unlink(db), ==, 0);
    g_unlink(wal);
    daemon_start(f);
    daemon_register(f);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 5000, NULL), ==, NOT_LISTED | COMPLETE);
    assert_no_clone(f, "1.0.1", VT_ERROR_NETWORK);
    daemon_stop(f, SIGTERM);
    g_assert_cmpint(g_rename(away, f->store), ==, 0);
    daemon_start(f);
    status = daemon_fetch(f, "1.0.1");
    g_assert_cmpint(daemon_job_error(status, NULL), ==, -1);
    g_assert_true(g_variant_lookup(status, "received", "t", &received));
    g_assert_cmpuint(received, ==, 0);
    assert_clone(f, "1.0.1", "two.qcow2");
}

/* A policy that rejects now rejects what is here already, and the other way round */
static void
test_policy(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *policy = daemon_path(f, "policy.json");
    g_autofree char *warning = NULL;

    daemon_make_store(f);
    daemon_cli(f, 0, "key", "generate", "other", NULL);
    assert_fetched(f, "1.0.1");
    assert_clone(f, "1.0.1", "one.qcow2");
    daemon_policy(f, "other.pub");
    assert_no_clone(f, "1.0.1", VT_ERROR_UNTRUSTED);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL) & REFUSED, ==, REFUSED);
    daemon_policy(f, "release.pub");
    assert_clone(f, "1.0.1", "two.qcow2");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE);
    g_assert_cmpint(g_unlink(policy), ==, 0);
    assert_no_clone(f, "1.0.1", VT_ERROR_POLICY);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 5000, &warning) & REFUSED, ==, REFUSED);
    g_assert_nonnull(strstr(warning, policy));
    daemon_write(f, "policy.json", "{\"default\":[{\"type\":\"maybe\"}]}");
    assert_no_clone(f, "1.0.1", VT_ERROR_POLICY);
    daemon_policy(f, "missing.pub");
    assert_no_clone(f, "1.0.1", VT_ERROR_POLICY);
}

/* A key file that is replaced counts as a change of the policy */
static void
test_key_replaced(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *key = NULL;
    g_autofree char *path = NULL;

    daemon_make_store(f);
    daemon_cli(f, 0, "key", "generate", "other", NULL);
    assert_fetched(f, "1.0.1");
    path = daemon_path(f, "other.pub");
    g_assert_true(g_file_get_contents(path, &key, NULL, NULL));
    daemon_write(f, "release.pub", key);
    assert_no_clone(f, "1.0.1", VT_ERROR_UNTRUSTED);
}

static void
test_untrusted_catalog(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *warning = NULL;

    daemon_make_store(f);
    daemon_cli(f, 0, "key", "generate", "other", NULL);
    daemon_policy(f, "other.pub");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 10000, &warning), ==, 0);
    g_assert_cmpstr(warning, !=, "");
    assert_fetch_fails(f, "1.0.1", VT_ERROR_UNTRUSTED, "catalog");
}

/* ---- what is wrong in a store ---- */

static char *
blob_path(const DaemonFixture *f, const VtDigest *digest)
{
    char hex[65];

    return g_strdup_printf("%s/blobs/sha256/%s", f->store, vt_digest_hex(digest, hex));
}

static VtManifest *
read_manifest(DaemonFixture *f, const char *version, VtDigest *ret_digest)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) info = daemon_call(
        f->ro, "GetTemplate", g_variant_new("(sss)", f->pool, "debian-12", version), &error);
    g_autoptr(GVariant) dict = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *path = NULL;
    VtManifest *manifest = NULL;
    const char *digest;

    g_assert_no_error(error);
    g_variant_get(info, "(@a{sv})", &dict);
    g_assert_true(g_variant_lookup(dict, "manifest", "&s", &digest));
    g_assert_true(vt_digest_parse(digest, ret_digest, NULL));
    path = blob_path(f, ret_digest);
    vt_fs_read(AT_FDCWD, path, 4 << 20, &bytes, &error);
    g_assert_no_error(error);
    g_assert_true(vt_manifest_parse(bytes, &manifest, &error));
    return manifest;
}

/* A flipped bit in each kind of blob; mended, the same fetch works */
static void
test_flipped(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    VtDigest digest;

    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    manifest = read_manifest(f, "1.0.1", &digest);
    g_ptr_array_add(paths, blob_path(f, &digest));
    g_ptr_array_add(paths, blob_path(f, &manifest->config->digest));
    for (guint i = 0; i < manifest->layers->len; i++)
        g_ptr_array_add(paths, blob_path(f, &((VtDescriptor *)manifest->layers->pdata[i])->digest));
    g_assert_cmpuint(paths->len, >=, 4);
    for (guint i = 0; i < paths->len; i++) {
        daemon_flip(paths->pdata[i]);
        assert_fetch_fails(f, "1.0.1", VT_ERROR_CORRUPT, NULL);
        g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT);
        daemon_flip(paths->pdata[i]);
    }
    assert_fetched(f, "1.0.1");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE);
}

static void
test_truncated(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(VtManifest) manifest = NULL;
    g_autoptr(GVariant) status = NULL;
    g_autofree char *path = NULL;
    const VtDescriptor *frames;
    VtDigest digest;

    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    manifest = read_manifest(f, "1.0.1", &digest);
    frames = manifest->layers->pdata[manifest->layers->len - 1];
    path = blob_path(f, &frames->digest);
    g_assert_cmpint(truncate(path, (off_t)frames->size / 2), ==, 0);
    status = daemon_fetch(f, "1.0.1");
    g_assert_cmpint(daemon_job_error(status, NULL), !=, -1);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL) & COMPLETE, ==, 0);
}

/* The pool is pointed at a store that never had the version which is here */
static void
test_removed_from_catalog(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *second = daemon_path(f, "store2");
    g_autofree char *url = g_strdup_printf("oci:%s", second);
    g_autofree char *clone = clone_path(f, "clone.qcow2");
    g_autoptr(GError) error = NULL;

    daemon_make_store(f);
    assert_fetched(f, "1.0.0");
    assert_clone(f, "1.0.0", "clone.qcow2");
    daemon_cli(f, 0, "store", "init", "--store", url, "--key", "release.key", NULL);
    g_free(f->store);
    f->store = g_steal_pointer(&second);
    daemon_policy(f, "release.pub");
    daemon_register(f);
    g_assert_cmpuint(daemon_flags(f, "1.0.0", 10000, NULL), ==, COMPLETE | NOT_LISTED);
    assert_no_clone(f, "1.0.0", VT_ERROR_NOT_FOUND);
    g_assert_false(evict(f, "1.0.0", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_clear_error(&error);
    g_assert_cmpint(g_unlink(clone), ==, 0);
    g_assert_true(evict(f, "1.0.0", &error));
    g_assert_no_error(error);
}

/* ---- the pool's directory ---- */

static void
test_disk_full(DaemonFixture *f, gconstpointer data)
{
    daemon_make_store(f);
    g_assert_cmpint(mount("tmpfs", f->pool, "tmpfs", 0, "size=2m,mode=0755"), ==, 0);
    daemon_flags(f, "1.0.1", 10000, NULL);
    assert_fetch_fails(f, "1.0.1", VT_ERROR_NO_SPACE, f->pool);
    g_assert_cmpint(mount("tmpfs", f->pool, "tmpfs", MS_REMOUNT, "size=64m,mode=0755"), ==, 0);
    assert_fetched(f, "1.0.1");
    assert_clone(f, "1.0.1", "clone.qcow2");
    g_assert_cmpint(umount2(f->pool, MNT_DETACH), ==, 0);
}

static void
test_read_only_pool(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariant) status = NULL;

    daemon_make_store(f);
    g_assert_cmpint(mount("tmpfs", f->pool, "tmpfs", MS_RDONLY, "mode=0755"), ==, 0);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 10000, NULL), ==, CURRENT);
    status = daemon_fetch(f, "1.0.1");
    g_assert_cmpint(daemon_job_error(status, "Read-only"), ==, VT_ERROR_FAILED);
    g_assert_cmpint(umount2(f->pool, MNT_DETACH), ==, 0);
}

static void
test_no_pool(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *warning = NULL;

    daemon_make_store(f);
    g_assert_cmpint(g_rmdir(f->pool), ==, 0);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 10000, &warning), ==, CURRENT);
    g_assert_nonnull(strstr(warning, f->pool));
    assert_fetch_fails(f, "1.0.1", VT_ERROR_NOT_FOUND, f->pool);
}

/* A store whose directory the worker's user cannot enter */
static void
test_unreadable_store(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *warning = NULL;

    daemon_make_store(f);
    g_assert_cmpint(chmod(f->store, 0700), ==, 0);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 10000, &warning), ==, 0);
    g_test_message("%s", warning);
    g_assert_nonnull(strstr(warning, f->store));
    g_assert_nonnull(strstr(warning, "Permission denied"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("virttemplated gives its workers other users");
        return 77;
    }
    /* What is mounted here is seen by nobody else, and ends with this process */
    g_assert_cmpint(unshare(CLONE_NEWNS), ==, 0);
    g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
#define ADD(path, function)                                                                        \
    g_test_add(path, DaemonFixture, NULL, daemon_set_up, function, daemon_tear_down)
    ADD("/daemon/whole-way", test_whole_way);
    ADD("/daemon/everything-present", test_everything_present);
    ADD("/daemon/shared-layer", test_shared_layer);
    ADD("/daemon/offline", test_offline);
    ADD("/daemon/policy", test_policy);
    ADD("/daemon/key-replaced", test_key_replaced);
    ADD("/daemon/untrusted-catalog", test_untrusted_catalog);
    ADD("/daemon/flipped", test_flipped);
    ADD("/daemon/truncated", test_truncated);
    ADD("/daemon/removed-from-catalog", test_removed_from_catalog);
    ADD("/daemon/disk-full", test_disk_full);
    ADD("/daemon/read-only-pool", test_read_only_pool);
    ADD("/daemon/no-pool", test_no_pool);
    ADD("/daemon/unreadable-store", test_unreadable_store);
    return g_test_run();
}
