/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guestfs.c: virt-template prepare with libguestfs
 *
 * guestfish opens what our own guest cannot: LVM, LUKS, RAID. It runs the same script in the image,
 * so the operations and the report are the same. virt-sysprep is not asked: its own customisation,
 * which deleting a file needs, gives the image a machine id and a random seed that all clones would
 * share.
 */
#include "vtc-guest.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Where the script is while it runs, in the image */
#define TOOLS "/.virt-template-prepare"
/* Where guestfish finds what it copies */
enum {
    CHILD_BUSYBOX = 3,
    CHILD_SCRIPT,
    CHILD_FREE = 16,
};
#define UPLOAD_BUSYBOX "/proc/self/fd/3"
#define UPLOAD_SCRIPT  "/proc/self/fd/4"

bool
vtc_guestfs_present(void)
{
    g_autofree char *one = g_find_program_in_path("guestfish");
    g_autofree char *other = g_find_program_in_path("virt-sparsify");

    return one && other;
}

/* @bytes as a file that has no name */
static bool
give_bytes(GSubprocessLauncher *launcher, GBytes *bytes, int target, GError **error)
{
    vt_autofd fd = memfd_create("prepare", MFD_CLOEXEC);
    gsize length = 0;
    const void *data = g_bytes_get_data(bytes, &length);
    int moved;

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a file in memory");
    if (!vt_fs_write_all(fd, data, length, "file in memory", error))
        return false;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FREE);
    g_subprocess_launcher_take_fd(launcher, moved, target);
    return true;
}

/* To read only is an overlay, which may be written. A leading "-" lets guestfish go on, to take the
 * script away again, when it has failed. */
static GSubprocess *
spawn(const VtcPrepare *prepare, GSubprocessLauncher *launcher, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(prepare->path, NULL);
    g_autofree char *format = g_strconcat("--format=", prepare->format, NULL);
    g_autofree char *operations = vtc_guest_operations(prepare);
    g_autofree char *clean = g_strdup_printf(
        TOOLS "/busybox sh " TOOLS "/clean " TOOLS " %s %s libguestfs %s",
        prepare->dry_run ? "yes" : "no", prepare->verbose ? "yes" : "no", operations);
    const char *access = prepare->dry_run ? "--ro" : "--rw";
    /* clang-format off */
    const char *const argv[] = {
        "guestfish", access, format, "-a", path, "-i", "--",
        "remount", "/", "rw:true",
        ":", "rm-rf", TOOLS,
        ":", "mkdir-mode", TOOLS, "0700",
        ":", "upload", UPLOAD_BUSYBOX, TOOLS "/busybox",
        ":", "upload", UPLOAD_SCRIPT, TOOLS "/clean",
        ":", "chmod", "0700", TOOLS "/busybox",
        ":", "-command", clean,
        ":", "rm-rf", TOOLS, NULL};
    /* clang-format on */

    return g_subprocess_launcher_spawnv(launcher, argv, error);
}

static bool
read_report(const char *text, VtcReport *report, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", 0);

    for (char **line = lines; *line; line++) {
        if (**line && !vtc_report_line(report, *line, error))
            return false;
    }
    return true;
}

static bool
throw_failed(const char *program, GError **error)
{
    return vt_throw(error, VT_ERROR_FAILED,
                    "%s has failed, see above; '--with qemu' needs no libguestfs", program);
}

static bool
run_guestfish(const VtcPrepare *prepare, VtcReport *report, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDIN_INHERIT);
    g_autoptr(GBytes) busybox = NULL, script = NULL;
    g_autoptr(GSubprocess) child = NULL;
    g_autofree char *text = NULL;

    script = g_resources_lookup_data("/prepare/clean", G_RESOURCE_LOOKUP_FLAGS_NONE, error);
    if (!script || !vtc_guest_busybox(&busybox, error) ||
        !give_bytes(launcher, busybox, CHILD_BUSYBOX, error) ||
        !give_bytes(launcher, script, CHILD_SCRIPT, error))
        return false;
    child = spawn(prepare, launcher, error);
    if (!child || !g_subprocess_communicate_utf8(child, NULL, NULL, &text, NULL, error) ||
        !read_report(text, report, error))
        return false;
    if (report->failure)
        return vt_throw(error, VT_ERROR_FAILED, "'%s': %s", prepare->path, report->failure);
    return (g_subprocess_get_successful(child) && report->cleaned) ||
           throw_failed("guestfish", error);
}

static bool
run_sparsify(const VtcPrepare *prepare, VtcReport *report, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(prepare->path, NULL);
    g_autoptr(GSubprocess) child =
        g_subprocess_new(G_SUBPROCESS_FLAGS_STDIN_INHERIT, error, "virt-sparsify", "--quiet",
                         "--in-place", "--format", prepare->format, path, NULL);

    if (!child)
        return false;
    report->ran |= vtc_operations_free_space();
    return g_subprocess_wait_check(child, NULL, NULL) || throw_failed("virt-sparsify", error);
}

bool
vtc_guestfs_run(const VtcPrepare *prepare, VtcReport *report, GError **error)
{
    if (!vtc_guestfs_present())
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "guestfish and virt-sparsify are not installed (Debian: libguestfs-tools, "
                        "Fedora: guestfs-tools); '--with qemu' does not need them");
    if (!run_guestfish(prepare, report, error))
        return false;
    return prepare->dry_run || (prepare->operations & vtc_operations_free_space()) == 0 ||
           run_sparsify(prepare, report, error);
}
