/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sandbox-attempts.c: what a worker may try in its sandbox, and what must come of it */
#include "sandbox-attempts.h"

#include "vt-fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <iconv.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define X32_CALL 0x40000000

/* ---- attempts: 0 if it worked, or an errno ---- */

static int
tries_open(const char *path, int flags)
{
    return result(open(path, flags | O_CLOEXEC, 0600));
}

static int
read_shadow(const World *world)
{
    return tries_open("/etc/shadow", O_RDONLY);
}

static int
read_elsewhere(const World *world)
{
    return tries_open(world->open_file, O_RDONLY);
}

static int
read_layout(const World *world)
{
    const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH};

    return result(syscall(SYS_openat2, world->layout_fd, "open", &how, sizeof(how)));
}

static int
read_beside_layout(const World *world)
{
    const struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};

    return result(syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how)));
}

static int
read_settings(const World *world)
{
    return tries_open("/etc/nsswitch.conf", O_RDONLY);
}

static int
write_elsewhere(const World *world)
{
    return tries_open(world->open_file, O_WRONLY);
}

static int
write_by_own_fd(const World *world)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", world->read_only_fd);

    return tries_open(path, O_RDWR);
}

static int
create(const World *world)
{
    g_autofree char *path = g_build_filename(world->dir, "new", NULL);

    return tries_open(path, O_WRONLY | O_CREAT);
}

static int
remove_file(const World *world)
{
    return result(unlink(world->open_file));
}

static int
rename_file(const World *world)
{
    return result(rename(world->open_file, world->socket));
}

static int
truncate_file(const World *world)
{
    return result(truncate(world->open_file, 0));
}

static int
change_mode(const World *world)
{
    return result(fchmod(world->read_only_fd, 0777));
}

static int
connect_tcp(const World *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(world->tcp_port)};
    vt_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return errno;
    return result(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
}

static int
listen_tcp(const World *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    vt_autofd fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return errno;
    return result(listen(fd, 1));
}

static int
connect_unix(const World *world)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    vt_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, world->socket, sizeof(address.sun_path));
    if (fd < 0)
        return errno;
    return result(connect(fd, (const struct sockaddr *)&address, sizeof(address)));
}

static int
send_unix(const World *world)
{
    int pair[2];

    return result(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
}

static int
open_netlink(const World *world)
{
    return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int
open_packet(const World *world)
{
    return result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(3)));
}

static int
open_raw(const World *world)
{
    return result(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static int
resolve_name(const World *world)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;

    if (getaddrinfo("localhost", "80", &hints, &addresses) != 0)
        return EHOSTUNREACH;
    freeaddrinfo(addresses);
    return 0;
}

static int
trace_parent(const World *world)
{
    return result(ptrace(PTRACE_SEIZE, world->parent, NULL, NULL));
}

static int
read_parents_memory(const World *world)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)world, 1};

    return result(process_vm_readv(world->parent, &here, 1, &there, 1, 0));
}

static int
signal_parent(const World *world)
{
    return result(kill(world->parent, 0));
}

static int
signal_parents_thread(const World *world)
{
    return result(syscall(SYS_tgkill, world->parent, world->parent, 0));
}

static int
signal_group(const World *world)
{
    return result(kill(0, 0));
}

static int
open_pidfd(const World *world)
{
    return result(syscall(SYS_pidfd_open, world->parent, 0));
}

