/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest.c: runs the throw-away QEMU guest of virt-template prepare
 *
 * Theory of operation. File systems of the image are looked into by a kernel that has nothing to
 * lose: a guest without network, with one disk, a console and a port for its report. QEMU gets
 * descriptors and no paths: the image, kernel and initramfs in memory, a pipe that the report comes
 * through, and a memory file for the console. It holds its lock on the image, may start no program,
 * and is not root even if we are. A KVM that is there may still not work, so a guest that has not
 * said anything, and hence not touched the disk, is started once more without it.
 */
#include "vtc-guest.h"

#include "vt-fs.h"
#include "vtc-print.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Kernel, modules and page cache; large file systems need more to be recovered */
#define MEMORY_MIB "768"
/* Until the guest says hello: with KVM it takes 2 s */
#define KVM_HELLO_MS (20 * 1000)
/* What is shown of a console or of QEMU's errors */
#define SHOWN_LINES 8
#define LOG_MAX     (256u << 10)
#define NOBODY      65534

/* Where QEMU finds its files */
enum {
    CHILD_KERNEL = 3,
    CHILD_INITRD,
    CHILD_IMAGE,
    CHILD_CONSOLE,
    CHILD_REPORT,
    CHILD_FREE = 16,
};

#if defined(__x86_64__)
#define EMULATOR     "qemu-system-x86_64"
#define MACHINE      "q35"
#define CPU          "max"
#define CONSOLE_NAME "ttyS0"
#elif defined(__aarch64__)
#define EMULATOR     "qemu-system-aarch64"
#define MACHINE      "virt"
#define CPU          "max"
#define CONSOLE_NAME "ttyAMA0"
#endif

/* The second one is where RHEL has it */
static const char *const emulators[] = {EMULATOR, "/usr/libexec/qemu-kvm", NULL};

/**
 * Guest: one run of it
 * @program: QEMU
 * @deadline: monotonic
 */
typedef struct {
    const VtcPrepare *prepare;
    const char *program;
    const char *accelerator;
    gint64 deadline;
    int kernel_fd;
    int initrd_fd;
    int console_fd;
    int errors_fd;
    int report_fd;
    GSubprocess *child;
} Guest;

static void
guest_clear(Guest *guest)
{
    if (guest->child) {
        g_subprocess_force_exit(guest->child);
        g_subprocess_wait(guest->child, NULL, NULL);
        g_object_unref(guest->child);
    }
    vt_close_fd(&guest->console_fd);
    vt_close_fd(&guest->errors_fd);
    vt_close_fd(&guest->report_fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Guest, guest_clear)

/* ---- starting it ---- */

/* Whom root becomes, and the group that may use KVM */
typedef struct {
    bool drop;
    uid_t uid;
    gid_t gid;
    gid_t kvm;
} Person;

static void
find_person(Person *person)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct stat kvm;

    *person = (Person){.drop = geteuid() == 0,
                       .uid = nobody ? nobody->pw_uid : NOBODY,
                       .gid = nobody ? nobody->pw_gid : NOBODY};
    person->kvm = stat("/dev/kvm", &kvm) == 0 && kvm.st_gid != 0 ? kvm.st_gid : person->gid;
}

/* In the child, between fork and exec; only what is async-signal-safe */
static void
become(gpointer user)
{
    const Person *person = user;
    const struct rlimit no_core = {0, 0};

    if (setrlimit(RLIMIT_CORE, &no_core) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        _exit(126);
    if (person->drop &&
        (setgroups(1, &person->kvm) < 0 || setgid(person->gid) < 0 || setuid(person->uid) < 0))
        _exit(126);
    /* After the change of user, which would forget it: the guest ends with us */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        _exit(126);
}

/* A qcow2 has no backing file, whatever its header said since it was checked */
static char *
disk_description(const VtcPrepare *prepare)
{
    return g_strdup_printf("{\"node-name\":\"disk\",\"driver\":\"%s\",\"file\":\"file\","
                           "\"read-only\":%s,\"discard\":\"unmap\",\"detect-zeroes\":\"%s\"%s}",
                           prepare->format, prepare->dry_run ? "true" : "false",
                           prepare->dry_run ? "off" : "unmap",
                           strcmp(prepare->format, "qcow2") == 0 ? ",\"backing\":null" : "");
}

static char *
file_description(const VtcPrepare *prepare)
{
    struct stat info;
    bool device = fstat(prepare->fd, &info) == 0 && S_ISBLK(info.st_mode);

    return g_strdup_printf(
        "{\"node-name\":\"file\",\"driver\":\"%s\",\"filename\":\"/dev/fdset/1\","
        "\"read-only\":%s,\"discard\":\"unmap\"}",
        device ? "host_device" : "file", prepare->dry_run ? "true" : "false");
}

static void
give_fd(GSubprocessLauncher *launcher, int fd, int target)
{
    g_subprocess_launcher_take_fd(launcher, fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FREE), target);
}

