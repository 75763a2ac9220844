/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inject.c: one fault at one system call of a process, or of what it starts
 *
 *     inject ROLE ACTION POINT LOG pid PID            from now on
 *     inject ROLE ACTION POINT LOG run COMMAND...     from its first system call on
 *
 * ROLE is the name of a program: its points are counted, whichever process of it comes to them. At
 * point number POINT, from 1 on, ACTION happens: `kill` (before the call has any effect), an error
 * (`ENOSPC`...) that the call returns instead of being made, or `short`: half of a write is made.
 * With point 0 nothing happens. LOG gets a line for each point of any role and action:
 *
 *     virttemplated  pwrite64  kes  4096  /srv/templates/.layers/...
 *     program        call      |    bytes path
 *                              groups of points that it belongs to
 *
 * At the fault LOG gets a line with "hit", the call and its path. With a PID the program ends after
 * it, and what it traced goes on untraced; with a COMMAND it ends when that ends, with its exit
 * status.
 *
 * strace counts for each thread alone, knows no kinds of files, and leaves a short write out. */
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Of the alignment that O_DIRECT may want */
#define WRITE_UNIT 4096u
/* The parts that the layer's writer gives to one write */
#define PARTS_MAX 512

/* Groups of points, one for each kind of action */
enum {
    GROUP_KILL = 1,  /* changes something that outlives the process, or that another one sees */
    GROUP_ERROR = 2, /* a file system may refuse it */
    GROUP_OPEN = 4,  /* needs a descriptor */
    GROUP_SHORT = 8, /* writes */
};
static const struct {
    char letter;
    int group;
} groups[] = {{'k', GROUP_KILL}, {'e', GROUP_ERROR}, {'o', GROUP_OPEN}, {'s', GROUP_SHORT}};

/* What the first argument that matters is */
typedef enum {
    ARGUMENT_FILE,   /* descriptor of a regular file; of another one it is no point */
    ARGUMENT_FD,     /* descriptor */
    ARGUMENT_SOCKET, /* descriptor; a point if the program is a worker, or libvirtd */
    ARGUMENT_IOCTL,  /* descriptor; a point if the request changes the file */
    ARGUMENT_OPEN,   /* path in the second argument, flags in the third */
    ARGUMENT_PATH0,
    ARGUMENT_PATH1,
    ARGUMENT_PATH2, /* in the third one: where a link or a rename leads from is not shown */
    ARGUMENT_PATH3,
    ARGUMENT_NONE,
} Argument;

#define NAMES_ONE (GROUP_KILL | GROUP_ERROR)
#define WRITES    (GROUP_KILL | GROUP_ERROR | GROUP_SHORT)

static const struct {
    uint64_t number;
    const char *name;
    Argument argument;
    int groups;
} calls[] = {
    {SYS_write, "write", ARGUMENT_FILE, WRITES},
    {SYS_pwrite64, "pwrite64", ARGUMENT_FILE, WRITES},
    {SYS_writev, "writev", ARGUMENT_FILE, WRITES},
    {SYS_pwritev, "pwritev", ARGUMENT_FILE, WRITES},
    {SYS_ftruncate, "ftruncate", ARGUMENT_FD, NAMES_ONE},
    {SYS_fallocate, "fallocate", ARGUMENT_FD, NAMES_ONE},
    {SYS_copy_file_range, "copy_file_range", ARGUMENT_FD, NAMES_ONE},
    {SYS_fsync, "fsync", ARGUMENT_FD, NAMES_ONE},
    {SYS_fdatasync, "fdatasync", ARGUMENT_FD, NAMES_ONE},
    {SYS_link, "link", ARGUMENT_PATH1, NAMES_ONE},
    {SYS_linkat, "linkat", ARGUMENT_PATH3, NAMES_ONE},
    {SYS_symlink, "symlink", ARGUMENT_PATH1, NAMES_ONE},
    {SYS_symlinkat, "symlinkat", ARGUMENT_PATH2, NAMES_ONE},
    {SYS_rename, "rename", ARGUMENT_PATH1, NAMES_ONE},
    {SYS_renameat, "renameat", ARGUMENT_PATH3, NAMES_ONE},
    {SYS_renameat2, "renameat2", ARGUMENT_PATH3, NAMES_ONE},
    {SYS_mkdir, "mkdir", ARGUMENT_PATH0, NAMES_ONE},
    {SYS_mkdirat, "mkdirat", ARGUMENT_PATH1, NAMES_ONE},
    {SYS_unlink, "unlink", ARGUMENT_PATH0, GROUP_KILL},
    {SYS_unlinkat, "unlinkat", ARGUMENT_PATH1, GROUP_KILL},
    {SYS_rmdir, "rmdir", ARGUMENT_PATH0, GROUP_KILL},
    {SYS_chmod, "chmod", ARGUMENT_PATH0, GROUP_KILL},
    {SYS_fchmod, "fchmod", ARGUMENT_FD, GROUP_KILL},
    {SYS_fchmodat, "fchmodat", ARGUMENT_PATH1, GROUP_KILL},
    {SYS_fchown, "fchown", ARGUMENT_FD, GROUP_KILL},
    {SYS_fchownat, "fchownat", ARGUMENT_PATH1, GROUP_KILL},
    {SYS_setxattr, "setxattr", ARGUMENT_PATH0, GROUP_KILL},
    {SYS_fsetxattr, "fsetxattr", ARGUMENT_FD, GROUP_KILL},
    {SYS_ioctl, "ioctl", ARGUMENT_IOCTL, GROUP_KILL},
    {SYS_open, "open", ARGUMENT_OPEN, GROUP_OPEN},
    {SYS_openat, "openat", ARGUMENT_OPEN, GROUP_OPEN},
    {SYS_memfd_create, "memfd_create", ARGUMENT_NONE, GROUP_OPEN},
    {SYS_socketpair, "socketpair", ARGUMENT_NONE, GROUP_OPEN},
    {SYS_sendto, "sendto", ARGUMENT_SOCKET, GROUP_KILL},
    {SYS_sendmsg, "sendmsg", ARGUMENT_SOCKET, GROUP_KILL},
};

