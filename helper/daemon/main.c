/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c: virttemplated(8): options, sockets, the main loop */
#include "vt-fs.h"
#include "vt-policy-file.h"
#include "vt-size.h"
#include "vtd-confine.h"
#include "vtd-event.h"
#include "vtd-server.h"
#include "vtd-session.h"
#include "vts-session.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <limits.h>
#include <locale.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_RUN_DIR     "/run/libvirt"
#define DEFAULT_STATE_DIR   "/var/lib/virt-template"
#define DEFAULT_AUTH_FILE   "/etc/virt-template/auth.json"
#define DEFAULT_FETCH_USER  "virt-template-fetch"
#define DEFAULT_UNPACK_USER "virt-template-unpack"
#define DEFAULT_IDLE_S      120
/* Of a session, in its state directory */
#define LOG_NAME "virttemplated.log"
/* 4 to 8 fill a link; more only burdens the registry */
#define DEFAULT_CONNECTIONS 8
#define CONNECTIONS_MAX     32
/* Half a minute, enough to change the network; each more doubles that, up to a minute of its own */
#define DEFAULT_RETRIES 7
#define RETRIES_MAX     20
#define STALL_MAX_S     600
/* A long weekend of the publisher, and a year at most */
#define DEFAULT_CATALOG_GRACE_H 72
#define CATALOG_GRACE_MAX_H     8760
/* sd_listen_fds(3): the first passed descriptor */
#define LISTEN_FDS_START 3

/* The two sockets, in the order of all arrays here */
enum {
    SOCKET_RW,
    SOCKET_RO,
    SOCKET_COUNT,
};
static const struct {
    const char *name;
    /* FileDescriptorName= of the socket unit */
    const char *passed_name;
    mode_t mode;
    bool read_only;
} sockets[SOCKET_COUNT] = {
    {VTD_SOCKET_NAME, "rw", 0600, false},
    {VTD_SOCKET_RO, "ro", 0666, true},
};

typedef struct {
    VtdConfig config;
    char *auth_file;
    char *ca_file;
    char *worker_dir;
    char *fetch_user;
    char *unpack_user;
    gboolean insecure;
    gboolean session;
    gboolean background;
    gboolean version;
    char *limit_rate;
    char *proxy;
    int connections;
    int retries;
    int stall;
    int catalog_grace;
    int idle;
} Options;

/* What the process is to the outside; -1: not there
 * @lock_fd: of a session
 * @ready_fd: see vtd_background_ready()
 * @hangs: a thread of it, in a directory that does not answer */
typedef struct {
    int sockets[SOCKET_COUNT];
    int lock_fd;
    int ready_fd;
    bool hangs;
} Outside;

typedef struct {
    GMainLoop *loop;
    VtdDaemon *daemon;
} Running;

/* The name service is asked once, by the daemon: workers cannot */
static bool
find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, GError **error)
{
    const struct passwd *entry;

    if (geteuid() != 0)
        return true;
    errno = 0;
    entry = getpwnam(name);
    if (!entry)
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "there is no user '%s' for a worker: run systemd-sysusers, or name another "
                        "with --fetch-user and --unpack-user",
                        name);
    *ret_uid = entry->pw_uid;
    *ret_gid = entry->pw_gid;
    return true;
}

static bool
check_number(const char *option, int number, int least, int most, GError **error)
{
    return (number >= least && number <= most) ||
           vt_throw(error, VT_ERROR_INVALID, "%s %d: not a number from %d to %d", option, number,
                    least, most);
}

/* Who is not root has no other way, unless he says where everything is */
static bool
check_session(Options *options, GError **error)
{
    if (options->session && !vts_is_session())
        return vt_throw(error, VT_ERROR_INVALID,
                        "--session is for users; root's helper is the one of the system: run it "
                        "without this option");
    if (vts_is_session() && !options->config.run_dir)
        options->session = TRUE;
    if (options->background && !options->session)
        return vt_throw(error, VT_ERROR_INVALID, "--background is for --session");
    options->config.session = options->session;
    return true;
}

