/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-sandbox.c: a worker gives up what it does not need, before it sees a foreign byte */
#include "vtd-sandbox.h"

#include "vt-index.h"
#include "vtd-activation.h"
#include "vtd-landlock.h"
#include "vtd-seccomp.h"
#include "vtd-worker-protocol.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Threads of all workers of one uid together */
#define PROCESSES_MAX 1024

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

/* 16 TiB of disk and its metadata */
#define DISK_SIZE_MAX (17 * TIB)
/* An index is the largest document */
#define DOCUMENT_MAX VT_INDEX_SIZE_MAX
/* A seed, and its memory file */
#define IMAGE_SIZE_MAX (64 * MIB)

/* 380 MiB are measured with 8 threads, of which 64 MiB each are no more than an address, and one
 * index may have 1 GiB */
#define MEMORY_OF_LAYERS (4 * GIB)
/* 160 MiB are measured; and the largest document twice, while it is received */
#define MEMORY_OF_DOCUMENTS (4 * GIB)
/* Libraries and two threads, which are mostly addresses; an upload of 64 MiB is in memory twice,
 * and its image once */
#define MEMORY_OF_IMAGES (1 * GIB)

/* Resolver, certificates, settings of OpenSSL. /run: where /etc/resolv.conf may lead */
static const char *const network_paths[] = {"/etc",
                                            "/usr",
                                            "/lib",
                                            "/lib64",
                                            "/run/systemd/resolve",
                                            "/run/resolvconf",
                                            "/run/NetworkManager",
                                            "/var/lib/ca-certificates",
                                            NULL};
/* Character sets are libraries, which iconv() loads */
static const char *const library_paths[] = {"/etc/ld.so.cache", "/usr", "/lib", "/lib64", NULL};
/* mtools */
static const char *const program_paths[] = {"/usr", "/bin", "/lib", "/lib64", NULL};

/**
 * Profile: of a kind of worker; docs/architecture.md has this table, too
 * @memory: of address space, bytes
 * @file_size: bytes that a file may grow to
 * @files: open descriptors
 * @network: keeps it
 */
typedef struct {
    unsigned calls;
    uint64_t memory;
    uint64_t file_size;
    uint64_t files;
    bool network;
    const char *const *reads;
    const char *const *runs;
} Profile;