static int
run_program(const char *path)
{
    const char *const argv[] = {path, NULL};
    pid_t pid = vfork();
    int status = 0;

    if (pid == 0) {
        execv(path, (char *const *)argv);
        _exit(errno);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int
run_installed(const World *world)
{
    return run_program("/bin/true");
}

static int
run_elsewhere(const World *world)
{
    g_autofree char *path = g_build_filename(world->dir, "program", NULL);

    return run_program(path);
}

static int
replace_itself(const World *world)
{
    const char *const argv[] = {"/bin/true", NULL};

    return result(execv("/bin/true", (char *const *)argv));
}

static int
mount_something(const World *world)
{
    return result(mount("none", "/tmp", "tmpfs", 0, NULL));
}

static int
make_namespace(const World *world)
{
    return result(unshare(CLONE_NEWUSER));
}

static int
make_process_in_namespace(const World *world)
{
    return result(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
}

static int
make_process_by_struct(const World *world)
{
    /* struct clone_args of version 0 */
    uint64_t arguments[8] = {CLONE_NEWUSER};

    return result(syscall(SYS_clone3, arguments, sizeof(arguments)));
}

static int
join_namespace(const World *world)
{
    return result(setns(world->layout_fd, 0));
}

static int
change_root(const World *world)
{
    return result(chroot(world->dir));
}

static int
become_root(const World *world)
{
    return result(setuid(0));
}

static int
join_group(const World *world)
{
    const gid_t root = 0;

    return result(setgroups(1, &root));
}

static int
load_bpf(const World *world)
{
    return result(syscall(SYS_bpf, 0, NULL, 0));
}

static int
read_keys(const World *world)
{
    return result(syscall(SYS_keyctl, 0, -3, 0));
}

static int
make_io_uring(const World *world)
{
    return result(syscall(SYS_io_uring_setup, 1, NULL));
}

static int
watch_performance(const World *world)
{
    return result(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int
handle_faults(const World *world)
{
    return result(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int
open_by_handle(const World *world)
{
    return result(syscall(SYS_open_by_handle_at, world->layout_fd, NULL, O_RDONLY));
}

static int
type_into_terminal(const World *world)
{
    return result(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

static int
raise_limit(const World *world)
{
    const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    return result(setrlimit(RLIMIT_FSIZE, &limit));
}

static int
become_dumpable(const World *world)
{
    return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
use_other_numbering(const World *world)
{
#ifdef __x86_64__
    return result(syscall(X32_CALL | SYS_getpid));
#else
    raise(SIGSYS);
    return 0;
#endif
}

static int
make_code(const World *world)
{
    void *memory =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? errno : 0;
}

static int
make_data_code(const World *world)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? EFAULT : result(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

/* ---- what it needs ---- */

static int
use_memory_file(const World *world)
{
    vt_autofd fd = memfd_create("test", MFD_CLOEXEC);
    char *memory;

    if (fd < 0 || ftruncate(fd, 4096) < 0 || pwrite(fd, "a", 1, 0) != 1)
        return errno;
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED || *memory != 'a' ? EIO : 0;
}

static gpointer
allocate(gpointer data)
{
    memset(data, 1, 1 << 20);
    return g_malloc0(64 << 20);
}

static int
use_threads(const World *world)
{
    g_autofree char *memory = g_malloc(1 << 20);
    GThread *threads[4];

    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("test", allocate, memory);
    for (int i = 0; i < 4; i++)
        g_free(g_thread_join(threads[i]));
    return 0;
}

static int
log_message(const World *world)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();

    g_log_writer_default(G_LOG_LEVEL_DEBUG, &(const GLogField){"MESSAGE", "a", -1}, 1, NULL);
    return now ? 0 : EIO;
}

static int
write_disk(const World *world)
{
    if (fallocate(world->disk_fd, 0, 0, 8192) < 0 || pwrite(world->disk_fd, "a", 1, 0) != 1)
        return errno;
    return result(fdatasync(world->disk_fd));
}

static int
convert_name(const World *world)
{
    iconv_t converter = iconv_open("UCS-2BE", "ISO-8859-15");

    return converter == (iconv_t)-1 ? ENOENT : result(iconv_close(converter));
}

static int
exceed_files(const World *world)
{
    for (int i = 0; i < 1024; i++) {
        if (dup(world->disk_fd) < 0)
            return errno == EMFILE ? EPERM : errno;
    }
    return 0;
}

#ifndef __SANITIZE_ADDRESS__
static int
exceed_memory(const World *world)
{
    void *memory = mmap(NULL, (size_t)8 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED ? 0 : errno == ENOMEM ? EPERM : errno;
}
#endif

static int
exceed_file_size(const World *world)
{
    return ftruncate(world->disk_fd, (off_t)18 << 40) == 0 ? 0 : errno == EFBIG ? EPERM : errno;
}

/* ---- the table ---- */

const Attempt sandbox_attacks[] = {
    {"read-shadow", read_shadow, ALL(REFUSED)},
    {"read-elsewhere", read_elsewhere, ALL(REFUSED), true},
    {"write-elsewhere",
     write_elsewhere,
     {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, KILLED},
     true},
    {"write-by-own-fd",
     write_by_own_fd,
     {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, KILLED},
     true},
    {"create", create, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, KILLED}},
    {"remove", remove_file, NONE},
    {"rename", rename_file, NONE},
    {"truncate", truncate_file, NONE},
    {"change-mode", change_mode, NONE},
    {"read-beside-layout",
     read_beside_layout,
     {KILLED, KILLED, REFUSED, KILLED, KILLED, KILLED},
     true},
    {"listen-tcp", listen_tcp, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"connect-unix", connect_unix, ALL(REFUSED)},
    {"send-unix", send_unix, NONE},
    {"open-netlink", open_netlink, ALL(REFUSED)},
    {"open-packet", open_packet, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"open-raw", open_raw, {REFUSED, KILLED, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"trace-parent", trace_parent, NONE},
    {"read-parents-memory", read_parents_memory, NONE},
    {"signal-parent", signal_parent, NONE},
    {"signal-parents-thread", signal_parents_thread, NONE},
    {"signal-group", signal_group, NONE},
    {"open-pidfd", open_pidfd, NONE},
    {"run-elsewhere", run_elsewhere, {KILLED, KILLED, KILLED, REFUSED, KILLED, KILLED}, true},
    {"replace-itself", replace_itself, {KILLED, KILLED, KILLED, DONE, KILLED, KILLED}},
    {"mount", mount_something, NONE},
    {"make-namespace", make_namespace, NONE},
    {"make-process-in-namespace", make_process_in_namespace, NONE},
    {"make-process-by-struct", make_process_by_struct, ALL(REFUSED)},
    {"join-namespace", join_namespace, NONE},
    {"change-root", change_root, NONE},
    {"become-root", become_root, {KILLED, KILLED, KILLED, REFUSED, KILLED, KILLED}},
    {"join-group", join_group, NONE},
    {"load-bpf", load_bpf, NONE},
    {"read-keys", read_keys, NONE},
    {"make-io-uring", make_io_uring, NONE},
    {"watch-performance", watch_performance, NONE},
    {"handle-faults", handle_faults, NONE},
    {"open-by-handle", open_by_handle, NONE},
    {"type-into-terminal", type_into_terminal, NONE},
    {"raise-limit", raise_limit, NONE},
    {"become-dumpable", become_dumpable, NONE},
    {"use-other-numbering", use_other_numbering, NONE},
    {"make-code", make_code, ALL(REFUSED)},
    {"make-data-code", make_data_code, ALL(REFUSED)},
    {"exceed-files", exceed_files, ALL(REFUSED)},
    {"exceed-file-size", exceed_file_size, ALL(REFUSED)},
#ifndef __SANITIZE_ADDRESS__
    {"exceed-memory", exceed_memory, ALL(REFUSED)},
#endif
    {NULL},
};

const Attempt sandbox_needs[] = {
    {"memory-file", use_memory_file, ALL(DONE)},
    {"threads", use_threads, ALL(DONE)},
    {"log", log_message, ALL(DONE)},
    {"write-disk", write_disk, {DONE, KILLED, KILLED, KILLED, DONE, KILLED}},
    {"connect-tcp", connect_tcp, {REFUSED, DONE, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"read-settings", read_settings, {REFUSED, DONE, REFUSED, REFUSED, REFUSED, REFUSED}, true},
    {"resolve-name", resolve_name, {REFUSED, DONE, REFUSED, REFUSED, REFUSED, REFUSED}},
    {"read-layout", read_layout, {KILLED, KILLED, DONE, KILLED, KILLED, KILLED}},
    {"convert-name", convert_name, {REFUSED, DONE, REFUSED, DONE, REFUSED, DONE}},
    {"run-installed", run_installed, {KILLED, KILLED, KILLED, DONE, KILLED, KILLED}},
    {NULL},
};

const Attempt sandbox_daemon[] = {
    {"trace-parent", trace_parent, {REFUSED}},
    {"read-parents-memory", read_parents_memory, {REFUSED}},
    {"join-namespace", join_namespace, {REFUSED}},
    {"change-root", change_root, {REFUSED}},
    {"load-bpf", load_bpf, {REFUSED}},
    {"read-keys", read_keys, {REFUSED}},
    {"make-io-uring", make_io_uring, {REFUSED}},
    {"run-installed", run_installed, {DONE}},
    {"read-elsewhere", read_elsewhere, {DONE}},
    {"write-disk", write_disk, {DONE}},
    {"threads", use_threads, {DONE}},
    {NULL},
};