static const unsigned long changing_ioctls[] = {
    FICLONE, FICLONERANGE, FS_IOC_SETFLAGS, FS_IOC_ENABLE_VERITY, FS_IOC_FSSETXATTR,
};

static const struct {
    const char *name;
    int group;
    int number; /* errno; 0: none */
} actions[] = {
    {"kill", GROUP_KILL, 0},   {"short", GROUP_SHORT, 0},       {"ENOSPC", GROUP_ERROR, ENOSPC},
    {"EIO", GROUP_ERROR, EIO}, {"EDQUOT", GROUP_ERROR, EDQUOT}, {"EMFILE", GROUP_OPEN, EMFILE},
};

typedef struct {
    pid_t tid;
    char role[64]; /* base name of its program; empty: not looked up yet */
    /* The call in which the fault is being made, as it was */
    bool faked;
    struct user_regs_struct before;
    struct iovec part; /* of a short pwritev(), as it was */
} Thread;

/* @call: number in the table; @groups: that it belongs to; @bytes: that a write is about */
typedef struct {
    size_t call;
    int groups;
    uint64_t bytes;
    char path[TRACEE_PATH];
} Point;

typedef struct {
    const char *role;
    size_t action;
    long point;
    long count;
    bool waits;
    FILE *log;
    GHashTable *threads; /* pid -> Thread */
} Injector;

static Thread *
find_thread(Injector *injector, pid_t tid)
{
    Thread *thread = g_hash_table_lookup(injector->threads, GINT_TO_POINTER(tid));

    if (!thread) {
        thread = g_new0(Thread, 1);
        thread->tid = tid;
        g_hash_table_insert(injector->threads, GINT_TO_POINTER(tid), thread);
    }
    return thread;
}

static const char *
role_of(Thread *thread)
{
    if (!thread->role[0])
        tracee_program(thread->tid, thread->role, sizeof(thread->role));
    return thread->role;
}

/* What the loader and the C library open for themselves: those are no points of ours */
static bool
is_of_system(const char *path)
{
    static const char *const prefixes[] = {"/lib", "/usr/", "/etc/ld.so.", "/proc/", "/sys/"};

    for (size_t i = 0; i < G_N_ELEMENTS(prefixes); i++) {
        if (g_str_has_prefix(path, prefixes[i]))
            return true;
    }
    return false;
}

static bool
changes_file(uint64_t request)
{
    for (size_t i = 0; i < G_N_ELEMENTS(changing_ioctls); i++) {
        if (changing_ioctls[i] == request)
            return true;
    }
    return false;
}

/* Of programs that one of ours waits for at the other end */
static bool
talks_to_peer(const char *role)
{
    return g_str_has_suffix(role, "-worker") || strcmp(role, "libvirtd") == 0;
}

