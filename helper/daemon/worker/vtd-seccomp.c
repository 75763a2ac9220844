/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-seccomp.c: the system calls that are left to a process
 *
 * Theory of operation
 *
 * A worker's filter is an allow-list: the rows of a table whose class the worker has. A call that
 * is in no row, or whose arguments no row has, kills the process: it is either an attack or a
 * fault of this table, and both must be seen (the daemon logs such an end, the kernel's audit log
 * has the number). Rows with an errno are what libraries ask for and do without.
 *
 * Names of calls that the machine's processor does not have are ignored by libseccomp.
 */
#include "vtd-seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE     VTD_CALLS_BASE
#define DISK     VTD_CALLS_DISK
#define READ     VTD_CALLS_READ
#define BENEATH  VTD_CALLS_BENEATH
#define CODE     VTD_CALLS_CODE
#define INTERNET VTD_CALLS_INTERNET
#define PROGRAMS VTD_CALLS_PROGRAMS

typedef struct {
    unsigned classes;
    int call;
} Row;

static const Row rows[] = {
    /* bytes through fds */
    {BASE, SCMP_SYS(read)},
    {BASE, SCMP_SYS(readv)},
    {BASE, SCMP_SYS(pread64)},
    {BASE, SCMP_SYS(preadv)},
    {BASE, SCMP_SYS(preadv2)},
    {BASE, SCMP_SYS(write)},
    {BASE, SCMP_SYS(writev)},
    {BASE, SCMP_SYS(pwrite64)},
    {BASE, SCMP_SYS(pwritev)},
    {BASE, SCMP_SYS(pwritev2)},
    {BASE, SCMP_SYS(lseek)},
    {BASE, SCMP_SYS(_llseek)},
    {BASE, SCMP_SYS(close)},
    {BASE, SCMP_SYS(close_range)},
    {BASE, SCMP_SYS(dup)},
    {BASE, SCMP_SYS(dup2)},
    {BASE, SCMP_SYS(dup3)},
    {BASE, SCMP_SYS(fadvise64)},
    {BASE, SCMP_SYS(fadvise64_64)},
    {BASE, SCMP_SYS(ftruncate)},
    {BASE, SCMP_SYS(ftruncate64)},
    {BASE, SCMP_SYS(memfd_create)},
    {BASE, SCMP_SYS(eventfd2)},
    {BASE, SCMP_SYS(epoll_create1)},
    {BASE, SCMP_SYS(epoll_ctl)},
    {BASE, SCMP_SYS(epoll_wait)},
    {BASE, SCMP_SYS(epoll_pwait)},
    {BASE, SCMP_SYS(pipe)},
    {BASE, SCMP_SYS(pipe2)},
    {BASE, SCMP_SYS(poll)},
    {BASE, SCMP_SYS(ppoll)},
    {BASE, SCMP_SYS(ppoll_time64)},
    {BASE, SCMP_SYS(select)},
    {BASE, SCMP_SYS(_newselect)},
    {BASE, SCMP_SYS(pselect6)},
    {BASE, SCMP_SYS(pselect6_time64)},
    /* fstat() is newfstatat() in glibc; of other files this tells no more than a listing does */
    {BASE, SCMP_SYS(fstat)},
    {BASE, SCMP_SYS(fstat64)},
    {BASE, SCMP_SYS(stat)},
    {BASE, SCMP_SYS(stat64)},
    {BASE, SCMP_SYS(lstat)},
    {BASE, SCMP_SYS(lstat64)},
    {BASE, SCMP_SYS(newfstatat)},
    {BASE, SCMP_SYS(fstatat64)},
    {BASE, SCMP_SYS(statx)},
    {BASE, SCMP_SYS(fstatfs)},
    {BASE, SCMP_SYS(fstatfs64)},
    /* messages on sockets that it has */
    {BASE, SCMP_SYS(recvmsg)},
    {BASE, SCMP_SYS(sendmsg)},
    {BASE, SCMP_SYS(recvfrom)},
    {BASE, SCMP_SYS(sendto)},
    {BASE, SCMP_SYS(recv)},
    {BASE, SCMP_SYS(send)},
    {BASE, SCMP_SYS(getsockname)},
    {BASE, SCMP_SYS(getpeername)},
    /* memory; mmap() and mprotect() are below */
    {BASE, SCMP_SYS(brk)},
    {BASE, SCMP_SYS(munmap)},
    {BASE, SCMP_SYS(mremap)},
    {BASE, SCMP_SYS(madvise)},
    /* threads, signals, clocks, itself */
    {BASE, SCMP_SYS(futex)},
    {BASE, SCMP_SYS(futex_time64)},
    {BASE, SCMP_SYS(set_robust_list)},
    {BASE, SCMP_SYS(rseq)},
    {BASE, SCMP_SYS(membarrier)},
    {BASE, SCMP_SYS(sched_yield)},
    {BASE, SCMP_SYS(sched_getaffinity)},
    {BASE, SCMP_SYS(sched_getparam)},
    {BASE, SCMP_SYS(sched_getscheduler)},
    {BASE, SCMP_SYS(sched_getattr)},
    {BASE, SCMP_SYS(getcpu)},
    {BASE, SCMP_SYS(rt_sigaction)},
    {BASE, SCMP_SYS(rt_sigprocmask)},
    {BASE, SCMP_SYS(rt_sigreturn)},
    {BASE, SCMP_SYS(sigreturn)},
    {BASE, SCMP_SYS(sigaltstack)},
    {BASE, SCMP_SYS(restart_syscall)},
    {BASE, SCMP_SYS(clock_gettime)},
    {BASE, SCMP_SYS(clock_gettime64)},
    {BASE, SCMP_SYS(clock_getres)},
    {BASE, SCMP_SYS(clock_getres_time64)},
    {BASE, SCMP_SYS(clock_nanosleep)},
    {BASE, SCMP_SYS(clock_nanosleep_time64)},
    {BASE, SCMP_SYS(nanosleep)},
    {BASE, SCMP_SYS(gettimeofday)},
    {BASE, SCMP_SYS(time)},
    {BASE, SCMP_SYS(times)},
    {BASE, SCMP_SYS(getrandom)},
    {BASE, SCMP_SYS(getrusage)},
    {BASE, SCMP_SYS(getrlimit)},
    {BASE, SCMP_SYS(ugetrlimit)},
    {BASE, SCMP_SYS(sysinfo)},
    {BASE, SCMP_SYS(uname)},
    {BASE, SCMP_SYS(getpid)},
    {BASE, SCMP_SYS(getppid)},
    {BASE, SCMP_SYS(gettid)},
    {BASE, SCMP_SYS(getuid)},
    {BASE, SCMP_SYS(getuid32)},
    {BASE, SCMP_SYS(geteuid)},
    {BASE, SCMP_SYS(geteuid32)},
    {BASE, SCMP_SYS(getgid)},
    {BASE, SCMP_SYS(getgid32)},
    {BASE, SCMP_SYS(getegid)},
    {BASE, SCMP_SYS(getegid32)},
    {BASE, SCMP_SYS(exit)},
    {BASE, SCMP_SYS(exit_group)},

    {DISK, SCMP_SYS(fallocate)},
    {DISK, SCMP_SYS(fsync)},
    {DISK, SCMP_SYS(fdatasync)},
    {DISK, SCMP_SYS(sync_file_range)},
    {DISK, SCMP_SYS(sync_file_range2)},
    {DISK, SCMP_SYS(copy_file_range)},

    {READ | PROGRAMS, SCMP_SYS(access)},
    {READ | PROGRAMS, SCMP_SYS(faccessat)},
    {READ | PROGRAMS, SCMP_SYS(faccessat2)},
    {READ | PROGRAMS, SCMP_SYS(readlink)},
    {READ | PROGRAMS, SCMP_SYS(readlinkat)},
    {READ | BENEATH, SCMP_SYS(getdents64)},
    {BENEATH, SCMP_SYS(openat2)},

    {INTERNET, SCMP_SYS(connect)},
    {INTERNET, SCMP_SYS(shutdown)},
    {INTERNET, SCMP_SYS(getsockopt)},
    {INTERNET, SCMP_SYS(recvmmsg)},
    {INTERNET, SCMP_SYS(recvmmsg_time64)},
    {INTERNET, SCMP_SYS(sendmmsg)},

    /* for an image in memory, which the programs open for writing by its /proc/self/fd */
    {PROGRAMS, SCMP_SYS(open)},
    {PROGRAMS, SCMP_SYS(openat)},
    {PROGRAMS, SCMP_SYS(execve)},
    {PROGRAMS, SCMP_SYS(wait4)},
    {PROGRAMS, SCMP_SYS(waitid)},
    {PROGRAMS, SCMP_SYS(waitpid)},
    {PROGRAMS, SCMP_SYS(vfork)},
    {PROGRAMS, SCMP_SYS(fork)},
    {PROGRAMS, SCMP_SYS(chdir)},
    {PROGRAMS, SCMP_SYS(getcwd)},
    {PROGRAMS, SCMP_SYS(arch_prctl)},
    {PROGRAMS, SCMP_SYS(set_thread_area)},
    {PROGRAMS, SCMP_SYS(set_tls)},
    {PROGRAMS, SCMP_SYS(set_tid_address)},
    /* to the user that they are already: there is no other one */
    {PROGRAMS, SCMP_SYS(setuid)},
    {PROGRAMS, SCMP_SYS(setuid32)},
    {PROGRAMS, SCMP_SYS(setgid)},
    {PROGRAMS, SCMP_SYS(setgid32)},
};

