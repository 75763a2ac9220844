/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-sandbox.c: a worker gives up what it does not need, before it sees a foreign byte */
#include "vtd-sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A ring of 32 MiB, an index, a stack for each thread: generous, but no way to exhaust the host */
#ifdef __SANITIZE_ADDRESS__
/* whose shadow memory alone has 16 TiB */
#define ADDRESS_SPACE_MAX RLIM_INFINITY
#else
#define ADDRESS_SPACE_MAX (UINT64_C(4) << 30)
#endif
/* Threads of all workers of one uid together */
#define PROCESSES_MAX 1024

static bool
denied(GError **error, const char *what)
{
    return vt_throw(error, VT_ERROR_DENIED, "worker sandbox: cannot %s: %s", what,
                    g_strerror(errno));
}

static bool
set_limit(int resource, uint64_t value, GError **error)
{
    const struct rlimit limit = {value, value};

    if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
        return denied(error, "set a resource limit");
    return true;
}

static bool
set_limits(const VtdSandbox *sandbox, GError **error)
{
    return set_limit(RLIMIT_CORE, 0, error) &&
           set_limit(RLIMIT_FSIZE, sandbox->file_size_max, error) &&
           set_limit(RLIMIT_NOFILE, sandbox->files_max, error) &&
           set_limit(RLIMIT_AS, ADDRESS_SPACE_MAX, error) &&
           set_limit(RLIMIT_NPROC, PROCESSES_MAX, error);
}

static bool
drop_bounding_set(GError **error)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
            return denied(error, "drop a capability from the bounding set");
    }
    return true;
}

static bool
drop_capabilities(GError **error)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        syscall(SYS_capset, &header, data) < 0)
        return denied(error, "drop the capabilities");
    return true;
}

static bool
become(const VtdSandbox *sandbox, GError **error)
{
    if (geteuid() != 0)
        return true;
    if (sandbox->uid == 0 || sandbox->gid == 0) {
        errno = EPERM;
        return denied(error, "run a worker as root; make its user first (systemd-sysusers)");
    }
    if (sandbox->no_network && unshare(CLONE_NEWNET) < 0)
        return denied(error, "leave the network");
    if (!drop_bounding_set(error))
        return false;
    if (setgroups(0, NULL) < 0 || setresgid(sandbox->gid, sandbox->gid, sandbox->gid) < 0 ||
        setresuid(sandbox->uid, sandbox->uid, sandbox->uid) < 0)
        return denied(error, "change to the worker's user");
    return true;
}

bool
vtd_sandbox_enter(const VtdSandbox *sandbox, GError **error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return denied(error, "set no_new_privs");
    if (!become(sandbox, error) || !drop_capabilities(error) || !set_limits(sandbox, error))
        return false;
    /* after the change of user, which resets both */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return denied(error, "tie itself to the daemon");
    return true;
}

bool
vtd_sandbox_greet(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (argc == 2 && strcmp(argv[1], VT_VERSION) == 0)
        return true;
    g_printerr("%s: virttemplated " VT_VERSION " starts this program\n", argv[0]);
    return false;
}
