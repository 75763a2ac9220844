/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-worker.c: what a worker process can still do once it is in its sandbox */
#include "vtd-sandbox.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The user that Debian calls nobody */
#define NOBODY 65534

/* Each check runs in a child that has entered the sandbox; what it returns is its exit status */
static int
in_sandbox(const VtdSandbox *sandbox, int (*check)(void))
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        signal(SIGXFSZ, SIG_IGN);
        _exit(vtd_sandbox_enter(sandbox, NULL) ? check() : 100);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const VtdSandbox fetch = {
    .uid = NOBODY, .gid = NOBODY, .file_size_max = 1 << 20, .files_max = 16};
static const VtdSandbox unpack = {
    .uid = NOBODY, .gid = NOBODY, .no_network = true, .file_size_max = 1 << 20, .files_max = 16};

static int
has_no_power(void)
{
    gid_t groups[1];

    if (getuid() != NOBODY || geteuid() != NOBODY || getgid() != NOBODY)
        return 1;
    if (getgroups(1, groups) != 0)
        return 2;
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) != 0)
            return 3;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 4;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 5;
    return setuid(0) == 0 || seteuid(0) == 0 ? 6 : 0;
}

static void
test_power(void)
{
    g_assert_cmpint(in_sandbox(&fetch, has_no_power), ==, 0);
    g_assert_cmpint(in_sandbox(&unpack, has_no_power), ==, 0);
}

static int
reads_roots_file(void)
{
    return open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 ? 1 : errno == EACCES ? 0 : 2;
}

static void
test_files(void)
{
    g_assert_cmpint(in_sandbox(&unpack, reads_roots_file), ==, 0);
}

static int
has_network(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    vt_autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* A network of its own, where not even the loopback interface is up */
    if (fd < 0)
        return 2;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return 1;
    return errno == ENETUNREACH ? 0 : 3;
}

static void
test_network(void)
{
    g_assert_cmpint(in_sandbox(&unpack, has_network), ==, 0);
    g_assert_cmpint(in_sandbox(&fetch, has_network), ==, 1);
}

static int
exceeds_limits(void)
{
    char path[] = "/tmp/test-worker-XXXXXX";
    vt_autofd fd = mkstemp(path);

    if (fd < 0 || unlink(path) < 0)
        return 1;
    if (ftruncate(fd, 1 << 20) < 0 || ftruncate(fd, (1 << 20) + 1) == 0 || errno != EFBIG)
        return 2;
    for (int i = 0; i < 16; i++) {
        if (dup(fd) < 0)
            return errno == EMFILE ? 0 : 3;
    }
    return 4;
}

static void
test_limits(void)
{
    g_assert_cmpint(in_sandbox(&fetch, exceeds_limits), ==, 0);
}

/* As root there is no sandbox without a user: refused, not ignored */
static void
test_no_user(void)
{
    const VtdSandbox none = {.file_size_max = 1 << 20, .files_max = 16};

    g_assert_cmpint(in_sandbox(&none, has_no_power), ==, 100);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("only root can give a process another user");
        return 77;
    }
    g_test_add_func("/worker/power", test_power);
    g_test_add_func("/worker/files", test_files);
    g_test_add_func("/worker/network", test_network);
    g_test_add_func("/worker/limits", test_limits);
    g_test_add_func("/worker/no-user", test_no_user);
    return g_test_run();
}
