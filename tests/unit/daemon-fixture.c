/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon-fixture.c: a running virttemplated, a store, a key and a pool for one test */
#include "daemon-fixture.h"

#include "sealed-tree.h"
#include "vt-fs.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* A daemon that has no socket after this is broken */
#define PATIENCE_MS 10000

char *
daemon_path(const DaemonFixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

void
daemon_write(const DaemonFixture *f, const char *name, const char *text)
{
    g_autofree char *path = daemon_path(f, name);
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
}

static void
die_with_parent(gpointer data)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static GDBusConnection *
connect_to(const DaemonFixture *f, const char *socket)
{
    g_autofree char *address = g_strdup_printf("unix:path=%s/run/%s", f->dir, socket);

    for (int waited = 0; waited < PATIENCE_MS; waited += 20) {
        GDBusConnection *connection = g_dbus_connection_new_for_address_sync(
            address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, NULL);

        if (connection)
            return connection;
        g_usleep(20 * 1000);
    }
    g_error("virttemplated does not answer at %s", address);
}

GDBusConnection *
daemon_connect_as(const DaemonFixture *f, uid_t uid)
{
    g_autofree char *address = g_strdup_printf("unix:path=%s/run/virttemplated-sock-ro", f->dir);
    GDBusConnection *connection;

    g_assert_cmpint(seteuid(uid), ==, 0);
    connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, NULL);
    g_assert_cmpint(seteuid(0), ==, 0);
    if (connection)
        g_dbus_connection_set_exit_on_close(connection, FALSE);
    return connection;
}

void
daemon_start(DaemonFixture *f)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    g_autofree char *run = daemon_path(f, "run");
    g_autofree char *state = daemon_path(f, "state");
    g_autoptr(GError) error = NULL;

    /* It may warn about what tests do to it, but not break a rule of GLib */
    g_subprocess_launcher_setenv(launcher, "G_DEBUG", "fatal-criticals", TRUE);
    g_subprocess_launcher_set_child_setup(launcher, die_with_parent, NULL, NULL);
    /* Two users that every Debian has stand in for those that sysusers.d makes */
    f->daemon =
        g_subprocess_launcher_spawn(launcher, &error, g_getenv("VT_DAEMON"), "--run-dir", run,
                                    "--state-dir", state, "--fetch-user", "nobody", "--unpack-user",
                                    "daemon", "--worker-dir", g_getenv("VT_WORKER_DIR"), NULL);
    g_assert_no_error(error);
    f->rw = connect_to(f, "virttemplated-sock");
    f->ro = connect_to(f, "virttemplated-sock-ro");
}

/* As systemd does it: descriptors from 3 on, and LISTEN_PID of the process itself */
GSubprocess *
daemon_activate(const DaemonFixture *f, const char *state_name)
{
    g_autofree char *state = daemon_path(f, state_name);
    g_autofree char *script = g_strdup_printf(
        "import fcntl, os, socket, sys\n"
        "high = []\n"
        "for name in ('rw', 'ro'):\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    s.bind('%s/passed-' + name)\n"
        "    s.listen(8)\n"
        "    high.append(fcntl.fcntl(s, fcntl.F_DUPFD, 20))\n"
        "    s.close()\n"
        "os.dup2(high[0], 3)\n"
        "os.dup2(high[1], 4)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='rw:ro')\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n",
        f->dir);
    g_autoptr(GError) error = NULL;
    GSubprocess *process =
        g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, &error, "/usr/bin/python3", "-c", script,
                         g_getenv("VT_DAEMON"), "--state-dir", state, "--idle", "1", "--fetch-user",
                         "nobody", "--unpack-user", "daemon", NULL);

    g_assert_no_error(error);
    return process;
}

void
daemon_stop(DaemonFixture *f, int signal)
{
    g_autoptr(GError) error = NULL;

    g_clear_object(&f->rw);
    g_clear_object(&f->ro);
    g_subprocess_send_signal(f->daemon, signal);
    g_subprocess_wait(f->daemon, NULL, &error);
    g_assert_no_error(error);
    if (signal == SIGTERM)
        g_assert_true(g_subprocess_get_successful(f->daemon));
    g_clear_object(&f->daemon);
}