static bool
parse_options(int *argc, char ***argv, Options *options, GError **error)
{
    const GOptionEntry entries[] = {
        {"run-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->config.run_dir,
         "Directory of the sockets (" DEFAULT_RUN_DIR ")", "DIR"},
        {"state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->config.state_dir,
         "Directory of the database (" DEFAULT_STATE_DIR ")", "DIR"},
        {"auth-file", 0, 0, G_OPTION_ARG_FILENAME, &options->auth_file,
         "Credentials (" DEFAULT_AUTH_FILE ")", "FILE"},
        {"ca-file", 0, 0, G_OPTION_ARG_FILENAME, &options->ca_file, "Additional CAs, PEM", "FILE"},
        {"insecure", 0, 0, G_OPTION_ARG_NONE, &options->insecure,
         "Accept plain HTTP, not from loopback alone", NULL},
        {"fetch-user", 0, 0, G_OPTION_ARG_STRING, &options->fetch_user,
         "User of the fetch workers (" DEFAULT_FETCH_USER ")", "USER"},
        {"unpack-user", 0, 0, G_OPTION_ARG_STRING, &options->unpack_user,
         "User of the unpack workers (" DEFAULT_UNPACK_USER ")", "USER"},
        {"worker-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->worker_dir,
         "Directory of fetch-worker and unpack-worker (" VTD_WORKER_DIR ")", "DIR"},
        {"connections", 0, 0, G_OPTION_ARG_INT, &options->connections,
         "To one registry at once (8)", "NUMBER"},
        {"limit-rate", 0, 0, G_OPTION_ARG_STRING, &options->limit_rate,
         "What all fetches together may receive per second, e.g. 10M", "RATE"},
        {"retries", 0, 0, G_OPTION_ARG_INT, &options->retries,
         "How often a registry that fails is asked again (7)", "NUMBER"},
        {"proxy", 0, 0, G_OPTION_ARG_STRING, &options->proxy,
         "For registries, in place of https_proxy and http_proxy in the environment", "URL"},
        {"stall", 0, 0, G_OPTION_ARG_INT, &options->stall,
         "End a transfer that brings less than 1 KiB/s for so long (20)", "SECONDS"},
        {"catalog-grace", 0, 0, G_OPTION_ARG_INT, &options->catalog_grace,
         "Fetch by a catalog that has expired for so long yet (72)", "HOURS"},
        {"idle", 0, 0, G_OPTION_ARG_INT, &options->idle,
         "End when idle, in a session or if systemd passed the sockets; 0: never (120)", "SECONDS"},
        {"session", 0, 0, G_OPTION_ARG_NONE, &options->session,
         "Serve the user who runs this and no other, in his directories", NULL},
        {"background", 0, 0, G_OPTION_ARG_NONE, &options->background,
         "With --session: go on in the background when it is ready", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Show the version", NULL},
        {NULL},
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- templates for libvirt");

    options->idle = DEFAULT_IDLE_S;
    options->connections = DEFAULT_CONNECTIONS;
    options->retries = DEFAULT_RETRIES;
    options->stall = VTD_STALL_S;
    options->catalog_grace = DEFAULT_CATALOG_GRACE_H;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, error))
        return false;
    if (*argc > 1)
        return vt_throw(error, VT_ERROR_INVALID, "unexpected argument '%s'", (*argv)[1]);
    return check_session(options, error) &&
           check_number("--idle", options->idle, 0, INT_MAX, error) &&
           check_number("--connections", options->connections, 1, CONNECTIONS_MAX, error) &&
           check_number("--retries", options->retries, 0, RETRIES_MAX, error) &&
           check_number("--stall", options->stall, 1, STALL_MAX_S, error) &&
           check_number("--catalog-grace", options->catalog_grace, 0, CATALOG_GRACE_MAX_H, error);
}

static void
set_default(char **option, const char *value)
{
    if (!*option)
        *option = g_strdup(value);
}

static void
take_default(char **option, char *value)
{
    set_default(option, value);
    g_free(value);
}

static void
set_session_defaults(Options *options)
{
    take_default(&options->config.run_dir, vts_run_dir());
    take_default(&options->config.state_dir, vts_state_dir());
    take_default(&options->auth_file, vts_config_file("auth.json"));
    options->config.policy_file = vts_policy_file(VT_POLICY_DEFAULT_PATH);
}

static bool
make_shares(Options *options, GError **error)
{
    uint64_t rate = 0;

    if (options->limit_rate && !vt_rate_parse(options->limit_rate, &rate, error)) {
        g_prefix_error(error, "--limit-rate: ");
        return false;
    }
    options->config.workers.shares = vtd_shares_new((unsigned)options->connections, rate);
    options->config.workers.monitor = vtd_monitor_new();
    return true;
}

