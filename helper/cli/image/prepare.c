/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prepare.c: virt-template prepare: takes out of an image what belongs to one machine */
#include "vtc-prepare.h"

#include "vt-fs.h"
#include "vt-qcow2.h"
#include "vtc-image.h"
#include "vtc-print.h"
#include "vtc-verb.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>

/* A program of its own, because no other verb needs libarchive */

#define PROBE_SIZE      512
#define LIMIT_DEFAULT_S 900
#define LIMIT_MAX_S     86400
/* Mounting and unmounting write a little by themselves */
#define GROWTH_NOISE (UINT64_C(1) << 20)

typedef struct {
    char *format;
    char *operations;
    char *with;
    char *kernel;
    char *modules;
    int limit_s;
    gboolean dry_run;
    gboolean verbose;
} Options;

static void
options_clear(Options *options)
{
    g_free(options->format);
    g_free(options->operations);
    g_free(options->with);
    g_free(options->kernel);
    g_free(options->modules);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* ---- the image ---- */

static bool
check_qcow2(int fd, const char *path, GError **error)
{
    g_autofree uint8_t *header = g_malloc(VT_QCOW2_HEADER_MAX);
    ssize_t length = pread(fd, header, VT_QCOW2_HEADER_MAX, 0);

    if (length < 0)
        return vt_throw_errno(error, errno, "cannot read '%s'", path);
    if (vt_qcow2_check_standalone(header, (size_t)length, error))
        return true;
    g_prefix_error(error, "'%s' does not stand alone: ", path);
    return false;
}

/* The format that is said, or else found, is one that we read */
static bool
check_format(int fd, const char *path, const char **format, GError **error)
{
    uint8_t header[PROBE_SIZE];
    ssize_t length = pread(fd, header, sizeof(header), 0);
    const char *found;

    if (length < 0)
        return vt_throw_errno(error, errno, "cannot read '%s'", path);
    found = vtc_image_format(header, (size_t)length);
    if (!*format)
        *format = found;
    if (strcmp(*format, "raw") != 0 && strcmp(*format, "qcow2") != 0)
        return vt_throw(error, VT_ERROR_UNSUPPORTED,
                        "'%s' is in format %s; only raw and qcow2 are prepared", path, *format);
    if (strcmp(*format, found) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "'%s' is in format %s, not %s as --format says",
                        path, found, *format);
    return strcmp(*format, "raw") == 0 || check_qcow2(fd, path, error);
}

static bool
open_image(VtcPrepare *prepare, GError **error)
{
    int mode = prepare->dry_run ? O_RDONLY : O_RDWR;
    vt_autofd fd = open(prepare->path, mode | O_CLOEXEC | O_NONBLOCK);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) < 0)
        return vt_throw_errno(error, errno, "cannot open the image '%s' for %s", prepare->path,
                              prepare->dry_run ? "reading" : "writing");
    if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the image '%s' is neither a regular file nor a block device",
                        prepare->path);
    if (!check_format(fd, prepare->path, &prepare->format, error))
        return false;
    prepare->fd = vt_steal_fd(&fd);
    return true;
}

/* Bytes of the disk below; 0 for a block device, which does not say */
static uint64_t
size_on_disk(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_blocks * 512 : 0;
}

/* ---- the report ---- */

static void
print_lines(const char *before, const GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++)
        g_print("%s%s\n", before, (const char *)lines->pdata[i]);
}

static char *
describe(const VtcReport *report, int row, bool dry_run)
{
    g_autofree char *size = vtc_print_size(report->bytes[row]);

    if (report->files[row] == 0)
        return g_strdup("nothing to do");
    return g_strdup_printf("%" G_GUINT64_FORMAT " file%s%s, %s", report->files[row],
                           report->files[row] == 1 ? "" : "s", dry_run ? " to do" : "", size);
}

static char *
describe_space(uint64_t before, uint64_t after)
{
    g_autofree char *was = vtc_print_size(before), *is = vtc_print_size(after);

    if (before == 0)
        return g_strdup("done");
    if (after + GROWTH_NOISE > before)
        return g_strdup_printf("nothing to do: %s on this disk", is);
    return g_strdup_printf("%s on this disk, was %s", is, was);
}

static void
print_report(const VtcPrepare *prepare, const VtcReport *report, uint64_t before)
{
    const VtcOperation *operations = vtc_operations();

    print_lines("", report->roots);
    print_lines("  ", report->paths);
    for (int i = 0; operations[i].name; i++) {
        bool space = (vtc_operations_free_space() & (UINT32_C(1) << i)) != 0;
        g_autofree char *text = space ? describe_space(before, size_on_disk(prepare->fd))
                                      : describe(report, i, prepare->dry_run);

        if ((report->ran & (UINT32_C(1) << i)) != 0)
            g_print("  %-15s %s\n", operations[i].name, text);
    }
    print_lines("note: ", report->notes);
}

