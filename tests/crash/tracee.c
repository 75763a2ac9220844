/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tracee.c: a thread of another process, as its tracer sees it */
#include "tracee.h"

#include <errno.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Memory next to a readable byte may be missing from here on */
#define PAGE_BYTES 4096u

void
tracee_die(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- begin ---- */

pid_t
tracee_start(char **command)
{
    pid_t pid = fork();

    if (pid < 0)
        tracee_die("fork");
    if (pid == 0) {
        raise(SIGSTOP);
        execv(command[0], command);
        tracee_die(command[0]);
    }
    if (waitpid(pid, NULL, WUNTRACED) < 0)
        tracee_die("waitpid");
    return pid;
}

bool
tracee_seize(pid_t tid)
{
    const unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                                  PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;

    if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options) < 0) {
        if (errno == ESRCH)
            return false;
        tracee_die("PTRACE_SEIZE");
    }
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 && errno != ESRCH)
        tracee_die("PTRACE_INTERRUPT");
    return true;
}

/* ---- what it has open ---- */

void
tracee_program(pid_t tid, char *name, size_t size)
{
    char link[64], target[TRACEE_PATH];
    const char *slash;
    ssize_t n;

    g_snprintf(link, sizeof(link), "/proc/%d/exe", tid);
    n = readlink(link, target, sizeof(target) - 1);
    if (n <= 0)
        return;
    target[n] = '\0';
    slash = strrchr(target, '/');
    g_strlcpy(name, slash ? slash + 1 : target, size);
}

void
tracee_look_at_fd(pid_t tid, int fd, char path[TRACEE_PATH], bool *ret_regular)
{
    char link[64];
    struct stat st;
    ssize_t n;

    g_snprintf(link, sizeof(link), "/proc/%d/fd/%d", tid, fd);
    n = readlink(link, path, TRACEE_PATH - 1);
    path[MAX(n, 0)] = '\0';
    *ret_regular = fd > STDERR_FILENO && stat(link, &st) == 0 && S_ISREG(st.st_mode);
}

/* ---- its memory and registers ---- */

ssize_t
tracee_read(pid_t tid, uint64_t address, void *buffer, size_t size)
{
    const struct iovec ours = {buffer, size};
    const struct iovec theirs = {(void *)(uintptr_t)address, size};

    return process_vm_readv(tid, &ours, 1, &theirs, 1, 0);
}

void
tracee_read_path(pid_t tid, uint64_t address, char path[TRACEE_PATH])
{
    const size_t size = TRACEE_PATH - 1, left = MIN(size, PAGE_BYTES - address % PAGE_BYTES);
    const struct iovec ours = {path, size};
    /* A part that cannot be read whole is left out, so there is one up to the end of the page */
    const struct iovec theirs[] = {{(void *)(uintptr_t)address, left},
                                   {(void *)(uintptr_t)(address + left), size - left}};
    const ssize_t n = process_vm_readv(tid, &ours, 1, theirs, G_N_ELEMENTS(theirs), 0);

    path[MAX(n, 0)] = '\0';
}

void
tracee_write(pid_t tid, uint64_t address, struct iovec part)
{
    const struct iovec ours = {&part, sizeof(part)};
    const struct iovec theirs = {(void *)(uintptr_t)address, sizeof(part)};

    if (process_vm_writev(tid, &ours, 1, &theirs, 1, 0) < 0)
        tracee_die("process_vm_writev");
}

void
tracee_get_registers(pid_t tid, struct user_regs_struct *ret)
{
    if (ptrace(PTRACE_GETREGS, tid, NULL, ret) < 0)
        tracee_die("PTRACE_GETREGS");
}

void
tracee_set_registers(pid_t tid, struct user_regs_struct registers)
{
    if (ptrace(PTRACE_SETREGS, tid, NULL, &registers) < 0)
        tracee_die("PTRACE_SETREGS");
}
