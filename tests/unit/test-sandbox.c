/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-sandbox.c: breaks out of the sandbox of each kind of worker, and is stopped
 *
 * Each attempt runs in a child that has entered the workers' own sandbox. What it must come to is
 * in a table with a column for each kind, and so is what a kind needs for its work.
 */
#include "sandbox-attempts.h"

#include "vtd-confine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The user that Debian calls nobody */
#define NOBODY 65534
/* landlock_create_ruleset() tells its version then */
#define LANDLOCK_VERSION 1U
/* What a child returns if it was not let into the sandbox */
#define NOT_IN 255

static World world;

static const char *const kinds[VTD_WORKER_LAST + 1] = {"copy",   "fetch",  "layout", "seed",
                                                       "unpack", "upload", "daemon"};

/* ---- one child ---- */

/* Not of root: how a user runs his own daemon, whose workers have no other user to become */
static void
enter(VtdWorkerKind kind, bool root)
{
    const VtdSandbox sandbox = {kind, root ? NOBODY : 0, root ? NOBODY : 0, world.layout_fd};
    g_autoptr(GError) error = NULL;

    signal(SIGXFSZ, SIG_IGN);
    if (vtd_sandbox_enter(&sandbox, &error))
        return;
    g_printerr("%s\n", error->message);
    _exit(NOT_IN);
}

static Outcome
outcome_of(int status)
{
    static const int refusals[] = {EPERM, EACCES, ENOENT, ENOSYS, EAFNOSUPPORT, EHOSTUNREACH};

    if (WIFSIGNALED(status)) {
        g_assert_cmpint(WTERMSIG(status), ==, SIGSYS);
        return KILLED;
    }
    g_assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 0)
        return DONE;
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        if (WEXITSTATUS(status) == refusals[i])
            return REFUSED;
    }
    g_test_message("status %d: %s", WEXITSTATUS(status), g_strerror(WEXITSTATUS(status)));
    g_assert_not_reached();
}

/* As root's daemon confines itself before it starts a worker, and a user's one */
static void
confine(bool root)
{
    g_autoptr(GError) error = NULL;

    if ((root || setresuid(NOBODY, NOBODY, NOBODY) == 0) && vtd_confine(&error))
        return;
    g_printerr("%s\n", error ? error->message : "no such user");
    _exit(NOT_IN);
}

/* @kind: VTD_WORKER_LAST is the daemon itself */
static Outcome
attempt_in(VtdWorkerKind kind, bool root, const Attempt *attempt)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        confine(root);
        if (kind != VTD_WORKER_LAST)
            enter(kind, root);
        _exit(attempt->attempt(&world));
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return outcome_of(status);
}

static void
test_in(VtdWorkerKind kind, const Attempt *attempt, Outcome expected)
{
    static const char *const words[] = {"was done", "was refused", "killed it"};

    for (int root = 0; root < 2; root++) {
        const Outcome outcome = attempt_in(kind, root, attempt);

        if (outcome == expected)
            continue;
        g_test_message("%s, %s: %s %s, but should not", kinds[kind], root ? "of root" : "of a user",
                       attempt->name, words[outcome]);
        g_test_fail();
    }
}

static void
test_attempt(gconstpointer data)
{
    const Attempt *attempt = data;

    if (attempt->by_landlock && !world.has_landlock) {
        g_test_skip("this kernel has no Landlock");
        return;
    }
    for (VtdWorkerKind kind = 0; kind < VTD_WORKER_LAST; kind++)
        test_in(kind, attempt, attempt->expected[kind]);
}

static void
test_daemon(gconstpointer data)
{
    const Attempt *attempt = data;

    test_in(VTD_WORKER_LAST, attempt, attempt->expected[0]);
}

/* ---- what the kernel says about one ---- */

/* Enters, says so, and waits until its parent closes the pipe */
static pid_t
start_idle(VtdWorkerKind kind, int pipe_fds[2])
{
    pid_t pid = fork();
    char byte;

    g_assert_cmpint(pid, >=, 0);
    if (pid > 0)
        return pid;
    enter(kind, true);
    if (write(pipe_fds[1], "a", 1) != 1)
        _exit(1);
    (void)close(pipe_fds[1]);
    while (read(world.disk_fd, &byte, 0) == 0)
        g_usleep(1000);
    _exit(0);
}

static void
assert_line(const char *status, const char *line)
{
    if (strstr(status, line))
        return;
    g_test_message("'%s' is not in %s", line, status);
    g_test_fail();
}