static const Profile profiles[VTD_WORKER_LAST] = {
    /* what it was handed, two files for each layer among it */
    [VTD_WORKER_COPY] = {.calls = VTD_CALLS_BASE | VTD_CALLS_DISK,
                         .memory = MEMORY_OF_LAYERS,
                         .file_size = DISK_SIZE_MAX,
                         .files = 32 + 2 * (VT_INDEX_ANCESTORS_MAX + 1)},
    /* 32 connections, rings, and what the resolver needs */
    [VTD_WORKER_FETCH] = {.calls =
                              VTD_CALLS_BASE | VTD_CALLS_READ | VTD_CALLS_CODE | VTD_CALLS_INTERNET,
                          .memory = MEMORY_OF_DOCUMENTS,
                          .file_size = DOCUMENT_MAX,
                          .files = 128,
                          .network = true,
                          .reads = network_paths},
    [VTD_WORKER_LAYOUT] = {.calls = VTD_CALLS_BASE | VTD_CALLS_BENEATH,
                           .memory = MEMORY_OF_DOCUMENTS,
                           .file_size = DOCUMENT_MAX,
                           .files = 128},
    [VTD_WORKER_SEED] = {.calls = VTD_CALLS_BASE | VTD_CALLS_PROGRAMS,
                         .memory = MEMORY_OF_IMAGES,
                         .file_size = IMAGE_SIZE_MAX,
                         .files = 16,
                         .reads = library_paths,
                         .runs = program_paths},
    [VTD_WORKER_UNPACK] = {.calls = VTD_CALLS_BASE | VTD_CALLS_DISK,
                           .memory = MEMORY_OF_LAYERS,
                           .file_size = DISK_SIZE_MAX,
                           .files = 32 + 2 * VT_INDEX_ANCESTORS_MAX},
    [VTD_WORKER_UPLOAD] = {.calls = VTD_CALLS_BASE | VTD_CALLS_READ | VTD_CALLS_CODE,
                           .memory = MEMORY_OF_IMAGES,
                           .file_size = IMAGE_SIZE_MAX,
                           .files = 16,
                           .reads = library_paths},
};

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
set_limits(const Profile *profile, GError **error)
{
#ifdef VT_SANITIZED
    /* whose shadow memory alone has 16 TiB */
    const uint64_t memory = RLIM_INFINITY;
#else
    const uint64_t memory = profile->memory;
#endif

    return set_limit(RLIMIT_CORE, 0, error) && set_limit(RLIMIT_FSIZE, profile->file_size, error) &&
           set_limit(RLIMIT_NOFILE, profile->files, error) && set_limit(RLIMIT_AS, memory, error);
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
become(const VtdSandbox *sandbox, const Profile *profile, GError **error)
{
    if (geteuid() != 0)
        return true;
    if (sandbox->uid == 0 || sandbox->gid == 0) {
        errno = EPERM;
        return denied(error, "run a worker as root; make its user first (systemd-sysusers)");
    }
    if (!profile->network && unshare(CLONE_NEWNET) < 0)
        return denied(error, "leave the network");
    /* a user of its own; somebody who runs the daemon for himself has other processes, too */
    if (!set_limit(RLIMIT_NPROC, PROCESSES_MAX, error) || !drop_bounding_set(error))
        return false;
    if (setgroups(0, NULL) < 0 || setresgid(sandbox->gid, sandbox->gid, sandbox->gid) < 0 ||
        setresuid(sandbox->uid, sandbox->uid, sandbox->uid) < 0)
        return denied(error, "change to the worker's user");
    return true;
}

static bool
restrict_paths(const VtdSandbox *sandbox, const Profile *profile, GError **error)
{
    const VtdPaths paths = {.reads = profile->reads,
                            .runs = profile->runs,
                            .read_fd = sandbox->kind == VTD_WORKER_LAYOUT ? sandbox->layout_fd : -1,
                            .connects = profile->network};

    return vtd_landlock_restrict(&paths, error);
}

bool
vtd_sandbox_enter(const VtdSandbox *sandbox, GError **error)
{
    const Profile *profile = &profiles[sandbox->kind];

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return denied(error, "set no_new_privs");
    if (!become(sandbox, profile, error) || !drop_capabilities(error) ||
        !set_limits(profile, error))
        return false;
    /* after the change of user, which resets both */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return denied(error, "tie itself to the daemon");
    return restrict_paths(sandbox, profile, error) && vtd_seccomp_allow(profile->calls, error);
}

#ifdef VT_SANITIZED
/* Leaks are looked for from outside, which the sandbox forbids */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
    return "detect_leaks=0";
}

/* and no program may be started that knows the names of functions */
const char *__tsan_default_options(void);

const char *
__tsan_default_options(void)
{
    return "symbolize=0";
}
#endif

/* The service manager's settings are not for a worker either */
static void
clean_environment(void)
{
    clearenv();
    setenv("PATH", "/usr/sbin:/usr/bin", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
}

static bool
meet_daemon(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (argc == 1 && vtd_activation_is()) {
        if (vtd_activation_accept(&error))
            return true;
        g_printerr("%s: %s\n", argv[0], error->message);
        return false;
    }
    if (argc == 2 && strcmp(argv[1], VT_VERSION) == 0)
        return true;
    g_printerr("%s: virttemplated " VT_VERSION " starts this program\n", argv[0]);
    return false;
}

bool
vtd_sandbox_greet(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (!meet_daemon(argc, argv))
        return false;
    clean_environment();
    if (close_range(VTD_WORKER_FD + 1, ~0U, 0) == 0 || errno == ENOSYS)
        return true;
    g_printerr("%s: cannot close descriptors: %s\n", argv[0], g_strerror(errno));
    return false;
}
