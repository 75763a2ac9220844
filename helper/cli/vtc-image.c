/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-image.c: the image to be published, as a raw disk
 *
 * Theory of operation. An image may come from anybody. qemu-img follows whatever a header names:
 * backing files, data files, extents of a VMDK; so it is never asked to find out the format, and
 * gets only a QCOW2 whose header was checked here to stand alone. It reads it through a file
 * descriptor of its own, writes into an unnamed file, has no environment, and is limited in
 * memory, CPU time and bytes written.
 */
#include "vtc-image.h"

#include "vt-fs.h"
#include "vt-qcow2.h"
#include "vtc-print.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PROBE_SIZE 512
/* Address space, not memory: a sane image takes 60 MiB, but qemu's pool of 64 threads reserves
 * 8 MiB of stack for each and glibc an arena of 64 MiB for most. At 1 GiB one run in three ended
 * in qemu_thread_create. A crafted image wants more and more. */
#define CONVERT_MEMORY (UINT64_C(6) << 30)
/* Reading zlib clusters takes 1 s for 100 MB; this much is granted for each GiB of the disk */
#define CONVERT_CPU_S     120
#define CONVERT_CPU_GIB_S 30
#define CONVERT_FILES     64
/* Where the child finds its two files */
#define CHILD_INPUT       3
#define CHILD_INPUT_PATH  "/proc/self/fd/3"
#define CHILD_OUTPUT      4
#define CHILD_OUTPUT_PATH "/proc/self/fd/4"
/* Descriptors from here on are not among those two */
#define CHILD_FREE 10
/* What qemu-img may say in an error */
#define SHOWN_MAX 400

typedef struct {
    const char *format;
    size_t offset;
    const char *bytes;
    size_t length;
} Magic;

static const Magic magics[] = {
    {"qcow2", 0, "QFI\xfb", 4},
    {"qed", 0, "QED\0", 4},
    {"vmdk", 0, "KDMV", 4},
    {"vmdk", 0, "COWD", 4},
    {"vmdk", 0, "# Disk DescriptorFile", 21},
    {"vdi", 64, "\x7f\x10\xda\xbe", 4},
    {"vhdx", 0, "vhdxfile", 8},
    {"vpc", 0,
     "conec"
     "tix",
     8},
    {"luks", 0, "LUKS\xba\xbe", 6},
    {"gz", 0, "\x1f\x8b", 2},
    {"xz", 0, "\xfd\x37zXZ\0", 6},
    {"zst", 0, "\x28\xb5\x2f\xfd", 4},
    {"bz2", 0, "BZh", 3},
    {"zip", 0, "PK\x03\x04", 4},
};

const char *
vtc_image_format(const uint8_t *header, size_t length)
{
    for (size_t i = 0; i < G_N_ELEMENTS(magics); i++) {
        const Magic *magic = &magics[i];

        if (magic->offset + magic->length <= length &&
            memcmp(header + magic->offset, magic->bytes, magic->length) == 0)
            return magic->format;
    }
    return "raw";
}

static bool
refuse_format(const char *path, const char *format, GError **error)
{
    static const char *const packed[] = {"gz", "xz", "zst", "bz2", "zip", NULL};

    if (g_strv_contains(packed, format))
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "'%s' is compressed (%s); decompress it first, or publish it as it is "
                        "with --format raw",
                        path, format);
    if (strcmp(format, "luks") == 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "'%s' is encrypted (luks); publish a plain image, or publish it as it is "
                        "with --format raw",
                        path);
    return vt_throw(error, VT_ERROR_UNSUPPORTED,
                    "'%s' is in format %s, which is not read; convert it, if you trust it, with "
                    "'qemu-img convert -f %s -O raw %s disk.raw', or publish it as it is with "
                    "--format raw",
                    path, format, format, path);
}

/* ---- conversion ---- */

static void
limit(int resource, uint64_t value)
{
    const struct rlimit limits = {.rlim_cur = value, .rlim_max = value};

    /* Async-signal-safe; a limit that cannot be set ends the child, which says so by its status */
    if (setrlimit((unsigned)resource, &limits) < 0)
        _exit(126);
}

/* In the child, between fork and exec */
static void
limit_child(gpointer user)
{
    const uint64_t *capacity = user;

    limit(RLIMIT_AS, CONVERT_MEMORY);
    limit(RLIMIT_CPU, CONVERT_CPU_S + (*capacity >> 30) * CONVERT_CPU_GIB_S);
    limit(RLIMIT_FSIZE, *capacity);
    limit(RLIMIT_NOFILE, CONVERT_FILES);
    limit(RLIMIT_CORE, 0);
}