/* clang-format off */
static const char *const arguments[] = {
    "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
    "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-machine", MACHINE, "-cpu", CPU, "-m", MEMORY_MIB,
    /* The numbers of CHILD_KERNEL ... CHILD_REPORT */
    "-kernel", "/proc/self/fd/3", "-initrd", "/proc/self/fd/4",
    "-append", "console=" CONSOLE_NAME " panic=-1 loglevel=5 mitigations=off",
    "-add-fd", "fd=5,set=1", "-add-fd", "fd=6,set=2", "-add-fd", "fd=7,set=3",
    "-device", "virtio-blk-pci,drive=disk",
    "-chardev", "file,id=console,path=/dev/fdset/2,append=on", "-serial", "chardev:console",
    "-chardev", "file,id=report,path=/dev/fdset/3,append=on", "-device", "virtio-serial-pci",
    "-device", "virtserialport,chardev=report,name=virt-template.report", NULL};
/* clang-format on */

static char **
build_argv(const Guest *guest)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();
    g_autofree char *file = file_description(guest->prepare);
    g_autofree char *disk = disk_description(guest->prepare);

    g_strv_builder_add(argv, guest->program);
    g_strv_builder_addv(argv, (const char **)(uintptr_t)arguments);
    g_strv_builder_add_many(argv, "-accel", guest->accelerator, "-blockdev", file, "-blockdev",
                            disk, NULL);
    return g_strv_builder_end(argv);
}

static GSubprocess *
spawn(const Guest *guest, int console_fd, int report_fd, Person *person, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    char *environment[] = {(char *)(uintptr_t) "LC_ALL=C", NULL};
    g_auto(GStrv) argv = build_argv(guest);

    g_subprocess_launcher_set_environ(launcher, environment);
    g_subprocess_launcher_set_child_setup(launcher, become, person, NULL);
    give_fd(launcher, guest->kernel_fd, CHILD_KERNEL);
    give_fd(launcher, guest->initrd_fd, CHILD_INITRD);
    give_fd(launcher, guest->prepare->fd, CHILD_IMAGE);
    give_fd(launcher, console_fd, CHILD_CONSOLE);
    give_fd(launcher, report_fd, CHILD_REPORT);
    g_subprocess_launcher_take_stderr_fd(launcher,
                                         fcntl(guest->errors_fd, F_DUPFD_CLOEXEC, CHILD_FREE));
    return g_subprocess_launcher_spawnv(launcher, (const char *const *)argv, error);
}

/* QEMU takes a descriptor of a set only if it is for writing alone */
static int
reopen_for_writing(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);

    return open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static bool