static bool
complete_options(Options *options, GError **error)
{
    VtdWorkerConfig *workers = &options->config.workers;

    if (options->session)
        set_session_defaults(options);
    set_default(&options->config.policy_file, VT_POLICY_DEFAULT_PATH);
    set_default(&options->config.run_dir, DEFAULT_RUN_DIR);
    set_default(&options->config.state_dir, DEFAULT_STATE_DIR);
    set_default(&options->auth_file, DEFAULT_AUTH_FILE);
    set_default(&options->worker_dir, VTD_WORKER_DIR);
    set_default(&options->fetch_user, DEFAULT_FETCH_USER);
    set_default(&options->unpack_user, DEFAULT_UNPACK_USER);
    if (options->proxy) {
        g_setenv("https_proxy", options->proxy, TRUE);
        g_setenv("http_proxy", options->proxy, TRUE);
    }
    workers->program_dir = options->worker_dir;
    workers->auth_file = options->auth_file;
    workers->ca_file = options->ca_file;
    workers->insecure = options->insecure;
    workers->tries = (unsigned)options->retries + 1;
    workers->patience_s = (unsigned)options->stall;
    options->config.catalog_grace_s = (unsigned)options->catalog_grace * VTD_GRACE_UNIT_S;
    if (!make_shares(options, error))
        return false;
    return find_user(options->fetch_user, &workers->fetch_uid, &workers->fetch_gid, error) &&
           find_user(options->unpack_user, &workers->unpack_uid, &workers->unpack_gid, error);
}

static void
options_clear(Options *options)
{
    g_free(options->config.run_dir);
    g_free(options->config.state_dir);
    g_free(options->config.policy_file);
    g_free(options->auth_file);
    g_free(options->ca_file);
    g_free(options->worker_dir);
    g_free(options->fetch_user);
    g_free(options->unpack_user);
    g_free(options->limit_rate);
    g_free(options->proxy);
    vtd_shares_free(options->config.workers.shares);
    vtd_monitor_free(options->config.workers.monitor);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)

/* ---- sockets ---- */

/* sd_listen_fds_with_names(3): LISTEN_PID=<us> LISTEN_FDS=2 LISTEN_FDNAMES=<name>:<name>
 * Returns: whether systemd passed sockets */
static bool
take_passed(int fds[SOCKET_COUNT])
{
    const char *pid = g_getenv("LISTEN_PID");
    const char *count = g_getenv("LISTEN_FDS");
    const char *names = g_getenv("LISTEN_FDNAMES");
    g_auto(GStrv) parts = g_strsplit(names ? names : "", ":", -1);
    const guint64 expected = count ? g_ascii_strtoull(count, NULL, 10) : 0;

    if (!pid || g_ascii_strtoull(pid, NULL, 10) != (guint64)getpid() || expected == 0)
        return false;
    for (guint i = 0; i < MIN(expected, g_strv_length(parts)); i++) {
        int fd = LISTEN_FDS_START + (int)i;

        fcntl(fd, F_SETFD, FD_CLOEXEC);
        for (int j = 0; j < SOCKET_COUNT; j++) {
            if (g_str_equal(parts[i], sockets[j].passed_name))
                fds[j] = fd;
        }
    }
    g_unsetenv("LISTEN_PID");
    g_unsetenv("LISTEN_FDS");
    g_unsetenv("LISTEN_FDNAMES");
    return true;
}

/* In a session there is nobody for the read-only one */
static bool
make_sockets(const VtdConfig *config, int fds[SOCKET_COUNT], GError **error)
{
    if (g_mkdir_with_parents(config->run_dir, 0755) < 0)
        return vt_throw_errno(error, errno, "cannot make '%s'", config->run_dir);
    for (int i = 0; i < (config->session ? SOCKET_RO : SOCKET_COUNT); i++) {
        g_autofree char *path = g_build_filename(config->run_dir, sockets[i].name, NULL);

        if (!vtd_server_listen(path, sockets[i].mode, &fds[i], error))
            return false;
    }
    return true;
}

static bool
start_servers(VtdDaemon *daemon, int fds[SOCKET_COUNT], VtdServer *servers[SOCKET_COUNT],
              GError **error)
{
    for (int i = 0; i < SOCKET_COUNT; i++) {
        if (fds[i] >= 0 &&
            !vtd_server_new(daemon, vt_steal_fd(&fds[i]), sockets[i].read_only, &servers[i], error))
            return false;
    }
    return true;
}

/* ---- running ---- */

static gboolean
on_signal(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_CONTINUE;
}

static gboolean
check_idle(gpointer data)
{
    const Running *running = data;
    const VtdDaemon *daemon = running->daemon;
    const gint64 idle = g_get_monotonic_time() - daemon->busy_until;

    if (vtd_daemon_rests(daemon) && idle > (gint64)daemon->config->idle_seconds * G_USEC_PER_SEC)
        g_main_loop_quit(running->loop);
    return G_SOURCE_CONTINUE;
}

