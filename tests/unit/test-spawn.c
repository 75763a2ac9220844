/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-spawn.c: workers that are ended, and those that ended by themselves */
#include "vtd-spawn.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

typedef struct {
    char *folder;
    char *program;
    VtdMonitor *monitor;
    VtdProcess process;
} Worker;

/* @data: what it does, in shell */
static void
set_up(Worker *w, gconstpointer data)
{
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n%s\n", (const char *)data);

    w->folder = g_dir_make_tmp("test-spawn-XXXXXX", NULL);
    w->program = g_build_filename(w->folder, "worker", NULL);
    w->monitor = vtd_monitor_new();
    g_assert_true(g_file_set_contents(w->program, script, -1, NULL));
    g_assert_cmpint(chmod(w->program, 0700), ==, 0);
    g_assert_true(vtd_process_start_counted(w->program, w->monitor, &w->process, NULL));
}

static void
tear_down(Worker *w, gconstpointer data)
{
    vtd_process_end(&w->process);
    vtd_monitor_free(w->monitor);
    g_assert_cmpint(g_unlink(w->program), ==, 0);
    g_assert_cmpint(g_rmdir(w->folder), ==, 0);
    g_free(w->program);
    g_free(w->folder);
}

/* Ends it, and looks how many were counted as failed */
static void
assert_failures(Worker *w, const char *expected)
{
    g_autofree char *line = g_strdup_printf("worker_failures_total %s\n", expected);
    g_autoptr(GString) text = g_string_new(NULL);
    const pid_t pid = w->process.pid;

    vtd_process_end(&w->process);
    g_assert_cmpint(kill(pid, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
    vtd_monitor_format(w->monitor, text);
    if (!strstr(text->str, line))
        g_error("no '%s' in:\n%s", line, text->str);
}

static void
wait_until_ended(const Worker *w)
{
    siginfo_t info;

    g_assert_cmpint(waitid(P_PID, (id_t)w->process.pid, &info, WEXITED | WNOWAIT), ==, 0);
}

static void
test_end(Worker *w, gconstpointer data)
{
    assert_failures(w, "0");
}

/* What was killed is no failure, whether it is gone already or not */
static void
test_kill(Worker *w, gconstpointer data)
{
    vtd_process_kill(&w->process);
    g_assert_cmpint(w->process.socket_fd, ==, -1);
    assert_failures(w, "0");
}

static void
test_killed_and_gone(Worker *w, gconstpointer data)
{
    vtd_process_kill(&w->process);
    wait_until_ended(w);
    assert_failures(w, "0");
}

static void
test_crashed(Worker *w, gconstpointer data)
{
    wait_until_ended(w);
    vtd_process_kill(&w->process);
    assert_failures(w, "1");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/spawn/end", Worker, "exec sleep 600", set_up, test_end, tear_down);
    g_test_add("/spawn/kill", Worker, "exec sleep 600", set_up, test_kill, tear_down);
    g_test_add("/spawn/killed-and-gone", Worker, "exec sleep 600", set_up, test_killed_and_gone,
               tear_down);
    g_test_add("/spawn/crashed", Worker, "kill -KILL $$", set_up, test_crashed, tear_down);
    return g_test_run();
}
