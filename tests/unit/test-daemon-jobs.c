/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-daemon-jobs.c: jobs of virttemplated: joined, cancelled, interrupted, and what they find */
#include "daemon-asserts.h"
#include "database.h"

#include "vt-db.h"

#include <gio/gunixfdlist.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static void
test_single_flight(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *state = NULL;
    guint64 first, second;

    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    first = daemon_begin_fetch(f, "1.0.1");
    second = daemon_begin_fetch(f, "");
    g_assert_cmpuint(first, ==, second);
    state = wait_state(f, second);
    g_assert_cmpstr(state, ==, "done");
}

static void
test_cancel(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariant) answer = NULL;
    g_autofree char *state = NULL;
    g_autoptr(GError) error = NULL;
    guint64 job;

    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    job = daemon_begin_fetch(f, "1.0.1");
    answer = daemon_call(f->rw, "CancelJob", g_variant_new("(t)", job), &error);
    g_assert_no_error(error);
    state = wait_state(f, job);
    g_assert_cmpstr(state, ==, "cancelled");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT);
    assert_fetched(f, "1.0.1");
}

/* Killed in the middle, the next daemon goes on with the job */
static void
test_killed(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *state = NULL;
    guint64 job;

    daemon_make_store(f);
    daemon_flags(f, "1.0.1", 10000, NULL);
    job = daemon_begin_fetch(f, "1.0.1");
    g_usleep(20 * 1000);
    daemon_stop(f, SIGKILL);
    daemon_start(f);
    state = wait_state(f, job);
    g_assert_cmpstr(state, ==, "done");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE);
}

static void
test_verify(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariant) answer = NULL;
    g_autofree char *state = NULL;
    g_autoptr(GError) error = NULL;
    guint64 job;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    answer = daemon_call(f->rw, "Verify", g_variant_new("(sss)", f->pool, "debian-12", ""), &error);
    g_assert_no_error(error);
    g_variant_get(answer, "(t)", &job);
    state = wait_state(f, job);
    g_assert_cmpstr(state, ==, "done");
}

/* MakeOverlay that is not waited for */
typedef struct {
    GError *error;
    bool answered;
} Overlay;

static void
overlay_answered(GObject *source, GAsyncResult *result, gpointer data)
{
    Overlay *overlay = data;
    GVariant *answer = g_dbus_connection_call_with_unix_fd_list_finish(
        G_DBUS_CONNECTION(source), NULL, result, &overlay->error);

    g_clear_pointer(&answer, g_variant_unref);
    overlay->answered = true;
}

static void
begin_overlay(DaemonFixture *f, const char *version, const char *path, Overlay *overlay)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new_from_array(&fd, 1);

    g_dbus_connection_call_with_unix_fd_list(
        f->rw, NULL, "/virttemplate/Helper1", "virttemplate.Helper1", "MakeOverlay",
        g_variant_new("(ssshts@a{sv})", f->pool, "debian-12", version, 0, (guint64)0, path,
                      g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0)),
        NULL, G_DBUS_CALL_FLAGS_NONE, G_MAXINT, fds, NULL, overlay_answered, overlay);
}

static VtSeal
query_seal(const char *path)
{
    vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    return vt_seal_query(fd);
}

/* 1.0.1 is here and sealed; then the daemon ends and @version loses its seal. As long as @lock is
 * held, nothing can be sealed. Returns: the seal that it had */
