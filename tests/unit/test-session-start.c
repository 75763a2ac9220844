/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-session-start.c: where a user's helper is, and what starting it says */
#include "vts-session.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((gint64)G_USEC_PER_SEC)

typedef struct {
    char *dir;
    char *program;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("test-session-XXXXXX", NULL);
    f->program = g_build_filename(f->dir, "helper", NULL);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    g_autofree char *ran = g_build_filename(f->dir, "ran", NULL);

    g_unlink(ran);
    g_unlink(f->program);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->program);
    g_free(f->dir);
}

/* A script in the place of virttemplated; it has the folder in $0 */
static void
write_program(const Fixture *f, const char *body)
{
    g_autofree char *text = g_strconcat("#!/bin/sh\n", body, "\n", NULL);
    g_autoptr(GError) error = NULL;

    g_file_set_contents_full(f->program, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, &error);
    g_assert_no_error(error);
}

/* libvirtd is not to have children that nobody waits for */
static void
assert_no_child(void)
{
    g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
}

static void
assert_fails(const Fixture *f, gint64 wait, int code, const char *contains)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vts_start(f->program, g_get_monotonic_time() + wait, &error));
    g_assert_error(error, G_IO_ERROR, code);
    g_assert_nonnull(strstr(error->message, f->program));
    g_assert_nonnull(strstr(error->message, contains));
    assert_no_child();
}

static void
test_started(Fixture *f, gconstpointer data)
{
    g_autofree char *ran = g_build_filename(f->dir, "ran", NULL);
    g_autofree char *said = NULL;
    g_autoptr(GError) error = NULL;
    /* Not to be inherited, whatever its flags are */
    int fd = open("/dev/null", O_RDONLY);

    write_program(f, "cd $(dirname $0); echo \"$@\" $OLDPWD >ran; ls /proc/$$/fd | wc -w >>ran");
    g_assert_true(vts_start(f->program, g_get_monotonic_time() + 60 * SECOND, &error));
    g_assert_no_error(error);
    close(fd);
    g_file_get_contents(ran, &said, NULL, &error);
    g_assert_no_error(error);
    /* three, and the script itself, as the shell has it */
    g_assert_cmpstr(said, ==, "--session --background /\n4\n");
    assert_no_child();
}

static void
test_not_there(Fixture *f, gconstpointer data)
{
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "No such file or directory");
    write_program(f, "exit 0");
    g_assert_cmpint(g_chmod(f->program, 0600), ==, 0);
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "Permission denied");
}

/* What it says is the reason, however much that is */
static void
test_says_why(Fixture *f, gconstpointer data)
{
    write_program(f, "echo warning >&2; echo 'virttemplated: the disk is full' >&2; exit 1");
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "did not start: the disk is full");
    write_program(f, "exit 1");
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "did not say why");
    write_program(f, "kill -9 $$");
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "did not say why");
    write_program(f, "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1");
    assert_fails(f, 60 * SECOND, G_IO_ERROR_FAILED, "xxxx");
}

/* libvirtd holds a lock meanwhile */
static void
test_hangs(Fixture *f, gconstpointer data)
{
    write_program(f, "exec sleep 1000");
    assert_fails(f, SECOND / 10, G_IO_ERROR_TIMED_OUT, "in time");
    write_program(f, "exec 2>&-; exec sleep 1000");
    assert_fails(f, SECOND / 10, G_IO_ERROR_FAILED, "did not say why");
}

static void
test_places(void)
{
    g_autofree char *usual = g_strdup_printf("/run/user/%u/virt-template", geteuid());
    g_autofree char *cache = g_build_filename(g_get_user_cache_dir(), "virt-template", NULL);
    g_autofree char *set = NULL, *socket = NULL, *unset = NULL, *relative = NULL;

    g_setenv("XDG_RUNTIME_DIR", "/nonexistent/run", TRUE);
    set = vts_run_dir();
    g_assert_cmpstr(set, ==, "/nonexistent/run/virt-template");
    socket = vts_socket();
    g_assert_cmpstr(socket, ==, "/nonexistent/run/virt-template/virttemplated-sock");
    g_unsetenv("XDG_RUNTIME_DIR");
    unset = vts_run_dir();
    g_assert_true(g_str_equal(unset, usual) || g_str_equal(unset, cache));
    g_setenv("XDG_RUNTIME_DIR", "run", TRUE);
    relative = vts_run_dir();
    g_assert_cmpstr(relative, ==, unset);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(path, function) g_test_add(path, Fixture, NULL, set_up, function, tear_down)
    ADD("/session/started", test_started);
    ADD("/session/not-there", test_not_there);
    ADD("/session/says-why", test_says_why);
    ADD("/session/hangs", test_hangs);
    g_test_add_func("/session/places", test_places);
    return g_test_run();
}