start(Guest *guest, GError **error)
{
    vt_autofd report_fd = -1, console_fd = -1;
    int ends[2];
    Person person;

    find_person(&person);
    guest->console_fd = memfd_create("console", MFD_CLOEXEC);
    guest->errors_fd = memfd_create("errors", MFD_CLOEXEC);
    console_fd = reopen_for_writing(guest->console_fd);
    if (guest->errors_fd < 0 || console_fd < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return vt_throw_errno(error, errno, "cannot make files in memory");
    guest->report_fd = ends[0];
    report_fd = ends[1];
    guest->child = spawn(guest, console_fd, report_fd, &person, error);
    return guest->child != NULL;
}

/* ---- listening ---- */

static int
remaining_ms(gint64 deadline)
{
    gint64 left = (deadline - g_get_monotonic_time()) / 1000;

    return left < 0 ? 0 : (int)MIN(left, G_MAXINT);
}

/* Takes all whole lines out of @text */
static bool
take_lines(GString *text, VtcReport *report, GError **error)
{
    char *end;

    while ((end = memchr(text->str, '\n', text->len))) {
        *end = '\0';
        if (!vtc_report_line(report, text->str, error))
            return false;
        g_string_erase(text, 0, end + 1 - text->str);
    }
    return true;
}

static bool
throw_too_slow(const Guest *guest, GError **error)
{
    return vt_throw(
        error, VT_ERROR_FAILED,
        "the guest took longer than %d s and was ended; the image may be half prepared: "
        "do it again, with a longer --time-limit",
        guest->prepare->limit_s);
}

/* Until QEMU has ended, or hello did not come in @hello_ms */
static bool
follow(const Guest *guest, int hello_ms, VtcReport *report, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const gint64 hello = g_get_monotonic_time() + (gint64)hello_ms * 1000;
    struct pollfd watch = {.fd = guest->report_fd, .events = POLLIN};
    size_t total = 0;

    for (;;) {
        gint64 until = report->hello ? guest->deadline : MIN(guest->deadline, hello);
        int ready = poll(&watch, 1, remaining_ms(until));
        char chunk[4096];
        ssize_t n;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return report->hello || until == guest->deadline ? throw_too_slow(guest, error) : true;
        n = read(guest->report_fd, chunk, sizeof(chunk));
        if (n <= 0)
            return n == 0 || vt_throw_errno(error, errno, "cannot read the guest's report");
        total += (size_t)n;
        if (total > VTC_REPORT_MAX)
            return vt_throw(error, VT_ERROR_TOO_LARGE, "the guest's report has no end");
        g_string_append_len(text, chunk, n);
        if (!take_lines(text, report, error))
            return false;
    }
}

/* ---- judging ---- */

/* Returns: (transfer full): the end of what was written into a memory file, in one line; what a
 * kernel says after "Kernel panic - not syncing: ..." is of no use */
static char *
last_lines(int fd)
{
    g_autofree char *text = g_malloc0(LOG_MAX + 1);
    char *end, *at;

    if (pread(fd, text, LOG_MAX, 0) < 0)
        return g_strdup("");
    end = strstr(text, "Kernel panic");
    end = end ? strchr(end, '\n') : NULL;
    if (end)
        *end = '\0';
    g_strdelimit(g_strstrip(text), "\r", ' ');
    at = text + strlen(text);
    for (int lines = 0; at > text && lines < SHOWN_LINES; at--)
        lines += at[-1] == '\n';
    g_strdelimit(text, "\n", '|');
    return vtc_print_plain(*at == '|' ? at + 1 : at);
}

static bool
judge(const Guest *guest, const VtcReport *report, GError **error)
{
    const char *path = guest->prepare->path;
    g_autofree char *errors = last_lines(guest->errors_fd);
    g_autofree char *console = last_lines(guest->console_fd);

    if (report->failure)
        return vt_throw(error, VT_ERROR_FAILED, "'%s': %s", path, report->failure);
    if (report->finished)
        return true;
    /* Not "lock", which every complaint about a -blockdev has */
    if (strstr(errors, "Is another process using"))
        return vt_throw(error, VT_ERROR_BUSY,
                        "'%s' is in use by another program; stop the guest that has it", path);
    if (*errors)
        return vt_throw(error, VT_ERROR_FAILED, "QEMU cannot work on '%s': %s", path, errors);
    return vt_throw(error, VT_ERROR_FAILED,
                    "the guest ended before it was done with '%s'; its last words: %s", path,
                    *console ? console : "(none)");
}

/* @ret_silent: (out): it never said a word */
static bool
run_once(Guest *guest, int hello_ms, VtcReport *report, GError **error)
{
    if (!start(guest, error) || !follow(guest, hello_ms, report, error))
        return false;
    if (!report->hello)
        g_subprocess_force_exit(guest->child);
    return g_subprocess_wait(guest->child, NULL, error);
}

/* With KVM there is a second chance, as long as the disk was not touched */
static bool
run_accelerated(const Guest *common, VtcReport *report, GError **error)
{
    g_auto(Guest) guest = *common;

    guest.accelerator = "kvm";
    return access("/dev/kvm", R_OK | W_OK) == 0 && run_once(&guest, KVM_HELLO_MS, report, error) &&
           report->hello && judge(&guest, report, error);
}

static bool
find_emulator(char **ret_program, GError **error)
{
    for (size_t i = 0; emulators[i]; i++) {
        *ret_program = g_find_program_in_path(emulators[i]);
        if (*ret_program)
            return true;
    }
    return vt_throw(error, VT_ERROR_NOT_FOUND,
                    "'%s' is not installed (Debian: qemu-system-x86, Fedora: qemu-kvm)", EMULATOR);
}

bool
vtc_guest_run(const VtcPrepare *prepare, VtcReport *report, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + (gint64)prepare->limit_s * G_USEC_PER_SEC;
    g_auto(Guest) guest = {.prepare = prepare,
                           .accelerator = "tcg",
                           .deadline = deadline,
                           .console_fd = -1,
                           .errors_fd = -1,
                           .report_fd = -1};
    vt_autofd kernel_fd = -1, initrd_fd = -1;
    g_autofree char *program = NULL;
    g_autoptr(GError) local = NULL;

    if (!find_emulator(&program, error) || !vtc_guest_files(prepare, &kernel_fd, &initrd_fd, error))
        return false;
    guest.program = program;
    guest.kernel_fd = kernel_fd;
    guest.initrd_fd = initrd_fd;
    if (run_accelerated(&guest, report, &local))
        return true;
    if (report->hello) {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    return run_once(&guest, prepare->limit_s * 1000, report, error) && judge(&guest, report, error);
}
