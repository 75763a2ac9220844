/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-floppy.c: a few small files as a floppy image, written by mtools */
#include "vt-floppy.h"

#include "vt-fs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* 80 tracks, 2 heads, 18 sectors */
#define IMAGE_SIZE 1474560
/* Not from the clock, as mformat would take it */
#define SERIAL_NUMBER "56540001"
/* What the programs see of the image */
#define IMAGE_FD   4
#define IMAGE_PATH "/proc/self/fd/4"
/* One line of theirs */
#define COMPLAINT_MAX 200

/* Files of the programs, all in memory */
typedef struct {
    int image;
    int input;
    int complaint;
} Files;

static void
files_clear(Files *files)
{
    vt_close_fd(&files->image);
    vt_close_fd(&files->input);
    vt_close_fd(&files->complaint);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Files, files_clear)

static bool
memory_file(GBytes *bytes, int *ret_fd, GError **error)
{
    vt_autofd fd = memfd_create("floppy", MFD_CLOEXEC);

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a memory file");
    if (bytes && !vt_fs_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                                  "the floppy", error))
        return false;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return vt_throw_errno(error, errno, "cannot rewind a memory file");
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* In the child: as its parent, it must not outlive who waits for it */
static void
die_with_parent(gpointer user_data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* What the program has written on stderr, its first line */
static bool
throw_complaint(const char *program, const Files *files, GError **error)
{
    char text[COMPLAINT_MAX + 1] = "";
    ssize_t n = pread(files->complaint, text, COMPLAINT_MAX, 0);
    g_autofree char *valid = g_utf8_make_valid(text, n > 0 ? n : 0);

    valid[strcspn(valid, "\n")] = '\0';
    return vt_throw(error, VT_ERROR_FAILED, "cannot make the floppy: %s: %s", program,
                    *valid ? valid : "failed");
}

static bool
run(const char *const *argv, const Files *files, GError **error)
{
    /* TZ: FAT has local time */
    static const char *const environment[] = {"PATH=/usr/bin:/bin",
                                              "LC_ALL=C.UTF-8",
                                              "TZ=UTC",
                                              "HOME=/",
                                              "SOURCE_DATE_EPOCH=315532800",
                                              NULL};
    const int target = IMAGE_FD;
    g_autoptr(GError) reason = NULL;
    int status = 0;
    GPid pid;

    if (!g_spawn_async_with_pipes_and_fds(
            "/", argv, environment, G_SPAWN_SEARCH_PATH_FROM_ENVP | G_SPAWN_DO_NOT_REAP_CHILD,
            die_with_parent, NULL, files->input, files->complaint, files->complaint, &files->image,
            &target, 1, &pid, NULL, NULL, NULL, &reason))
        return vt_throw(error, VT_ERROR_FAILED,
                        "cannot make the floppy: %s; is mtools installed on the host?",
                        reason->message);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return vt_throw_errno(error, errno, "cannot wait for '%s'", argv[0]);
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           throw_complaint(argv[0], files, error);
}

static bool
add_file(const VtSeedFile *file, Files *files, GError **error)
{
    g_autofree char *target = g_strconcat("::", file->path, NULL);
    const char *const argv[] = {"mcopy", "-i", IMAGE_PATH, "-", target, NULL};

    vt_close_fd(&files->input);
    return memory_file(file->bytes, &files->input, error) && run(argv, files, error);
}

static bool
check_size(GPtrArray *files, GError **error)
{
    gsize total = 0;

    for (guint i = 0; i < files->len; i++)
        total += g_bytes_get_size(((const VtSeedFile *)files->pdata[i])->bytes);
    return total <= VT_FLOPPY_MAX ||
           vt_throw(error, VT_ERROR_TOO_LARGE,
                    "the floppy would have %zu bytes, at most %u are allowed: name a seed "
                    "NAME" VT_SEED_SUFFIX,
                    total, VT_FLOPPY_MAX);
}

bool
vt_floppy_write(const char *label, GPtrArray *seed, GBytes **ret_bytes, GError **error)
{
    const char *const argv[] = {"mformat", "-C",  "-f", "1440",     "-N", SERIAL_NUMBER,
                                "-v",      label, "-i", IMAGE_PATH, "::", NULL};
    g_auto(Files) files = {-1, -1, -1};
    g_autofree char *image = g_malloc(IMAGE_SIZE);

    if (!check_size(seed, error) || !memory_file(NULL, &files.image, error) ||
        !memory_file(NULL, &files.input, error) || !memory_file(NULL, &files.complaint, error) ||
        !run(argv, &files, error))
        return false;
    for (guint i = 0; i < seed->len; i++) {
        if (!add_file(seed->pdata[i], &files, error))
            return false;
    }
    if (!vt_fs_pread_all(files.image, image, IMAGE_SIZE, 0, "the floppy", error))
        return false;
    *ret_bytes = g_bytes_new_take(g_steal_pointer(&image), IMAGE_SIZE);
    return true;
}