void
daemon_set_up(DaemonFixture *f, gconstpointer data)
{
    f->dir = g_dir_make_tmp("test-daemon-XXXXXX", NULL);
    /* The fetch worker reads the store as another user */
    g_assert_cmpint(chmod(f->dir, 0755), ==, 0);
    f->pool = daemon_path(f, "pool");
    f->store = daemon_path(f, "store");
    g_assert_cmpint(g_mkdir(f->pool, 0755), ==, 0);
    daemon_start(f);
}

void
daemon_tear_down(DaemonFixture *f, gconstpointer data)
{
    if (f->daemon)
        daemon_stop(f, SIGTERM);
    remove_sealed_tree(f->dir);
    g_free(f->store);
    g_free(f->pool);
    g_free(f->dir);
}

void
daemon_cli(const DaemonFixture *f, int status, ...)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    g_autoptr(GSubprocess) process = NULL;
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    va_list list;
    char *argument;

    g_ptr_array_add(arguments, (char *)g_getenv("VT_CLI"));
    va_start(list, status);
    while ((argument = va_arg(list, char *)))
        g_ptr_array_add(arguments, argument);
    va_end(list);
    g_ptr_array_add(arguments, NULL);
    g_subprocess_launcher_set_cwd(launcher, f->dir);
    process = g_subprocess_launcher_spawnv(launcher, (const char *const *)arguments->pdata, &error);
    g_assert_no_error(error);
    g_subprocess_communicate_utf8(process, NULL, NULL, &output, NULL, &error);
    g_assert_no_error(error);
    if (g_subprocess_get_exit_status(process) != status)
        g_error("%s: exit status %d: %s", (char *)arguments->pdata[1],
                g_subprocess_get_exit_status(process), output);
}

void
daemon_policy(DaemonFixture *f, const char *public_key)
{
    g_autofree char *text =
        g_strdup_printf("{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"oci\":{\"%s\":[{"
                        "\"type\":\"sigstoreSigned\",\"keyPath\":\"%s/%s\","
                        "\"signedIdentity\":{\"type\":\"matchRepository\"}}]}}}",
                        f->store, f->dir, public_key);

    daemon_write(f, "policy.json", text);
}

void
daemon_register_as(DaemonFixture *f, const char *name, const char *target, const char *url)
{
    g_autofree char *policy = daemon_path(f, "policy.json");
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GError) error = NULL;
    GVariantDict settings;

    g_variant_dict_init(&settings, NULL);
    g_variant_dict_insert(&settings, "name", "s", name);
    g_variant_dict_insert(&settings, "store", "s", url);
    g_variant_dict_insert(&settings, "policy", "s", policy);
    answer = daemon_call(f->rw, "RegisterPool",
                         g_variant_new("(s@a{sv})", target, g_variant_dict_end(&settings)), &error);
    g_assert_no_error(error);
}

void
daemon_register(DaemonFixture *f)
{
    g_autofree char *url = g_strconcat("oci:", f->store, NULL);

    daemon_register_as(f, "templates", f->pool, url);
}

/* Without one, GDBus asks for no answer */
static void
ignore_answer(GObject *source, GAsyncResult *result, gpointer data)
{
}

void
daemon_send(GDBusConnection *connection, const char *method, GVariant *arguments)
{
    g_dbus_connection_call(connection, NULL, "/virttemplate/Helper1", "virttemplate.Helper1",
                           method, arguments, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, ignore_answer,
                           NULL);
}

/* 24 MiB with data that cannot be compressed, so that a bit can be flipped in a frame */
static void
make_image(const DaemonFixture *f, const char *name, guint32 seed)
{
    g_autofree char *path = daemon_path(f, name);
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    vt_autofd fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    guint32 block[1024];

    g_assert_cmpint(ftruncate(fd, 24 << 20), ==, 0);
    for (int i = 0; i < 3 << 8; i++) {
        for (guint j = 0; j < G_N_ELEMENTS(block); j++)
            block[j] = g_rand_int(random);
        g_assert_cmpint(pwrite(fd, block, sizeof(block), i * 8192), ==, sizeof(block));
    }
}

void
daemon_make_store(DaemonFixture *f)
{
    g_autofree char *url = g_strdup_printf("oci:%s", f->store);

    make_image(f, "one.raw", 1);
    make_image(f, "two.raw", 2);
    daemon_cli(f, 0, "key", "generate", "release", NULL);
    daemon_cli(f, 0, "store", "init", "--store", url, "--key", "release.key", NULL);
    daemon_cli(f, 0, "publish", "-q", "--store", url, "--key", "release.key", "one.raw",
               "debian-12@1.0.0", NULL);
    daemon_cli(f, 0, "publish", "-q", "--store", url, "--key", "release.key", "two.raw",
               "debian-12@1.0.1", NULL);
    daemon_policy(f, "release.pub");
    daemon_register(f);
}

