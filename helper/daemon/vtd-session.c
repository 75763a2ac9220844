/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-session.c: virttemplated for one user: started when it is needed, and one at a time */
#include "vtd-session.h"

#include "vt-fs.h"
#include "vtd-server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_NAME "virttemplated.lock"
/* Who starts us waits 5 s; another one that starts or ends has to be through before */
#define LOCK_WAIT_US  (4 * G_USEC_PER_SEC)
#define LOCK_PAUSE_US (G_USEC_PER_SEC / 50)
/* A log that is larger is begun anew: there is no logrotate for users */
#define LOG_MAX (1 << 20)

/* ---- one at a time ---- */

static bool
open_run_dir(const char *run_dir, int *ret_fd, GError **error)
{
    vt_autofd fd = -1;
    struct stat st;

    if (g_mkdir_with_parents(run_dir, 0700) < 0)
        return vt_throw_errno(error, errno, "cannot make '%s'", run_dir);
    fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", run_dir);
    if (st.st_uid != geteuid())
        return vt_throw(error, VT_ERROR_DENIED,
                        "'%s' belongs to uid %u, not to %u: set XDG_RUNTIME_DIR to a directory of "
                        "your own",
                        run_dir, st.st_uid, geteuid());
    if (fchmod(fd, 0700) < 0)
        return vt_throw_errno(error, errno, "cannot set the mode of '%s'", run_dir);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* Of this process alone: a child that outlives it for a moment does not have this lock, as it would
 * have one of flock() */
static bool
try_lock(int fd)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_SETLK, &whole) == 0;
}

bool
vtd_session_lock(const char *run_dir, int *ret_fd, GError **error)
{
    const gint64 end = g_get_monotonic_time() + LOCK_WAIT_US;
    g_autofree char *socket = g_build_filename(run_dir, VTD_SOCKET_NAME, NULL);
    vt_autofd dir = -1;
    vt_autofd fd = -1;

    if (!open_run_dir(run_dir, &dir, error))
        return false;
    fd = openat(dir, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/" LOCK_NAME "'", run_dir);
    while (!try_lock(fd)) {
        if (errno != EACCES && errno != EAGAIN && errno != EINTR)
            return vt_throw_errno(error, errno, "cannot lock '%s/" LOCK_NAME "'", run_dir);
        if (vtd_server_answers(socket)) {
            *ret_fd = -1;
            return true;
        }
        if (g_get_monotonic_time() > end)
            return vt_throw(error, VT_ERROR_BUSY,
                            "another virttemplated has locked '%s/" LOCK_NAME
                            "', but does not answer: end it",
                            run_dir);
        g_usleep(LOCK_PAUSE_US);
    }
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* ---- in the background ---- */

G_GNUC_NORETURN static void
wait_for_child(pid_t pid, int fd)
{
    char ready = 0;
    int status = -1;

    while (read(fd, &ready, 1) < 0 && errno == EINTR)
        continue;
    if (ready)
        _exit(EXIT_SUCCESS);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

bool
vtd_background_begin(int *ret_fd, GError **error)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return vt_throw_errno(error, errno, "cannot make a pipe");
    pid = fork();
    if (pid > 0) {
        close(ends[1]);
        wait_for_child(pid, ends[0]);
    }
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return vt_throw_errno(error, errno, "cannot go to the background");
    }
    setsid();
    *ret_fd = ends[1];
    return true;
}

bool
vtd_background_ready(int *fd, const char *log, GError **error)
{
    vt_autofd file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;

    if (file < 0 || fstat(file, &st) < 0)
        return vt_throw_errno(error, errno, "cannot open the log '%s'", log);
    if (st.st_size > LOG_MAX && ftruncate(file, 0) < 0)
        return vt_throw_errno(error, errno, "cannot empty the log '%s'", log);
    if (dup2(file, STDERR_FILENO) < 0)
        return vt_throw_errno(error, errno, "cannot write to the log '%s'", log);
    /* Who started this may have waited long enough; the next one finds it */
    if (write(*fd, "r", 1) != 1)
        g_message("nobody waits for this start any more");
    vt_close_fd(fd);
    return true;
}
