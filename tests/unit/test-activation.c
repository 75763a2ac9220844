/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-activation.c: workers that a service manager starts, or does not start */
#include "vtd-activation.h"

#include "vt-fs.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* @manager: the manager's socket; the daemon's ends of a worker */
typedef struct {
    char *dir;
    char *path;
    int manager;
    int socket;
    int leash;
} Fixture;

static void
set_up(Fixture *f, gconstpointer data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    f->dir = g_dir_make_tmp("activation-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "seed-worker", NULL);
    f->socket = f->leash = -1;
    f->manager = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, f->path, sizeof(address.sun_path));
    g_assert_cmpint(bind(f->manager, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    /* one waits, and no more */
    g_assert_cmpint(listen(f->manager, 0), ==, 0);
}

static void
tear_down(Fixture *f, gconstpointer data)
{
    vt_close_fd(&f->manager);
    vt_close_fd(&f->socket);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

static void
start(Fixture *f)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(vtd_activation_start(f->path, &f->socket, &f->leash, &error));
    g_assert_no_error(error);
}

/* What the manager starts: 0: it came to its work, and was told to end */
static int
be_worker(int connection)
{
    char byte;

    if (dup2(connection, VTD_WORKER_FD) < 0 || !vtd_activation_accept(NULL))
        return 1;
    /* one that does not look at its channel */
    while (read(STDIN_FILENO, &byte, 1) >= 0)
        pause();
    return 0;
}

/* The manager gets to it. Returns: the worker */
static pid_t
accept_worker(Fixture *f)
{
    vt_autofd connection = accept4(f->manager, NULL, NULL, SOCK_CLOEXEC);
    pid_t pid;

    g_assert_cmpint(connection, >=, 0);
    pid = fork();
    if (pid == 0)
        _exit(be_worker(connection));
    g_assert_cmpint(pid, >, 0);
    return pid;
}

static void
wait_until_present(const Fixture *f)
{
    struct pollfd presence = {.fd = f->leash, .events = POLLIN};

    g_assert_cmpint(poll(&presence, 1, -1), ==, 1);
}

static int
status_of(pid_t pid)
{
    int status;

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status;
}

/* Nobody waits for a manager that has started nothing, and the worker does not stay when it does */
static void
test_not_started(Fixture *f, gconstpointer data)
{
    int status;

    start(f);
    vt_close_fd(&f->socket);
    vtd_activation_let_go(f->leash);
    status = status_of(accept_worker(f));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
}

typedef void (*End)(int leash_fd);

static void
test_started(Fixture *f, gconstpointer data)
{
    const End *end = data;
    pid_t pid;
    int status;

    start(f);
    pid = accept_worker(f);
    wait_until_present(f);
    (*end)(f->leash);
    status = status_of(pid);
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

static void
test_full(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    int socket_fd, leash_fd;

    start(f);
    g_assert_false(vtd_activation_start(f->path, &socket_fd, &leash_fd, &error));
    g_assert_nonnull(strstr(error->message, g_strerror(EAGAIN)));
    g_assert_nonnull(strstr(error->message, f->path));
    vtd_activation_let_go(f->leash);
}

int
main(int argc, char **argv)
{
    static const End end = vtd_activation_end, let_go = vtd_activation_let_go;

    /* what a worker that comes too late says to nobody */
    signal(SIGPIPE, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_test_add("/activation/not-started", Fixture, NULL, set_up, test_not_started, tear_down);
    g_test_add("/activation/let-go", Fixture, &let_go, set_up, test_started, tear_down);
    g_test_add("/activation/end", Fixture, &end, set_up, test_started, tear_down);
    g_test_add("/activation/full", Fixture, NULL, set_up, test_full, tear_down);
    return g_test_run();
}