/* Of clone(), whose first two arguments are the other way round there */
#ifdef __s390__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif
#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |     \
     CLONE_NEWCGROUP)
/* of the second argument of socket(); the rest are SOCK_CLOEXEC and SOCK_NONBLOCK */
#define SOCKET_TYPE 0xf
/* What opens a file for anything but reading; __O_TMPFILE has no other use */
#define OPEN_WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
/* of musl and glibc: a name for anonymous memory */
#define PR_SET_VMA_ 0x53564d41
#define CODE_WRITES (PROT_EXEC | PROT_WRITE)

/* The initialisers that seccomp.h has are no constants */
#define IS(number, value)                                                                          \
    {                                                                                              \
        number, SCMP_CMP_EQ, (uint32_t)(value), 0                                                  \
    }
#define MASKED(number, mask, value)                                                                \
    {                                                                                              \
        number, SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(value)                            \
    }

/* @refusal: the errno of the call; 0 allows it. @count: how many of @arguments there are */
typedef struct {
    unsigned classes;
    unsigned without;
    int call;
    int refusal;
    unsigned count;
    struct scmp_arg_cmp arguments[3];
} ArgumentRow;

#define INTERNET_SOCKET(domain, type, protocol)                                                    \
    {                                                                                              \
        INTERNET, 0, SCMP_SYS(socket), 0, 3,                                                       \
        {                                                                                          \
            IS(0, domain), MASKED(1, SOCKET_TYPE, type), IS(2, protocol)                           \
        }                                                                                          \
    }