/* ---- the verb ---- */

typedef bool (*Way)(const VtcPrepare *prepare, VtcReport *report, GError **error);

/* What was done is said even if not all could be */
static bool
run_way(const VtcPrepare *prepare, Way way, GError **error)
{
    g_auto(VtcReport) report = {0};
    uint64_t before = size_on_disk(prepare->fd);
    bool ok;

    vtc_report_init(&report);
    ok = way(prepare, &report, error);
    print_report(prepare, &report, before);
    return ok;
}

static bool
check_options(const Options *options, GError **error)
{
    static const char *const ways[] = {"auto", "guestfs", "qemu", NULL};
    static const char *const formats[] = {"raw", "qcow2", NULL};

    if (options->with && !g_strv_contains(ways, options->with))
        return vtc_usage(error, "--with %s: neither 'auto' nor 'guestfs' nor 'qemu'",
                         options->with);
    if (options->format && !g_strv_contains(formats, options->format))
        return vtc_usage(error, "--format %s: neither 'raw' nor 'qcow2'", options->format);
    return (options->limit_s >= 1 && options->limit_s <= LIMIT_MAX_S) ||
           vtc_usage(error, "--time-limit %d: not between 1 and %d", options->limit_s, LIMIT_MAX_S);
}

static bool
wants_guestfs(const Options *options)
{
    if (!options->with || strcmp(options->with, "auto") == 0)
        return !options->kernel && !options->modules && vtc_guestfs_present();
    return strcmp(options->with, "guestfs") == 0;
}

static bool
prepare_image(const Options *options, const char *path, GError **error)
{
    VtcPrepare prepare = {.path = path,
                          .format = options->format,
                          .fd = -1,
                          .dry_run = options->dry_run,
                          .verbose = options->verbose,
                          .kernel = options->kernel,
                          .modules = options->modules,
                          .limit_s = options->limit_s};
    bool ok = check_options(options, error) &&
              vtc_operations_select(options->operations, &prepare.operations, error) &&
              open_image(&prepare, error) &&
              run_way(&prepare, wants_guestfs(options) ? vtc_guestfs_run : vtc_guest_run, error);

    vt_close_fd(&prepare.fd);
    return ok;
}

static bool
run(const VtcVerb *self, char **argv, GError **error)
{
    g_auto(Options) options = {.limit_s = LIMIT_DEFAULT_S};
    g_auto(GStrv) words = NULL;
    const GOptionEntry entries[] = {
        {"operations", 'o', 0, G_OPTION_ARG_STRING, &options.operations,
         "Only these, or with - all but these", "LIST"},
        {"format", 'f', 0, G_OPTION_ARG_STRING, &options.format, "raw or qcow2", "FORMAT"},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &options.dry_run, "Say it, and change nothing",
         NULL},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, "Name every file", NULL},
        {"with", 0, 0, G_OPTION_ARG_STRING, &options.with, "guestfs, qemu or auto (auto)", "WAY"},
        {"kernel", 0, 0, G_OPTION_ARG_FILENAME, &options.kernel, "Of the guest that does it",
         "FILE"},
        {"modules", 0, 0, G_OPTION_ARG_FILENAME, &options.modules, "The kernel's modules",
         "FOLDER"},
        {"time-limit", 0, 0, G_OPTION_ARG_INT, &options.limit_s, "(900)", "SECONDS"},
        {NULL},
    };

    return vtc_verb_parse(self, argv, entries, &words, error) &&
           prepare_image(&options, words[0], error);
}

int
main(int argc, char **argv)
{
    g_autofree char *operations = vtc_operations_describe();
    g_autofree char *detail = g_strconcat("Operations:\n", operations, NULL);
    const VtcVerb verb = {.name = "prepare",
                          .words = "IMAGE",
                          .words_min = 1,
                          .words_max = 1,
                          .summary = "Take out of an image what belongs to one machine",
                          .detail = detail,
                          .run = run};
    g_autoptr(GError) error = NULL;

    setlocale(LC_ALL, "");
    /* argv[1] is the name of the verb */
    if (!run(&verb, argc > 1 ? argv + 2 : argv + argc, &error))
        g_printerr("virt-template: %s\n", error ? error->message : "failed");
    return vtc_exit_status(error);
}