/* @path: gets what the call is about. Returns: the groups of points that it belongs to */
static int
classify(Thread *thread, size_t call, const uint64_t *arguments, char path[TRACEE_PATH])
{
    const bool is_at = calls[call].number == SYS_openat;
    bool regular = false;

    path[0] = '\0';
    switch (calls[call].argument) {
    case ARGUMENT_FILE:
        tracee_look_at_fd(thread->tid, (int)arguments[0], path, &regular);
        return regular ? calls[call].groups : 0;
    case ARGUMENT_FD:
        tracee_look_at_fd(thread->tid, (int)arguments[0], path, &regular);
        return calls[call].groups;
    case ARGUMENT_SOCKET:
        return talks_to_peer(role_of(thread)) ? calls[call].groups : 0;
    case ARGUMENT_IOCTL:
        tracee_look_at_fd(thread->tid, (int)arguments[0], path, &regular);
        return changes_file(arguments[1]) ? calls[call].groups : 0;
    case ARGUMENT_OPEN:
        tracee_read_path(thread->tid, arguments[is_at], path);
        if (arguments[is_at + 1] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
            return GROUP_OPEN | NAMES_ONE;
        return is_of_system(path) ? 0 : GROUP_OPEN;
    case ARGUMENT_NONE:
        return calls[call].groups;
    default:
        tracee_read_path(thread->tid, arguments[calls[call].argument - ARGUMENT_PATH0], path);
        return calls[call].groups;
    }
}

static bool
is_vector(size_t call)
{
    return calls[call].number == SYS_writev || calls[call].number == SYS_pwritev;
}

static void
write_log(FILE *log, const char *role, const Point *point)
{
    char letters[G_N_ELEMENTS(groups) + 1] = "";
    size_t n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (point->groups & groups[i].group)
            letters[n++] = groups[i].letter;
    }
    fprintf(log, "%s\t%s\t%s\t%" G_GUINT64_FORMAT "\t%s\n", role, calls[point->call].name, letters,
            point->bytes, point->path);
}

/* That a write is about */
static uint64_t
count_bytes(pid_t tid, size_t call, const uint64_t *arguments)
{
    struct iovec parts[PARTS_MAX];
    uint64_t bytes = 0;
    ssize_t n;

    if (calls[call].argument != ARGUMENT_FILE)
        return 0;
    if (!is_vector(call))
        return arguments[2];
    n = tracee_read(tid, arguments[1], parts, MIN(arguments[2], PARTS_MAX) * sizeof(*parts));
    for (ssize_t i = 0; i < n / (ssize_t)sizeof(struct iovec); i++)
        bytes += parts[i].iov_len;
    return bytes;
}

static uint64_t
half(uint64_t bytes)
{
    return bytes >= 2 * WRITE_UNIT ? bytes / 2 / WRITE_UNIT * WRITE_UNIT : bytes / 2;
}

/* The only part of a vector is made shorter in the other process */
static void
shorten_part(Thread *thread)
{
    struct iovec *part = &thread->part;

    if (tracee_read(thread->tid, thread->before.rsi, part, sizeof(*part)) < 0)
        tracee_die("process_vm_readv");
    tracee_write(thread->tid, thread->before.rsi,
                 (struct iovec){part->iov_base, half(part->iov_len)});
}

/* The fault is made when the call ends; until then it gets arguments with which it can do nothing,
 * or with which it writes less. Its number stays: a seccomp filter of the process sees it again. */
static void
begin_fault(Injector *injector, Thread *thread, size_t call)
{
    struct user_regs_struct registers;

    tracee_get_registers(thread->tid, &registers);
    thread->before = registers;
    thread->faked = true;
    if (actions[injector->action].number != 0) {
        registers.rdi = registers.rsi = registers.rdx = registers.r10 = UINT64_MAX;
    } else if (!is_vector(call)) {
        registers.rdx = half(registers.rdx);
    } else if (registers.rdx > 1) {
        registers.rdx /= 2;
    } else {
        shorten_part(thread);
    }
    tracee_set_registers(thread->tid, registers);
}

/* Who has started a command waits for its exit status. Otherwise this ends, and the kernel lets go
 * of all that was traced. */
static void
end_injection(Injector *injector)
{
    if (!injector->waits) {
        fclose(injector->log);
        exit(0);
    }
}

static void
end_fault(Injector *injector, Thread *thread)
{
    const int number = actions[injector->action].number;
    struct user_regs_struct now;

    tracee_get_registers(thread->tid, &now);
    thread->before.rax = number ? (uint64_t) - (int64_t)number : now.rax;
    tracee_set_registers(thread->tid, thread->before);
    if (thread->part.iov_base)
        tracee_write(thread->tid, thread->before.rsi, thread->part);
    thread->faked = false;
    end_injection(injector);
}