static VtSeal
lose_seal(DaemonFixture *f, const char *version, int *lock)
{
    g_autofree char *layers = clone_path(f, ".layers");
    VtSeal seal;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    daemon_stop(f, SIGTERM);
    seal = query_seal(version);
    unseal(version);
    *lock = open(layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(flock(*lock, LOCK_EX), ==, 0);
    return seal;
}

/* The seal of a layer that was lost comes before a clone, and nobody else waits for it */
static void
test_sealed_first(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *version = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autofree char *path = clone_path(f, "clone.qcow2");
    g_autoptr(GVariant) hello = NULL;
    g_autoptr(GError) error = NULL;
    Overlay overlay = {0};
    vt_autofd lock = -1;
    VtSeal seal;

    seal = lose_seal(f, version, &lock);
    daemon_start(f);
    begin_overlay(f, "1.0.1", path, &overlay);
    hello = daemon_call(f->rw, "Hello", NULL, &error);
    g_assert_no_error(error);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_false(overlay.answered);
    g_assert_cmpint(query_seal(version), ==, seal & VT_SEAL_VERITY);
    close(vt_steal_fd(&lock));
    while (!overlay.answered)
        g_main_context_iteration(NULL, TRUE);
    g_assert_no_error(overlay.error);
    g_assert_cmpint(query_seal(version), ==, seal);
}

/* A daemon that nobody uses does not end before all is sealed that can be */
static void
test_sealed_idle(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *version = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autoptr(GSubprocess) process = NULL;
    g_autoptr(GError) error = NULL;
    vt_autofd lock = -1;
    VtSeal seal;

    seal = lose_seal(f, version, &lock);
    process = daemon_activate(f, "state");
    g_usleep(3500 * 1000);
    g_assert_nonnull(g_subprocess_get_identifier(process));
    g_assert_cmpint(query_seal(version), ==, seal & VT_SEAL_VERITY);
    close(vt_steal_fd(&lock));
    g_subprocess_wait(process, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_get_successful(process));
    g_assert_cmpint(query_seal(version), ==, seal);
}

/* MakeOverlay into a file that is at @hidden until it is whole */
static bool
make_hidden(DaemonFixture *f, const char *hidden, const char *path, GVariant *option,
            GError **error)
{
    int fd = open(hidden, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new_from_array(&fd, 1);
    GVariantDict options;
    g_autoptr(GVariant) answer = NULL;

    g_variant_dict_init(&options, NULL);
    g_variant_dict_insert_value(&options, "hidden", option);
    answer = daemon_call_with(f->rw, "MakeOverlay",
                              g_variant_new("(ssshts@a{sv})", f->pool, "debian-12", "1.0.1", 0,
                                            (guint64)0, path, g_variant_dict_end(&options)),
                              fds, error);
    return answer != NULL;
}

static void
assert_busy(DaemonFixture *f, const char *contains)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(evict(f, "1.0.1", &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, contains));
}

/* A clone counts while its file is hidden and when it has its name, but not when both are gone */
static void
test_hidden(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *path = clone_path(f, "clone.qcow2");
    g_autofree char *hidden = clone_path(f, ".hidden");
    g_autoptr(GError) error = NULL;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    g_assert_false(make_hidden(f, hidden, path, g_variant_new_boolean(TRUE), &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_assert_nonnull(strstr(error->message, "'hidden' of type b"));
    g_clear_error(&error);
    g_assert_false(make_hidden(f, hidden, path, g_variant_new_string(".hidden"), &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_INVALID);
    g_clear_error(&error);
    for (int i = 0; i < 2; i++) {
        g_assert_true(make_hidden(f, hidden, path, g_variant_new_string(hidden), &error));
        g_assert_no_error(error);
        assert_busy(f, "a clone is being made at");
        if (i == 0) {
            g_assert_cmpint(g_rename(hidden, path), ==, 0);
            assert_busy(f, "is needed by 1 clone: ");
        }
        g_assert_cmpint(g_unlink(i == 0 ? path : hidden), ==, 0);
    }
    g_assert_true(evict(f, "1.0.1", &error));
    g_assert_no_error(error);
}

/* Who has waited long enough for a pool removes the file: the copy is not made when the pool is
 * back */
static void
test_deleted(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *path = clone_path(f, "copy.img");
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    vt_autofd fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GVariant) status = NULL;
    g_autoptr(GError) error = NULL;
    struct stat st;
    guint64 job;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    g_unix_fd_list_append(fds, fd, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_unlink(path), ==, 0);
    answer = daemon_call_with(f->rw, "MakeCopy",
                              g_variant_new("(ssshsts@a{sv})", f->pool, "debian-12", "1.0.1", 0,
                                            "raw", (guint64)0, path,
                                            g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0)),
                              fds, &error);
    g_assert_no_error(error);
    g_variant_get(answer, "(t)", &job);
    status = daemon_wait(f, job);
    g_assert_cmpint(daemon_job_error(status, "was deleted"), ==, VT_ERROR_FAILED);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    g_assert_cmpint(st.st_blocks, ==, 0);
}

/* What verification found damaged is refused, also after a restart, until it is evicted */
static void
test_damaged_layer(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *layer = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autofree char *bad = NULL;
    g_autofree char *mended = NULL;
    g_autofree char *again = NULL;
    g_autoptr(GVariant) status = NULL;
    g_autoptr(GError) error = NULL;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    unseal(layer);
    daemon_flip(layer);
    bad = verify(f, "1.0.1");
    g_assert_cmpstr(bad, ==, "failed");
    assert_no_clone(f, "1.0.1", VT_ERROR_CORRUPT);
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE | REFUSED);
    daemon_stop(f, SIGTERM);
    daemon_start(f);
    assert_no_clone(f, "1.0.1", VT_ERROR_CORRUPT);
    status = daemon_fetch(f, "1.0.1");
    g_assert_cmpint(daemon_job_error(status, "verify --repair"), ==, VT_ERROR_CORRUPT);
    /* The start has sealed it again */
    unseal(layer);
    daemon_flip(layer);
    mended = verify(f, "1.0.1");
    g_assert_cmpstr(mended, ==, "done");
    assert_clone(f, "1.0.1", "clone.qcow2");
    g_free(g_steal_pointer(&bad));
    daemon_flip(layer);
    bad = verify(f, "1.0.1");
    g_assert_cmpstr(bad, ==, "failed");
    unlink_clone(f, "clone.qcow2");
    g_assert_true(evict(f, "1.0.1", &error));
    g_assert_no_error(error);
    assert_fetched(f, "1.0.1");
    assert_clone(f, "1.0.1", "clone.qcow2");
    g_assert_cmpuint(daemon_flags(f, "1.0.1", 0, NULL), ==, CURRENT | COMPLETE);
    again = verify(f, "1.0.1");
    g_assert_cmpstr(again, ==, "done");
}

/* What is found damaged is refused, also if the pool's settings change while it is looked at */
static void
test_damaged_meanwhile(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *layer = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autofree char *url = NULL, *state = NULL;
    guint64 fetch;

    daemon_make_store(f);
    fetch = daemon_begin_fetch(f, "1.0.1");
    g_variant_unref(daemon_wait(f, fetch));
    unseal(layer);
    daemon_flip(layer);
    /* It gets both calls at once */
    g_subprocess_send_signal(f->daemon, SIGSTOP);
    daemon_send(f->rw, "Verify", g_variant_new("(sss)", f->pool, "debian-12", "1.0.1"));
    g_assert_true(g_dbus_connection_flush_sync(f->rw, NULL, NULL));
    g_subprocess_send_signal(f->daemon, SIGCONT);
    url = g_strconcat("oci:", f->store, NULL);
    daemon_register_as(f, "renamed", f->pool, url);
    state = wait_state(f, fetch + 1);
    g_assert_cmpstr(state, ==, "failed");
    assert_no_clone(f, "1.0.1", VT_ERROR_CORRUPT);
}

/* The status of a repair that has ended */
static GVariant *
repair(DaemonFixture *f, const char *version)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        daemon_call(f->rw, "Repair", g_variant_new("(sss)", f->pool, "debian-12", version), &error);
    guint64 job;

    g_assert_no_error(error);
    g_variant_get(answer, "(t)", &job);
    return daemon_wait(f, job);
}

