/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-task-limit.c: no thread can be started any more: what needed one fails, and nothing else */
#include "vtd-metrics.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As the limit of a unit's tasks does; in a process of its own, which never can again. GLib's own
 * threads must be there before. */
static void
deny_threads(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    g_assert_nonnull(filter);
    g_assert_cmpint(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone), 0), ==, 0);
    g_assert_cmpint(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone3), 0), ==, 0);
    g_assert_cmpint(seccomp_load(filter), ==, 0);
    seccomp_release(filter);
}

static bool
never(VtdJob *job, void *user, GError **error)
{
    g_assert_not_reached();
}

static void
ended(void *user, const GError *error)
{
    g_assert_nonnull(error);
    *(bool *)user = true;
}

/* The job fails, and says why */
static void
job_in_subprocess(void)
{
    const VtdJobSpec spec = {.kind = "verify", .target = "/pool", .name = "a", .version = "1"};
    g_autofree char *dir = g_dir_make_tmp("task-limit-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "state.db", NULL);
    g_autoptr(VtDb) db = NULL;
    g_autoptr(VtdJobs) jobs = NULL;
    g_autoptr(VtDbJob) row = NULL;
    g_autoptr(GError) error = NULL;
    bool over = false;
    VtdJob *job;
    uint64_t id;

    g_assert_true(vt_db_open(path, &db, &error));
    jobs = vtd_jobs_new(db, NULL);
    g_assert_true(vtd_jobs_add(jobs, &spec, &job, &error));
    id = job->row->id;
    deny_threads();
    /* the warning that the operator gets */
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    vtd_job_run(job, &(const VtdJobTask){never, ended, &over, NULL});
    while (!over)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(vtd_jobs_running(jobs), ==, 0);
    g_assert_true(vt_db_get_job(db, id, &row, &error));
    g_assert_cmpstr(row->state, ==, "failed");
    g_assert_nonnull(strstr(row->message, "thread"));
    g_clear_pointer(&jobs, vtd_jobs_free);
    g_clear_pointer(&db, vt_db_close);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static void
measured(void *user)
{
    *(bool *)user = true;
}

/* Whoever asks for numbers gets those that there are */
static void
metrics_in_subprocess(void)
{
    const char *const targets[] = {"/pool", NULL};
    g_autoptr(VtdMetrics) metrics = vtd_metrics_new();
    bool over = false;

    deny_threads();
    vtd_metrics_measure(metrics, g_strdupv((GStrv)targets), measured, &over);
    while (!over)
        g_main_context_iteration(NULL, TRUE);
}

typedef void (*Body)(void);

static void
test_in_subprocess(gconstpointer data)
{
    const Body *body = data;

    if (g_test_subprocess()) {
        (*body)();
        /* The sanitizer looks for leaks in a thread, too, when the process ends */
        _exit(EXIT_SUCCESS);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

int
main(int argc, char **argv)
{
    static const Body job = job_in_subprocess, metrics = metrics_in_subprocess;

    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/task-limit/job", &job, test_in_subprocess);
    g_test_add_data_func("/task-limit/metrics", &metrics, test_in_subprocess);
    return g_test_run();
}