static void
kill_now(Injector *injector, const Thread *thread)
{
    if (kill(thread->tid, SIGKILL) < 0)
        tracee_die("kill");
    end_injection(injector);
}

static bool
find_call(uint64_t number, size_t *ret_call)
{
    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (calls[i].number == number) {
            *ret_call = i;
            return true;
        }
    }
    return false;
}

static void
enter(Injector *injector, Thread *thread, const struct __ptrace_syscall_info *info)
{
    const uint64_t *arguments = (const uint64_t *)info->entry.args;
    Point point;

    if (!find_call(info->entry.nr, &point.call))
        return;
    point.groups = classify(thread, point.call, arguments, point.path);
    if (point.groups == 0)
        return;
    point.bytes = count_bytes(thread->tid, point.call, arguments);
    write_log(injector->log, role_of(thread), &point);
    if (!(point.groups & actions[injector->action].group) ||
        strcmp(role_of(thread), injector->role) != 0 || ++injector->count != injector->point)
        return;
    fprintf(injector->log, "hit\t%s %s\n", calls[point.call].name, point.path);
    if (actions[injector->action].group == GROUP_KILL)
        kill_now(injector, thread);
    begin_fault(injector, thread, point.call);
}

static void
at_system_call(Injector *injector, Thread *thread)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread->tid, (void *)sizeof(info), &info) < 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
        enter(injector, thread, &info);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread->faked)
        end_fault(injector, thread);
}

/* Returns: the signal that the thread gets */
static int
at_stop(Injector *injector, Thread *thread, int status)
{
    const int event = status >> 16;
    const int number = WSTOPSIG(status);

    if (event == PTRACE_EVENT_EXEC)
        thread->role[0] = '\0';
    if (event != 0)
        return 0;
    if (number != (SIGTRAP | 0x80))
        return number;
    at_system_call(injector, thread);
    return 0;
}

/* Returns: how many threads were found that were not traced yet */
static guint
seize_new(Injector *injector, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    guint found = 0;

    if (!dir)
        tracee_die(path);
    while ((name = g_dir_read_name(dir))) {
        const pid_t tid = (pid_t)atoi(name);

        if (g_hash_table_contains(injector->threads, GINT_TO_POINTER(tid)) || !tracee_seize(tid))
            continue;
        find_thread(injector, tid);
        found++;
    }
    return found;
}

/* What a thread starts is traced from its beginning, but one that was not traced yet may have
 * started another meanwhile */
static void
seize_all(Injector *injector, pid_t pid)
{
    while (seize_new(injector, pid) > 0)
        continue;
}

/* Returns: the exit status of @pid, or 0 if that was not its child */
static int
trace(Injector *injector, pid_t pid)
{
    int result = 0;
    int status;
    pid_t tid;

    while ((tid = waitpid(-1, &status, __WALL)) > 0) {
        if (WIFSTOPPED(status)) {
            const int number = at_stop(injector, find_thread(injector, tid), status);

            ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)number);
            continue;
        }
        g_hash_table_remove(injector->threads, GINT_TO_POINTER(tid));
        if (tid == pid)
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return result;
}

static bool
parse_action(const char *name, size_t *ret_action)
{
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            *ret_action = i;
            return true;
        }
    }
    return false;
}

int
main(int argc, char **argv)
{
    Injector injector = {0};
    pid_t pid;

    if (argc < 7 || !parse_action(argv[2], &injector.action)) {
        fputs("usage: inject ROLE ACTION POINT LOG pid PID | run COMMAND...\n", stderr);
        return 2;
    }
    injector.role = argv[1];
    injector.point = atol(argv[3]);
    injector.log = fopen(argv[4], "we");
    if (!injector.log)
        tracee_die(argv[4]);
    setlinebuf(injector.log);
    injector.threads = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
    injector.waits = strcmp(argv[5], "run") == 0;
    if (injector.waits) {
        pid = tracee_start(argv + 6);
        if (!tracee_seize(pid))
            tracee_die(argv[6]);
        find_thread(&injector, pid);
        kill(pid, SIGCONT);
    } else {
        pid = (pid_t)atoi(argv[6]);
        seize_all(&injector, pid);
    }
    /* Who started this waits for that line */
    fputs("ready\n", injector.log);
    return trace(&injector, pid);
}