#define NO_SOCKET(domain)                                                                          \
    {                                                                                              \
        INTERNET, 0, SCMP_SYS(socket), EAFNOSUPPORT, 1,                                            \
        {                                                                                          \
            IS(0, domain)                                                                          \
        }                                                                                          \
    }
#define SOCKET_OPTION(level, name)                                                                 \
    {                                                                                              \
        INTERNET, 0, SCMP_SYS(setsockopt), 0, 2,                                                   \
        {                                                                                          \
            IS(1, level), IS(2, name)                                                              \
        }                                                                                          \
    }
#define FILE_COMMAND(classes, call, command)                                                       \
    {                                                                                              \
        classes, 0, SCMP_SYS(call), 0, 1,                                                          \
        {                                                                                          \
            IS(1, command)                                                                         \
        }                                                                                          \
    }

/* The classes a process must have one of, and those it must have none of */
static const ArgumentRow argument_rows[] = {
    /* no new code: none at all, or, where libraries are loaded, none that can be written */
    {BASE, CODE | PROGRAMS, SCMP_SYS(mmap), 0, 1, {MASKED(2, PROT_EXEC, 0)}},
    {BASE, CODE | PROGRAMS, SCMP_SYS(mmap), EPERM, 1, {MASKED(2, PROT_EXEC, PROT_EXEC)}},
    {BASE, CODE | PROGRAMS, SCMP_SYS(mmap2), 0, 1, {MASKED(2, PROT_EXEC, 0)}},
    {BASE, CODE | PROGRAMS, SCMP_SYS(mmap2), EPERM, 1, {MASKED(2, PROT_EXEC, PROT_EXEC)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap), 0, 1, {MASKED(2, PROT_EXEC, 0)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap), 0, 1, {MASKED(2, CODE_WRITES, PROT_EXEC)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap), EPERM, 1, {MASKED(2, CODE_WRITES, CODE_WRITES)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap2), 0, 1, {MASKED(2, PROT_EXEC, 0)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap2), 0, 1, {MASKED(2, CODE_WRITES, PROT_EXEC)}},
    {CODE | PROGRAMS, 0, SCMP_SYS(mmap2), EPERM, 1, {MASKED(2, CODE_WRITES, CODE_WRITES)}},
    {BASE, 0, SCMP_SYS(mprotect), 0, 1, {MASKED(2, PROT_EXEC, 0)}},
    {BASE, 0, SCMP_SYS(mprotect), EPERM, 1, {MASKED(2, PROT_EXEC, PROT_EXEC)}},

    /* threads; a new process, never with a namespace of its own, only where programs are started.
     * The flags of clone3() cannot be looked into: glibc calls clone() then */
    {BASE, 0, SCMP_SYS(clone3), ENOSYS, 0, {{0}}},
    {BASE,
     PROGRAMS,
     SCMP_SYS(clone),
     0,
     1,
     {MASKED(CLONE_FLAGS, CLONE_THREAD | CLONE_NAMESPACES, CLONE_THREAD)}},
    {PROGRAMS, 0, SCMP_SYS(clone), 0, 1, {MASKED(CLONE_FLAGS, CLONE_NAMESPACES, 0)}},
    {BASE, 0, SCMP_SYS(prctl), 0, 1, {IS(0, PR_SET_NAME)}},
    {BASE, 0, SCMP_SYS(prctl), EINVAL, 1, {IS(0, PR_SET_VMA_)}},
    {PROGRAMS, 0, SCMP_SYS(prctl), 0, 1, {IS(0, PR_SET_PDEATHSIG)}},
    /* GLib asks whether threads of a pool can have settings of another thread */
    {BASE, 0, SCMP_SYS(sched_setattr), EPERM, 0, {{0}}},
    /* no limit is changed */
    {BASE, 0, SCMP_SYS(prlimit64), 0, 1, {IS(2, 0)}},

    /* paths: an empty world, or one that is read. Writing kills. */
    {BASE, READ | PROGRAMS, SCMP_SYS(open), ENOENT, 0, {{0}}},
    {BASE, READ | PROGRAMS, SCMP_SYS(openat), ENOENT, 0, {{0}}},
    {READ, PROGRAMS, SCMP_SYS(open), 0, 1, {MASKED(1, OPEN_WRITES, 0)}},
    {READ, PROGRAMS, SCMP_SYS(openat), 0, 1, {MASKED(2, OPEN_WRITES, 0)}},
    {BASE, READ | PROGRAMS, SCMP_SYS(access), ENOENT, 0, {{0}}},
    {BASE, READ | PROGRAMS, SCMP_SYS(faccessat), ENOENT, 0, {{0}}},
    {BASE, READ | PROGRAMS, SCMP_SYS(faccessat2), ENOENT, 0, {{0}}},
    {BASE, READ | PROGRAMS, SCMP_SYS(readlink), ENOENT, 0, {{0}}},
    {BASE, READ | PROGRAMS, SCMP_SYS(readlinkat), ENOENT, 0, {{0}}},

    {DISK, 0, SCMP_SYS(ioctl), 0, 1, {IS(1, FICLONERANGE)}},
    {INTERNET, 0, SCMP_SYS(ioctl), 0, 1, {IS(1, FIONBIO)}},
    {BASE, 0, SCMP_SYS(ioctl), ENOTTY, 1, {IS(1, TCGETS)}},

    /* The journal's socket, for one, which GLib looks for when a message is logged */
    {BASE, INTERNET, SCMP_SYS(socket), EAFNOSUPPORT, 0, {{0}}},
    INTERNET_SOCKET(AF_INET, SOCK_STREAM, 0),
    INTERNET_SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    INTERNET_SOCKET(AF_INET, SOCK_DGRAM, 0),
    INTERNET_SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    INTERNET_SOCKET(AF_INET6, SOCK_STREAM, 0),
    INTERNET_SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, 0),
    INTERNET_SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    /* The resolver asks these, too: caches on AF_UNIX, addresses on AF_NETLINK */
    NO_SOCKET(AF_UNIX),
    NO_SOCKET(AF_NETLINK),
    /* A pair of streams cannot send to anybody else; libcurl wakes its resolver by it */
    {INTERNET,
     0,
     SCMP_SYS(socketpair),
     0,
     2,
     {IS(0, AF_UNIX), MASKED(1, SOCKET_TYPE, SOCK_STREAM)}},
    /* What libcurl and the resolver set, and what other versions of them may. Not: filters, which
     * are programs in the kernel, and protocols on top of TCP, which are modules of it */
    SOCKET_OPTION(SOL_SOCKET, SO_KEEPALIVE),
    SOCKET_OPTION(SOL_SOCKET, SO_LINGER),
    SOCKET_OPTION(SOL_SOCKET, SO_RCVBUF),
    SOCKET_OPTION(SOL_SOCKET, SO_SNDBUF),
    SOCKET_OPTION(SOL_SOCKET, SO_RCVTIMEO),
    SOCKET_OPTION(SOL_SOCKET, SO_SNDTIMEO),
    SOCKET_OPTION(IPPROTO_TCP, TCP_NODELAY),
    SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPIDLE),
    SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPINTVL),
    SOCKET_OPTION(IPPROTO_TCP, TCP_KEEPCNT),
    SOCKET_OPTION(IPPROTO_TCP, TCP_QUICKACK),
    SOCKET_OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT),
    SOCKET_OPTION(IPPROTO_IP, IP_TOS),
    SOCKET_OPTION(IPPROTO_IP, IP_MTU_DISCOVER),
    SOCKET_OPTION(IPPROTO_IP, IP_RECVERR),
    SOCKET_OPTION(IPPROTO_IPV6, IPV6_V6ONLY),
    SOCKET_OPTION(IPPROTO_IPV6, IPV6_TCLASS),
    SOCKET_OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER),
    SOCKET_OPTION(IPPROTO_IPV6, IPV6_RECVERR),

    /* Not: F_SETOWN and F_SETSIG, by which the kernel sends any signal, SIGKILL too, to any process
     * of the same user; leases and F_NOTIFY */
    FILE_COMMAND(BASE, fcntl, F_DUPFD),
    FILE_COMMAND(BASE, fcntl, F_DUPFD_CLOEXEC),
    FILE_COMMAND(BASE, fcntl, F_GETFD),
    FILE_COMMAND(BASE, fcntl, F_SETFD),
    FILE_COMMAND(BASE, fcntl, F_GETFL),
    FILE_COMMAND(BASE, fcntl, F_SETFL),
    FILE_COMMAND(BASE, fcntl64, F_DUPFD),
    FILE_COMMAND(BASE, fcntl64, F_DUPFD_CLOEXEC),
    FILE_COMMAND(BASE, fcntl64, F_GETFD),
    FILE_COMMAND(BASE, fcntl64, F_SETFD),
    FILE_COMMAND(BASE, fcntl64, F_GETFL),
    FILE_COMMAND(BASE, fcntl64, F_SETFL),
};