/* Clients can connect: tell who is to know */
static bool
say_ready(const VtdConfig *config, int *ready_fd, GError **error)
{
    g_autofree char *log = g_build_filename(config->state_dir, LOG_NAME, NULL);

    if (*ready_fd >= 0 && !vtd_background_ready(ready_fd, log, error))
        return false;
    if (config->session)
        g_message("virttemplated " VT_VERSION " serves uid %u: its workers run as the same user, "
                  "and only fs-verity can seal its layers",
                  geteuid());
    else
        g_info("virttemplated " VT_VERSION " is ready");
    return true;
}

static bool
run(const VtdConfig *config, Outside *outside, GError **error)
{
    VtdServer *servers[SOCKET_COUNT] = {NULL};
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_autoptr(VtdDaemon) daemon = NULL;
    Running running;
    bool ok;

    if (!vtd_daemon_new(config, &daemon, error))
        return false;
    running = (Running){loop, daemon};
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_unix_signal_add(SIGINT, on_signal, loop);
    if (config->idle_seconds > 0)
        g_timeout_add_seconds(MAX(config->idle_seconds / 4, 1), check_idle, &running);
    ok = vtd_daemon_resume(daemon, error) &&
         start_servers(daemon, outside->sockets, servers, error) &&
         say_ready(config, &outside->ready_fd, error);
    if (ok)
        g_main_loop_run(loop);
    /* First, for jobs end in the main loop, and nobody may be served meanwhile */
    for (int i = 0; i < SOCKET_COUNT; i++)
        vtd_server_free(servers[i]);
    outside->hangs = !vtd_daemon_stop(daemon);
    if (outside->hangs) {
        g_warning("work in the directory of a pool does not end: it is left to the next start");
        g_steal_pointer(&daemon);
    }
    return ok;
}

static void
remove_sockets(const char *run_dir)
{
    for (int i = 0; i < SOCKET_COUNT; i++) {
        g_autofree char *path = g_build_filename(run_dir, sockets[i].name, NULL);

        unlink(path);
    }
}

/* Without a lock, in the background: another one serves the user already, which is as good */
static bool
be_alone(const Options *options, Outside *outside, GError **error)
{
    const VtdConfig *config = &options->config;

    if (options->background && !vtd_background_begin(&outside->ready_fd, error))
        return false;
    if (!config->session)
        return true;
    if (!vtd_session_lock(config->run_dir, &outside->lock_fd, error))
        return false;
    return outside->lock_fd >= 0 || options->background ||
           vt_throw(error, VT_ERROR_BUSY, "another virttemplated answers in '%s'", config->run_dir);
}

static bool
serve_own(const Options *options, Outside *outside, GError **error)
{
    const VtdConfig *config = &options->config;
    bool ok;

    if (!be_alone(options, outside, error))
        return false;
    if (config->session && outside->lock_fd < 0)
        return true;
    ok = make_sockets(config, outside->sockets, error) && run(config, outside, error);
    if (ok || outside->sockets[SOCKET_RW] >= 0)
        remove_sockets(config->run_dir);
    return ok;
}

static bool
serve(Options *options, Outside *outside, GError **error)
{
    VtdConfig *config = &options->config;
    const bool passed = take_passed(outside->sockets);

    config->idle_seconds = passed || config->session ? (unsigned)options->idle : 0;
    return vtd_confine(error) && complete_options(options, error) &&
           (passed ? run(config, outside, error) : serve_own(options, outside, error));
}

int
main(int argc, char **argv)
{
    Outside outside = {{-1, -1}, -1, -1, false};
    g_autoptr(GError) error = NULL;
    g_auto(Options) options = {0};
    bool ok;

    setlocale(LC_ALL, "");
    umask(0077);
    signal(SIGPIPE, SIG_IGN);
    g_log_set_writer_func(vtd_event_write, NULL, NULL);
    if (!parse_options(&argc, &argv, &options, &error)) {
        g_printerr("virttemplated: %s\n", error->message);
        return 2;
    }
    if (options.version) {
        g_print("virttemplated " VT_VERSION "\n");
        return 0;
    }
    ok = serve(&options, &outside, &error);
    if (!ok)
        g_printerr("virttemplated: %s\n", error->message);
    /* Nothing that the thread may still look at is freed */
    if (outside.hangs)
        _exit(ok ? EXIT_SUCCESS : EXIT_FAILURE);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