GVariant *
daemon_call_with(GDBusConnection *connection, const char *method, GVariant *arguments,
                 GUnixFDList *fds, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autofree char *name = NULL;
    GVariant *answer;

    answer = g_dbus_connection_call_with_unix_fd_list_sync(
        connection, NULL, "/virttemplate/Helper1", "virttemplate.Helper1", method, arguments, NULL,
        G_DBUS_CALL_FLAGS_NONE, G_MAXINT, fds, NULL, NULL, &local);
    if (answer)
        return answer;
    name = g_dbus_error_get_remote_error(local);
    g_dbus_error_strip_remote_error(local);
    g_set_error(error, VT_ERROR, name ? (int)vt_error_from_dbus_name(name) : VT_ERROR_FAILED, "%s",
                local->message);
    return NULL;
}

GVariant *
daemon_call(GDBusConnection *connection, const char *method, GVariant *arguments, GError **error)
{
    return daemon_call_with(connection, method, arguments, NULL, error);
}

guint64
daemon_begin_fetch(DaemonFixture *f, const char *version)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        daemon_call(f->rw, "Fetch",
                    g_variant_new("(sss@a{sv})", f->pool, "debian-12", version,
                                  g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0)),
                    &error);
    guint64 job;

    g_assert_no_error(error);
    g_variant_get(answer, "(t)", &job);
    return job;
}

GVariant *
daemon_wait(DaemonFixture *f, guint64 job)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        daemon_call(f->ro, "JobWait", g_variant_new("(tu)", job, 10000), &error);
    GVariant *status;

    g_assert_no_error(error);
    g_variant_get(answer, "(@a{sv})", &status);
    return status;
}

GVariant *
daemon_fetch(DaemonFixture *f, const char *version)
{
    return daemon_wait(f, daemon_begin_fetch(f, version));
}

int
daemon_job_error(GVariant *status, const char *contains)
{
    const char *state = "";
    const char *name = "";
    const char *message = "";

    g_assert_true(g_variant_lookup(status, "state", "&s", &state));
    if (g_str_equal(state, "done"))
        return -1;
    g_assert_true(g_variant_lookup(status, "error", "&s", &name));
    g_assert_true(g_variant_lookup(status, "message", "&s", &message));
    g_test_message("%s: %s", name, message);
    if (contains && !strstr(message, contains))
        g_error("'%s' is not in the message: %s", contains, message);
    return (int)vt_error_from_dbus_name(name);
}

bool
daemon_overlay(DaemonFixture *f, const char *version, const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new_from_array(&fd, 1);
    g_autoptr(GVariant) answer = daemon_call_with(
        f->rw, "MakeOverlay",
        g_variant_new("(ssshts@a{sv})", f->pool, "debian-12", version, 0, (guint64)0, path,
                      g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0)),
        fds, error);

    if (!answer)
        g_unlink(path);
    return answer != NULL;
}

guint
daemon_flags(DaemonFixture *f, const char *version, guint wait_ms, char **ret_warning)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer =
        daemon_call(f->ro, "ListTemplates", g_variant_new("(su)", f->pool, wait_ms), &error);
    g_autoptr(GVariantIter) iter = NULL;
    const char *name, *at, *reason, *warning;
    guint64 capacity, allocation;
    guint found = 0;
    guint flags;

    g_assert_no_error(error);
    g_variant_get(answer, "(a(ssttus)&s)", &iter, &warning);
    if (ret_warning)
        *ret_warning = g_strdup(warning);
    while (g_variant_iter_next(iter, "(&s&sttu&s)", &name, &at, &capacity, &allocation, &flags,
                               &reason)) {
        g_assert_cmpstr(name, ==, "debian-12");
        if (g_str_equal(at, version))
            found = flags;
    }
    return found;
}

void
daemon_flip(const char *path)
{
    vt_autofd fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;
    char byte;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    g_assert_cmpint(pread(fd, &byte, 1, st.st_size / 2), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, st.st_size / 2), ==, 1);
}