/* What opens the kernel to who took over the daemon, and no part of it does. clone() and unshare()
 * stay: a worker leaves the network */
static const int daemon_denied[] = {
    SCMP_SYS(_sysctl),
    SCMP_SYS(acct),
    SCMP_SYS(add_key),
    SCMP_SYS(adjtimex),
    SCMP_SYS(bpf),
    SCMP_SYS(chroot),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(clock_settime),
    SCMP_SYS(create_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(kcmp),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(lookup_dcookie),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(move_pages),
    SCMP_SYS(nfsservctl),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(pivot_root),
    SCMP_SYS(process_madvise),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(quotactl),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(setdomainname),
    SCMP_SYS(sethostname),
    SCMP_SYS(setns),
    SCMP_SYS(settimeofday),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(syslog),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(uselib),
    SCMP_SYS(vhangup),
    SCMP_SYS(vm86),
    SCMP_SYS(vmsplice),
#ifndef VT_SANITIZED
    SCMP_SYS(personality),
    SCMP_SYS(ptrace),
#endif
};

typedef void Filter;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Filter, seccomp_release)

static bool
check(int result, const char *what, GError **error)
{
    return result >= 0 ||
           vt_throw(error, VT_ERROR_DENIED, "cannot %s: %s", what, g_strerror(-result));
}

