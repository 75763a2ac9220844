/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-session-lock.c: one helper for a user, whatever became of the one before */
#include "vt-fs.h"
#include "vtd-session.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *dir;
    pid_t holder;
    int held;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("test-session-lock-XXXXXX", NULL);
    f->holder = -1;
    f->held = -1;
}

/* Whoever has the other end of @held, the orphan of a holder too, ends with it */
static void
end_holder(Fixture *f)
{
    if (f->holder >= 0) {
        kill(f->holder, SIGKILL);
        waitpid(f->holder, NULL, 0);
    }
    f->holder = -1;
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *path = g_build_filename(f->dir, "virttemplated.lock", NULL);

    end_holder(f);
    vt_close_fd(&f->held);
    g_unlink(path);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
}

G_GNUC_NORETURN static void
hold(const char *dir, int told, int ends, bool with_child)
{
    vt_autofd fd = -1;
    char nothing;

    if (!vtd_session_lock(dir, &fd, NULL) || fd < 0)
        _exit(EXIT_FAILURE);
    if (!with_child || fork() > 0) {
        if (write(told, "h", 1) != 1)
            _exit(EXIT_FAILURE);
    }
    while (read(ends, &nothing, 1) < 0)
        continue;
    _exit(EXIT_SUCCESS);
}

/* Another process takes the lock, and has a child that inherits all of it if @with_child */
static void
start_holder(Fixture *f, bool with_child)
{
    int told[2], ends[2];
    char byte;

    g_assert_cmpint(pipe2(told, O_CLOEXEC), ==, 0);
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    f->holder = fork();
    g_assert_cmpint(f->holder, >=, 0);
    if (f->holder == 0) {
        close(ends[1]);
        hold(f->dir, told[1], ends[0], with_child);
    }
    close(told[1]);
    close(ends[0]);
    f->held = ends[1];
    g_assert_cmpint(read(told[0], &byte, 1), ==, 1);
    close(told[0]);
}

static void
test_held(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    int fd = -1;

    start_holder(f, false);
    g_assert_false(vtd_session_lock(f->dir, &fd, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, f->dir));
}

static void
test_orphan(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    vt_autofd fd = -1;

    start_holder(f, true);
    end_holder(f);
    g_assert_true(vtd_session_lock(f->dir, &fd, &error));
    g_assert_no_error(error);
    g_assert_cmpint(fd, >=, 0);
}

static void
test_not_a_directory(Fixture *f, gconstpointer data)
{
    g_autofree char *below = g_build_filename("/dev/null", "run", NULL);
    g_autoptr(GError) error = NULL;
    int fd = -1;

    g_assert_false(vtd_session_lock(below, &fd, &error));
    g_assert_nonnull(strstr(error->message, below));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)
    ADD("/session-lock/held", test_held);
    ADD("/session-lock/orphan", test_orphan);
    ADD("/session-lock/not-a-directory", test_not_a_directory);
#undef ADD
    return g_test_run();
}