/* A damaged layer is made again, under the names that it has */
static void
test_repair(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *layer = clone_path(f, "debian-12@1.0.1.qcow2");
    g_autoptr(GVariant) idle = NULL, mended = NULL, missing = NULL;
    g_autofree char *bad = NULL, *good = NULL;
    const char *message = NULL;
    guint64 received = 0;

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    idle = repair(f, "1.0.1");
    g_assert_cmpint(daemon_job_error(idle, NULL), ==, -1);
    g_assert_false(g_variant_lookup(idle, "message", "&s", &message));
    unseal(layer);
    daemon_flip(layer);
    bad = verify(f, "1.0.1");
    g_assert_cmpstr(bad, ==, "failed");
    mended = repair(f, "");
    g_assert_cmpint(daemon_job_error(mended, NULL), ==, -1);
    g_assert_true(g_variant_lookup(mended, "message", "&s", &message));
    g_assert_cmpstr(message, ==, "1 of 1 layers were repaired");
    g_assert_true(g_variant_lookup(mended, "received", "t", &received));
    g_assert_cmpuint(received, <=, 132000);
    good = verify(f, "1.0.1");
    g_assert_cmpstr(good, ==, "done");
    assert_clone(f, "1.0.1", "clone.qcow2");
    missing = repair(f, "1.0.0");
    g_assert_cmpint(daemon_job_error(missing, "not on this host"), ==, VT_ERROR_NOT_FOUND);
}

static void
assert_metric(DaemonFixture *f, const char *line)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = daemon_call(f->ro, "GetMetrics", NULL, &error);
    const char *text;

    g_assert_no_error(error);
    g_variant_get(answer, "(&s)", &text);
    g_assert_nonnull(strstr(text, line));
}

