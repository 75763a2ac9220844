/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-db.c: the daemon's database */
#include "database.h"
#include "vt-db.h"
#include "vt-sha256.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    char *dir;
    char *path;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer data)
{
    fixture->dir = g_dir_make_tmp("test-db-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->dir, "state.db", NULL);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GDir) dir = g_dir_open(fixture->dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(fixture->dir, name, NULL);

        g_assert_cmpint(g_unlink(path), ==, 0);
    }
    g_assert_cmpint(g_rmdir(fixture->dir), ==, 0);
    g_free(fixture->path);
    g_free(fixture->dir);
}

static VtDb *
open_db(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    VtDb *db = NULL;

    vt_db_open(fixture->path, &db, &error);
    g_assert_no_error(error);
    return db;
}

static void
test_pools(Fixture *fixture, gconstpointer data)
{
    VtPoolSettings settings = {
        .target = (char *)"/pool",
        .name = (char *)"templates",
        .uuid = (char *)"u",
        .store = (char *)"oci:/srv",
        .policy = (char *)"/p.json",
        .strategy = (char *)"linked",
        .defaults = (char *)"/d.yaml",
        .cache_max = 7,
    };
    g_autoptr(VtDb) db = open_db(fixture);
    g_autoptr(GPtrArray) pools = NULL;
    g_autoptr(GError) error = NULL;
    const VtPoolSettings *got;
    struct stat st;

    g_assert_true(vt_db_put_pool(db, &settings, &error));
    settings.store = (char *)"oci:/srv/other";
    g_assert_true(vt_db_put_pool(db, &settings, &error));
    g_clear_pointer(&db, vt_db_close);
    db = open_db(fixture);
    g_assert_true(vt_db_list_pools(db, &pools, &error));
    g_assert_cmpuint(pools->len, ==, 1);
    got = g_ptr_array_index(pools, 0);
    g_assert_cmpstr(got->store, ==, "oci:/srv/other");
    g_assert_cmpstr(got->defaults, ==, "/d.yaml");
    g_assert_cmpuint(got->cache_max, ==, 7);
    g_assert_cmpint(stat(fixture->path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    g_assert_true(vt_db_forget_pool(db, "/pool", &error));
    g_clear_pointer(&pools, g_ptr_array_unref);
    g_assert_true(vt_db_list_pools(db, &pools, &error));
    g_assert_cmpuint(pools->len, ==, 0);
}

static void
test_catalog(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GBytes) document = g_bytes_new_static("a\0b", 3);
    g_autoptr(GBytes) empty = g_bytes_new_static("", 0);
    VtDbCatalog catalog = {(char *)"oci:/srv", {{1, 2, 3}}, document, empty, 42};
    g_autoptr(VtDb) db = open_db(fixture);
    g_auto(VtDbCatalog) got = {0};
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_db_get_catalog(db, "/pool", &got, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(vt_db_put_catalog(db, "/pool", &catalog, &error));
    g_assert_true(vt_db_get_catalog(db, "/pool", &got, &error));
    g_assert_true(g_bytes_equal(got.document, document));
    g_assert_true(vt_digest_equal(&got.manifest, &catalog.manifest));
    g_assert_cmpint(got.checked, ==, 42);
}

static void
test_jobs(Fixture *fixture, gconstpointer data)
{
    VtDbJob job = {.kind = (char *)"fetch",
                   .target = (char *)"/pool",
                   .name = (char *)"debian-12",
                   .version = (char *)"1.0.0",
                   .owner = 1000,
                   .state = (char *)"running",
                   .started = 5};
    g_autoptr(VtDb) db = open_db(fixture);
    g_autoptr(GPtrArray) jobs = NULL;
    g_autoptr(VtDbJob) got = NULL;
    g_autoptr(GError) error = NULL;
    uint64_t first;

    g_assert_true(vt_db_put_job(db, &job, &error));
    g_assert_no_error(error);
    first = job.id;
    g_assert_cmpuint(first, >, 0);
    job.state = (char *)"done";
    g_assert_true(vt_db_put_job(db, &job, &error));
    g_assert_cmpuint(job.id, ==, first);
    job.id = 0;
    g_assert_true(vt_db_put_job(db, &job, &error));
    g_assert_cmpuint(job.id, >, first);
    g_assert_true(vt_db_list_jobs(db, 10, &jobs, &error));
    g_assert_cmpuint(jobs->len, ==, 2);
    g_assert_cmpuint(((VtDbJob *)g_ptr_array_index(jobs, 0))->id, ==, job.id);
    g_assert_true(vt_db_get_job(db, first, &got, &error));
    g_assert_cmpstr(got->state, ==, "done");
    g_assert_cmpuint(got->owner, ==, 1000);
    g_clear_pointer(&got, vt_db_job_free);
    g_assert_false(vt_db_get_job(db, 12345, &got, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
}

/* A new job takes the place of an old one, or nothing is changed */
static void
test_job_refused(Fixture *fixture, gconstpointer data)
{
    VtDbJob old = {.kind = (char *)"fetch", .state = (char *)"done"};
    VtDbJob job = {.kind = (char *)"verify", .state = (char *)"running"};
    g_autoptr(VtDb) db = open_db(fixture);
    g_autoptr(GPtrArray) jobs = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_db_put_job(db, &old, &error));
    database_run(fixture->path,
                 "UPDATE sqlite_sequence SET seq=5000;"
                 "CREATE TRIGGER keep BEFORE DELETE ON jobs BEGIN SELECT raise(FAIL, 'no'); END;");
    g_assert_false(vt_db_put_job(db, &job, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "no"));
    g_clear_error(&error);
    g_assert_cmpuint(job.id, ==, 0);
    g_assert_cmpint(database_number(fixture->path, "SELECT count(*) FROM jobs"), ==, 1);
    database_run(fixture->path, "DROP TRIGGER keep");
    g_assert_true(vt_db_put_job(db, &job, &error));
    g_assert_true(vt_db_list_jobs(db, 10, &jobs, &error));
    g_assert_cmpuint(jobs->len, ==, 1);
    g_assert_cmpuint(((VtDbJob *)jobs->pdata[0])->id, ==, job.id);
    g_assert_cmpstr(((VtDbJob *)jobs->pdata[0])->kind, ==, "verify");
}

/* Of a release that counted clones */
static void
test_old(Fixture *fixture, gconstpointer data)
{
    VtDbJob job = {.kind = (char *)"fetch", .state = (char *)"done"};
    g_autoptr(VtDb) db = open_db(fixture);
    g_autoptr(GPtrArray) jobs = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_db_put_job(db, &job, &error));
    g_clear_pointer(&db, vt_db_close);
    database_run(fixture->path, "CREATE TABLE usage(target TEXT, reference TEXT);"
                                "INSERT INTO usage VALUES('/pool', 'debian@1')");
    db = open_db(fixture);
    g_assert_true(vt_db_list_jobs(db, 10, &jobs, &error));
    g_assert_cmpuint(jobs->len, ==, 1);
    g_assert_cmpint(
        database_number(fixture->path, "SELECT count(*) FROM sqlite_master WHERE name='usage'"), ==,
        0);
}

static void
test_damage(Fixture *fixture, gconstpointer data)
{
    const VtDigest one = {{1}}, two = {{2}};
    g_autoptr(VtDb) db = open_db(fixture);
    g_autoptr(GPtrArray) damage = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(vt_db_put_damage(db, "/pool", &one, "bad", &error));
    g_assert_true(vt_db_put_damage(db, "/pool", &one, "worse", &error));
    g_assert_true(vt_db_put_damage(db, "/other", &two, "bad", &error));
    /* The files stay when libvirt forgets a pool, and so does what is known of them */
    g_assert_true(vt_db_forget_pool(db, "/pool", &error));
    g_clear_pointer(&db, vt_db_close);
    db = open_db(fixture);
    g_assert_true(vt_db_list_damage(db, "/pool", &damage, &error));
    g_assert_cmpuint(damage->len, ==, 1);
    g_assert_true(vt_digest_equal(&((VtDbDamage *)damage->pdata[0])->index, &one));
    g_assert_cmpstr(((VtDbDamage *)damage->pdata[0])->reason, ==, "worse");
    g_assert_true(vt_db_put_damage(db, "/pool", &one, NULL, &error));
    g_clear_pointer(&damage, g_ptr_array_unref);
    g_assert_true(vt_db_list_damage(db, "/pool", &damage, &error));
    g_assert_cmpuint(damage->len, ==, 0);
}

static void
test_damaged(Fixture *fixture, gconstpointer data)
{
    g_autofree char *aside = g_strconcat(fixture->path, ".damaged", NULL);
    g_autoptr(VtDb) db = NULL;

    g_assert_true(g_file_set_contents(fixture->path,
                                      "this is not a database, but long enough "
                                      "for one to be looked for in it ..........",
                                      -1, NULL));
    db = open_db(fixture);
    g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
}

static void
test_no_directory(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(VtDb) db = NULL;

    g_assert_false(vt_db_open("/nonexistent/state.db", &db, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(g_strrstr(error->message, "/nonexistent/state.db"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)
    ADD("/db/pools", test_pools);
    ADD("/db/catalog", test_catalog);
    ADD("/db/jobs", test_jobs);
    ADD("/db/job-refused", test_job_refused);
    ADD("/db/old", test_old);
    ADD("/db/damage", test_damage);
    ADD("/db/damaged", test_damaged);
    ADD("/db/no-directory", test_no_directory);
    return g_test_run();
}