static void
assert_powerless(pid_t pid, VtdWorkerKind kind)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *network = g_strdup_printf("/proc/%d/ns/net", (int)pid);
    g_autofree char *own = g_file_read_link("/proc/self/ns/net", NULL);
    g_autofree char *its = g_file_read_link(network, NULL);
    g_autofree char *status = NULL;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    assert_line(status, "\nUid:\t65534\t65534\t65534\t65534\n");
    assert_line(status, "\nGid:\t65534\t65534\t65534\t65534\n");
    assert_line(status, "\nGroups:\t \n");
    assert_line(status, "\nCapInh:\t0000000000000000\n");
    assert_line(status, "\nCapPrm:\t0000000000000000\n");
    assert_line(status, "\nCapEff:\t0000000000000000\n");
    assert_line(status, "\nCapBnd:\t0000000000000000\n");
    assert_line(status, "\nCapAmb:\t0000000000000000\n");
    assert_line(status, "\nNoNewPrivs:\t1\n");
    assert_line(status, "\nSeccomp:\t2\n");
    g_assert_true(own && its);
    g_assert_cmpint(g_str_equal(own, its), ==, kind == VTD_WORKER_FETCH);
}

static void
test_power(void)
{
    for (VtdWorkerKind kind = 0; kind < VTD_WORKER_LAST; kind++) {
        int pipe_fds[2];
        char byte;
        pid_t pid;

        g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC), ==, 0);
        pid = start_idle(kind, pipe_fds);
        close(pipe_fds[1]);
        g_assert_cmpint(read(pipe_fds[0], &byte, 1), ==, 1);
        assert_powerless(pid, kind);
        close(pipe_fds[0]);
        kill(pid, SIGKILL);
        g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    }
}

/* As root there is no sandbox without a user: refused, not ignored */
static void
test_no_user(void)
{
    const VtdSandbox none = {.kind = VTD_WORKER_COPY, .layout_fd = -1};
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
        _exit(vtd_sandbox_enter(&none, NULL) ? 0 : NOT_IN);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(WEXITSTATUS(status), ==, NOT_IN);
}

/* ---- the world ---- */

static int
listen_on(const struct sockaddr *address, socklen_t size)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(bind(fd, address, size), ==, 0);
    g_assert_cmpint(listen(fd, 100), ==, 0);
    return fd;
}

static void
make_files(void)
{
    g_autofree char *program = NULL, *disk = NULL;

    world.dir = g_dir_make_tmp("vt-sandbox-XXXXXX", NULL);
    g_assert_nonnull(world.dir);
    g_assert_cmpint(chmod(world.dir, 0755), ==, 0);
    world.open_file = g_build_filename(world.dir, "open", NULL);
    world.socket = g_build_filename(world.dir, "socket", NULL);
    program = g_build_filename(world.dir, "program", NULL);
    disk = g_build_filename(world.dir, "disk", NULL);
    g_assert_true(g_file_set_contents(world.open_file, "a", 1, NULL));
    g_assert_cmpint(chmod(world.open_file, 0666), ==, 0);
    g_assert_true(g_file_set_contents(program, "#!/bin/sh\nexit 0\n", -1, NULL));
    g_assert_cmpint(chmod(program, 0755), ==, 0);
    world.read_only_fd = open(world.open_file, O_RDONLY | O_CLOEXEC);
    world.disk_fd = open(disk, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    world.layout_fd = open(world.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(world.read_only_fd, >=, 0);
    g_assert_cmpint(world.disk_fd, >=, 0);
    g_assert_cmpint(world.layout_fd, >=, 0);
}

static void
make_world(void)
{
    struct sockaddr_in tcp = {.sin_family = AF_INET};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(tcp);

    make_files();
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(getsockname(listen_on((struct sockaddr *)&tcp, sizeof(tcp)),
                                (struct sockaddr *)&tcp, &size),
                    ==, 0);
    world.tcp_port = ntohs(tcp.sin_port);
    g_strlcpy(path.sun_path, world.socket, sizeof(path.sun_path));
    listen_on((struct sockaddr *)&path, sizeof(path));
    g_assert_cmpint(chmod(world.socket, 0666), ==, 0);
    world.parent = getpid();
    world.has_landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION) > 0;
}

static void
remove_world(void)
{
    static const char *const names[] = {"open", "socket", "program", "disk"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(world.dir, names[i], NULL);

        g_assert_cmpint(unlink(path), ==, 0);
    }
    g_assert_cmpint(rmdir(world.dir), ==, 0);
}

static void
add_all(const char *suite, const Attempt *all, GTestDataFunc test)
{
    for (; all->name; all++) {
        g_autofree char *path = g_strconcat("/sandbox/", suite, "/", all->name, NULL);

        g_test_add_data_func(path, all, test);
    }
}

int
main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("only root can give a process another user");
        return 77;
    }
    make_world();
    add_all("attack", sandbox_attacks, test_attempt);
    add_all("option", sandbox_options, test_attempt);
    add_all("need", sandbox_needs, test_attempt);
    add_all("daemon", sandbox_daemon, test_daemon);
    g_test_add_func("/sandbox/power", test_power);
    g_test_add_func("/sandbox/no-user", test_no_user);
    status = g_test_run();
    remove_world();
    return status;
}