static bool
open_temporary(uint64_t capacity, int *ret_fd, GError **error)
{
    const char *directory = g_getenv("TMPDIR");
    vt_autofd dir_fd = -1, fd = -1;

    if (!directory || !*directory)
        directory = "/var/tmp";
    dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s' for temporary files", directory);
    if (!vt_fs_tmpfile(dir_fd, 0600, &fd, error)) {
        g_prefix_error(error, "temporary file in '%s' (set TMPDIR): ", directory);
        return false;
    }
    if (ftruncate(fd, (off_t)capacity) < 0)
        return vt_throw_errno(error, errno, "cannot extend a temporary file in '%s'", directory);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/**
 * Conversion: one run of qemu-img after the other, over the same two files
 * @path: of the image, for messages
 * @capacity: of the disk, bytes
 */
typedef struct {
    const char *program;
    const char *path;
    uint64_t capacity;
    int input_fd;
    int output_fd;
} Conversion;

/* Exit status of `qemu-img check` for clusters that nothing refers to: they do no harm */
#define CHECK_LEAKED 3

/* @ret_said: (transfer full): what the child wrote to its standard error */
static bool
read_reason(GSubprocess *child, char **ret_said, GError **error)
{
    g_autoptr(GBytes) said = NULL;
    gsize length = 0;
    const char *text;

    if (!g_subprocess_communicate(child, NULL, NULL, NULL, &said, error))
        return false;
    text = g_bytes_get_data(said, &length);
    *ret_said = g_strndup(length > 0 ? text : "", length);
    g_strchomp(*ret_said);
    return true;
}

static bool
judge_child(GSubprocess *child, const Conversion *conversion, GError **error)
{
    g_autofree char *said = NULL, *shown = NULL;

    if (!read_reason(child, &said, error))
        return false;
    if (g_subprocess_get_if_signaled(child))
        return vt_throw(error, VT_ERROR_FAILED,
                        "qemu-img was ended by signal %d while it read '%s': the image wants "
                        "more CPU time or space than its size allows",
                        g_subprocess_get_term_sig(child), conversion->path);
    if (g_subprocess_get_successful(child) || g_subprocess_get_exit_status(child) == CHECK_LEAKED)
        return true;
    shown = vtc_print_plain(*said ? said : "nothing");
    return vt_throw(error, VT_ERROR_INVALID, "image '%s' is damaged, qemu-img says: %.*s",
                    conversion->path, SHOWN_MAX, shown);
}

static bool
run_qemu_img(const Conversion *conversion, const char *const *argv, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    char *environment[] = {(char *)(uintptr_t) "LC_ALL=C", NULL};
    uint64_t capacity = conversion->capacity;
    g_autoptr(GSubprocess) child = NULL;

    g_subprocess_launcher_set_environ(launcher, environment);
    g_subprocess_launcher_set_child_setup(launcher, limit_child, &capacity, NULL);
    g_subprocess_launcher_take_fd(
        launcher, fcntl(conversion->input_fd, F_DUPFD_CLOEXEC, CHILD_FREE), CHILD_INPUT);
    g_subprocess_launcher_take_fd(
        launcher, fcntl(conversion->output_fd, F_DUPFD_CLOEXEC, CHILD_FREE), CHILD_OUTPUT);
    child = g_subprocess_launcher_spawnv(launcher, argv, error);
    return child && judge_child(child, conversion, error);
}

/* A file that was cut off reads as zeros where it ends; only the check notices */
static bool
convert(const Conversion *conversion, GError **error)
{
    const char *const check[] = {conversion->program, "check", "-q", "-f", "qcow2",
                                 CHILD_INPUT_PATH,    NULL};
    const char *const copy[] = {
        conversion->program, "convert", "-n",    "-W", "-m",  "8",
        "--target-is-zero",  "-f",      "qcow2", "-O", "raw", CHILD_INPUT_PATH,
        CHILD_OUTPUT_PATH,   NULL};

    return run_qemu_img(conversion, check, error) && run_qemu_img(conversion, copy, error);
}

static bool
check_header(int input_fd, const char *path, uint64_t *ret_capacity, GError **error)
{
    g_autofree uint8_t *header = g_malloc(VT_QCOW2_HEADER_MAX);
    ssize_t length = pread(input_fd, header, VT_QCOW2_HEADER_MAX, 0);
    g_auto(VtQcow2Info) info = {0};

    if (length < 0)
        return vt_throw_errno(error, errno, "cannot read '%s'", path);
    if (!vt_qcow2_check_standalone(header, (size_t)length, error) ||
        !vt_qcow2_parse(header, (size_t)length, &info, error)) {
        g_prefix_error(error, "image '%s': ", path);
        return false;
    }
    *ret_capacity = info.capacity;
    return true;
}

static bool
open_qcow2(int input_fd, const char *path, int *ret_fd, GError **error)
{
    g_autofree char *program = g_find_program_in_path("qemu-img");
    vt_autofd output_fd = -1;
    uint64_t capacity = 0;

    if (!check_header(input_fd, path, &capacity, error))
        return false;
    if (!program)
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "'%s' is qcow2, and qemu-img, which reads it, is not installed (Debian: "
                        "qemu-utils)",
                        path);
    if (!open_temporary(capacity, &output_fd, error) ||
        !convert(&(Conversion){program, path, capacity, input_fd, output_fd}, error))
        return false;
    *ret_fd = vt_steal_fd(&output_fd);
    return true;
}

bool
vtc_image_open(const char *path, const char *format, int *ret_fd, GError **error)
{
    vt_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t header[PROBE_SIZE];
    struct stat info;
    ssize_t length;

    if (fd < 0 || fstat(fd, &info) < 0)
        return vt_throw_errno(error, errno, "cannot open the image '%s'", path);
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the image '%s' is neither a regular file nor a block device", path);
    length = pread(fd, header, sizeof(header), 0);
    if (length < 0)
        return vt_throw_errno(error, errno, "cannot read '%s'", path);
    if (length == 0)
        return vt_throw(error, VT_ERROR_INVALID, "the image '%s' is empty", path);
    if (!format)
        format = vtc_image_format(header, (size_t)length);
    if (strcmp(format, "qcow2") == 0)
        return open_qcow2(fd, path, ret_fd, error);
    if (strcmp(format, "raw") != 0)
        return refuse_format(path, format, error);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}
