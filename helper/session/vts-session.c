/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vts-session.c: the helper of a user who is not root: its places, and how it is started */

/* Theory of operation
 *
 * Used inside libvirtd, in the command line and in the helper itself, so it needs nothing but GLib.
 * `virttemplated --session --background` comes back when its socket answers, or when that of
 * another one does; it holds a lock, so nobody here has to. Until then its stderr is a pipe to us,
 * which is where the reason stands if it fails.
 */
#include "vts-session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER "virt-template"
/* A message of the helper; more is not looked at */
#define MESSAGE_MAX 1024
/* Between two looks whether a process that has closed its stderr has ended, too */
#define REAP_US 2000

extern char **environ;

bool
vts_is_session(void)
{
    return geteuid() != 0;
}

/* As libvirt, which has the variable from the user's session, or falls back to the cache; but the
 * hooks that libvirt runs do not get the variable */
char *
vts_run_dir(void)
{
    const char *set = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *usual = g_strdup_printf("/run/user/%u", geteuid());
    struct stat st;

    if (set && g_path_is_absolute(set))
        return g_build_filename(set, FOLDER, NULL);
    if (lstat(usual, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
        return g_build_filename(usual, FOLDER, NULL);
    return g_build_filename(g_get_user_cache_dir(), FOLDER, NULL);
}

char *
vts_socket(void)
{
    g_autofree char *dir = vts_run_dir();

    return g_build_filename(dir, "virttemplated-sock", NULL);
}

char *
vts_state_dir(void)
{
    return g_build_filename(g_get_user_state_dir(), FOLDER, NULL);
}

char *
vts_config_file(const char *name)
{
    return g_build_filename(g_get_user_config_dir(), FOLDER, name, NULL);
}

char *
vts_policy_file(const char *of_host)
{
    g_autofree char *own = vts_config_file("policy.json");

    return g_strdup(vts_is_session() && g_file_test(own, G_FILE_TEST_EXISTS) ? own : of_host);
}

/* A directory that is not the user's own may have a socket of somebody else's */
bool
vts_is_own(GDBusConnection *connection, GError **error)
{
    GIOStream *stream = g_dbus_connection_get_stream(connection);
    GSocket *socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream));
    g_autoptr(GCredentials) peer = g_socket_get_credentials(socket, error);
    uid_t uid = peer ? g_credentials_get_unix_user(peer, error) : (uid_t)-1;

    if (uid == (uid_t)-1 || uid == geteuid())
        return uid == geteuid();
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "it is a program of uid %u", uid);
    return false;
}

const char *
vts_program(void)
{
    return VTS_PROGRAM;
}

/* ---- starting ---- */

static int
plan_files(posix_spawn_file_actions_t *actions, int output)
{
    const int results[] = {
        posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0),
        posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO),
        posix_spawn_file_actions_adddup2(actions, output, STDERR_FILENO),
        posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1),
        posix_spawn_file_actions_addchdir_np(actions, "/"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS(results); i++) {
        if (results[i] != 0)
            return results[i];
    }
    return 0;
}

/* posix_spawn() and not fork(): libvirtd has threads that may hold any lock */
static int
spawn(const char *program, int output, pid_t *ret_pid)
{
    const char *const argv[] = {program, "--session", "--background", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int result;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    result = plan_files(&actions, output);
    if (result == 0)
        result = posix_spawn(ret_pid, program, &actions, &attributes, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

static int
left_ms(gint64 deadline)
{
    return (int)CLAMP((deadline - g_get_monotonic_time()) / 1000, 0, G_MAXINT);
}

/* Returns: whether the end of the pipe came before @deadline */
static bool
read_message(int fd, gint64 deadline, char message[MESSAGE_MAX])
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    gsize have = 0;
    char rest[256];

    for (;;) {
        const bool full = have + 1 == MESSAGE_MAX;
        const int events = poll(&ready, 1, left_ms(deadline));
        ssize_t n;

        if (events == 0)
            return false;
        if (events < 0 && errno == EINTR)
            continue;
        n = read(fd, full ? rest : message + have, full ? sizeof(rest) : MESSAGE_MAX - 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return true;
        if (!full)
            have += (gsize)n;
        message[have] = '\0';
    }
}

/* Returns: whether it ended well. libvirtd is not to have a child that nobody waits for. */
static bool
reap(pid_t pid, gint64 deadline)
{
    int status = -1;
    pid_t result;

    while ((result = waitpid(pid, &status, WNOHANG)) == 0 || (result < 0 && errno == EINTR)) {
        if (g_get_monotonic_time() >= deadline)
            kill(pid, SIGKILL);
        g_usleep(REAP_US);
    }
    return result == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* "virttemplated: cannot make '/x': Permission denied\n", perhaps after warnings */
static char *
last_line(char *message)
{
    char *text = g_strchomp(message);
    char *newline = strrchr(text, '\n');

    if (newline)
        text = newline + 1;
    if (g_str_has_prefix(text, "virttemplated: "))
        text += strlen("virttemplated: ");
    return *text ? text : NULL;
}

bool
vts_start(const char *program, gint64 deadline, GError **error)
{
    char message[MESSAGE_MAX] = "";
    bool told, ended;
    int result, ends[2];
    const char *reason;
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot make a pipe: %s",
                    g_strerror(errno));
        return false;
    }
    result = spawn(program, ends[1], &pid);
    close(ends[1]);
    told = result == 0 && read_message(ends[0], deadline, message);
    close(ends[0]);
    if (result != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot start '%s': %s", program,
                    g_strerror(result));
        return false;
    }
    ended = reap(pid, told ? deadline : 0);
    if (told && ended)
        return true;
    reason = last_line(message);
    g_set_error(error, G_IO_ERROR, told ? G_IO_ERROR_FAILED : G_IO_ERROR_TIMED_OUT,
                "'%s' did not start: %s", program,
                !told    ? "it did not say in time that it is ready"
                : reason ? reason
                         : "it did not say why");
    return false;
}