static bool
new_filter(uint32_t otherwise, Filter **ret_filter, GError **error)
{
    g_autoptr(Filter) filter = seccomp_init(otherwise);

    if (!filter)
        return vt_throw(error, VT_ERROR_DENIED, "cannot make a filter of system calls");
    /* by another numbering, as of x32; then the order of lookup: a tree, where libseccomp can */
    if (!check(seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
               "set a filter of system calls up", error))
        return false;
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    *ret_filter = g_steal_pointer(&filter);
    return true;
}

static bool
load(Filter *filter, GError **error)
{
    return check(seccomp_load(filter), "load a filter of system calls", error);
}

/* abort() and raise() */
static bool
allow_signals_to_itself(Filter *filter, GError **error)
{
    const struct scmp_arg_cmp itself = IS(0, (uint32_t)getpid());

    return check(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &itself),
                 "allow abort()", error);
}

bool
vtd_seccomp_allow(unsigned calls, GError **error)
{
    g_autoptr(Filter) filter = NULL;

    if (!new_filter(SCMP_ACT_KILL_PROCESS, &filter, error))
        return false;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if ((rows[i].classes & calls) &&
            !check(seccomp_rule_add(filter, SCMP_ACT_ALLOW, rows[i].call, 0), "allow a system call",
                   error))
            return false;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(argument_rows); i++) {
        const ArgumentRow *row = &argument_rows[i];
        const uint32_t action =
            row->refusal == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)row->refusal);

        if ((row->classes & calls) && !(row->without & calls) &&
            !check(seccomp_rule_add_array(filter, action, row->call, row->count, row->arguments),
                   "allow or refuse a system call", error))
            return false;
    }
    return allow_signals_to_itself(filter, error) && load(filter, error);
}

bool
vtd_seccomp_deny(GError **error)
{
    g_autoptr(Filter) filter = NULL;

    if (!new_filter(SCMP_ACT_ALLOW, &filter, error))
        return false;
    for (gsize i = 0; i < G_N_ELEMENTS(daemon_denied); i++) {
        if (!check(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), daemon_denied[i], 0),
                   "deny a system call", error))
            return false;
    }
    return load(filter, error);
}