/* Jobs that nobody runs have an end for who waits, however many came after them */
static void
test_lost(DaemonFixture *f, gconstpointer data)
{
    VtDbJob job = {.kind = (char *)"verify",
                   .target = f->pool,
                   .name = (char *)"debian-12",
                   .version = (char *)"1.0.0",
                   .state = (char *)"running"};
    g_autofree char *path = daemon_path(f, "state/state.db");
    g_autoptr(GVariant) answer = NULL;
    g_autofree char *state = NULL;
    g_autoptr(VtDb) db = NULL;
    g_autoptr(GError) error = NULL;
    guint64 first;

    daemon_stop(f, SIGTERM);
    g_assert_true(vt_db_open(path, &db, &error));
    g_assert_true(vt_db_put_job(db, &job, &error));
    first = job.id;
    job.state = (char *)"done";
    for (int i = 0; i < 60; i++) {
        job.id = 0;
        g_assert_true(vt_db_put_job(db, &job, &error));
    }
    daemon_start(f);
    state = wait_state(f, first);
    g_assert_cmpstr(state, ==, "failed");
    assert_metric(f, "jobs_ended_total{kind=\"verify\",outcome=\"failed\"} 1\n");
    job.id = 0;
    job.state = (char *)"running";
    g_assert_true(vt_db_put_job(db, &job, &error));
    answer = daemon_call(f->ro, "JobWait", g_variant_new("(tu)", job.id, 10000), &error);
    g_assert_null(answer);
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
}

/* Returns: (transfer full): what ListJobs tells of a job */
static char *
listed_state(DaemonFixture *f, guint64 job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = daemon_call(f->ro, "ListJobs", NULL, &error);
    g_autoptr(GVariant) list = NULL;

    g_assert_no_error(error);
    list = g_variant_get_child_value(answer, 0);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        g_autoptr(GVariant) status = g_variant_get_child_value(list, i);
        guint64 id = 0;
        char *state = NULL;

        g_assert_true(g_variant_lookup(status, "id", "t", &id));
        if (id == job && g_variant_lookup(status, "state", "s", &state))
            return state;
    }
    g_assert_not_reached();
}

/* Nobody will end a job that says that it runs, and does not */
static void
test_lost_listed(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *path = daemon_path(f, "state/state.db");
    g_autofree char *state = NULL;

    database_run(path,
                 "INSERT INTO jobs(id, kind, state, owner) VALUES(7, 'verify', 'running', 0)");
    state = listed_state(f, 7);
    g_assert_cmpstr(state, ==, "failed");
}

/* While the database cannot take the end of a job it is told all the same, and written later: one
 * of a job that was interrupted, and one of a job that has run */
static void
test_unwritten(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *path = daemon_path(f, "state/state.db");
    g_autofree char *interrupted = NULL, *verified = NULL, *listed = NULL;
    static const char *const ends =
        "SELECT count(*) FROM jobs WHERE kind='verify' AND state IN ('done', 'failed') AND ended>0";

    daemon_make_store(f);
    assert_fetched(f, "1.0.1");
    daemon_stop(f, SIGTERM);
    database_run(path, "INSERT INTO jobs(id, kind, target, name, version, state, owner)"
                       " VALUES(100, 'verify', '/pool', 'debian-12', '1.0.1', 'running', 0);"
                       "CREATE TRIGGER full BEFORE INSERT ON jobs WHEN new.state!='running'"
                       " BEGIN SELECT raise(FAIL, 'full'); END;");
    daemon_start(f);
    interrupted = listed_state(f, 100);
    g_assert_cmpstr(interrupted, ==, "failed");
    verified = verify(f, "1.0.1");
    g_assert_cmpstr(verified, ==, "done");
    listed = listed_state(f, 101);
    g_assert_cmpstr(listed, ==, "done");
    g_assert_cmpint(database_number(path, ends), ==, 0);
    /* Nobody asks before the daemon ends */
    database_run(path, "DROP TRIGGER full");
    daemon_stop(f, SIGTERM);
    g_assert_cmpint(database_number(path, ends), ==, 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("virttemplated gives its workers other users");
        return 77;
    }
#define ADD(path, function)                                                                        \
    g_test_add(path, DaemonFixture, NULL, daemon_set_up, function, daemon_tear_down)
    ADD("/daemon/single-flight", test_single_flight);
    ADD("/daemon/cancel", test_cancel);
    ADD("/daemon/killed", test_killed);
    ADD("/daemon/verify", test_verify);
    ADD("/daemon/sealed-first", test_sealed_first);
    ADD("/daemon/sealed-idle", test_sealed_idle);
    ADD("/daemon/hidden", test_hidden);
    ADD("/daemon/deleted", test_deleted);
    ADD("/daemon/damaged-layer", test_damaged_layer);
    ADD("/daemon/damaged-meanwhile", test_damaged_meanwhile);
    ADD("/daemon/repair", test_repair);
    ADD("/daemon/lost", test_lost);
    ADD("/daemon/lost-listed", test_lost_listed);
    ADD("/daemon/unwritten", test_unwritten);
    return g_test_run();
}
