/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-daemon.c: virttemplated as its clients see it: sockets, arguments, pools, the database */
#include "daemon-fixture.h"
#include "vt-fs.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Asserts that a call is refused with @code, and that the message has @contains */
static void
refused(GDBusConnection *connection, const char *method, GVariant *arguments, VtError code,
        const char *contains)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = daemon_call(connection, method, arguments, &error);

    g_assert_null(answer);
    if (!g_error_matches(error, VT_ERROR, (int)code) || !strstr(error->message, contains))
        g_error("%s: expected code %d with '%s', got %d: %s", method, (int)code, contains,
                error->code, error->message);
}

static GVariant *
no_options(void)
{
    return g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0);
}

static GVariant *
one_option(const char *key, GVariant *value)
{
    GVariantDict dict;

    g_variant_dict_init(&dict, NULL);
    g_variant_dict_insert_value(&dict, key, value);
    return g_variant_dict_end(&dict);
}

static void
test_sockets(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *rw = daemon_path(f, "run/virttemplated-sock");
    g_autofree char *ro = daemon_path(f, "run/virttemplated-sock-ro");
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) answer = NULL;
    const char *version;
    struct stat st;

    g_assert_cmpint(stat(rw, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0600);
    g_assert_cmpint(stat(ro, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 0777, ==, 0666);
    answer = daemon_call(f->ro, "Hello", NULL, &error);
    g_assert_no_error(error);
    g_variant_get(answer, "(&s)", &version);
    g_assert_cmpstr(version, ==, VT_VERSION);
}

/* Each method that changes something; what reads works on this socket, as the other tests show */
static void
test_grammar(DaemonFixture *f, gconstpointer data)
{
    static const char *const names[] = {"",     "../x", "a/b", "a:b",    "A",
                                        "a\nb", "-a",   "a@b", "catalog"};
    static const char *const versions[] = {"1", "1.0", "../1.0.0", "1.0.0/x", "1.0.0\n", "v1.0.0"};
    static const char *const paths[] = {"",      "/",       "relative", "/a/../b", "/a/./b",
                                        "/a//b", "/a\nb/c", "/a/",      "/.."};
    g_autofree char *long_name = g_strnfill(300, 'a');

    daemon_write(f, "policy.json", "{}");
    daemon_register(f);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        refused(f->ro, "GetTemplate", g_variant_new("(sss)", f->pool, names[i], "1.0.0"),
                VT_ERROR_INVALID, "");
    refused(f->ro, "GetTemplate", g_variant_new("(sss)", f->pool, long_name, "1.0.0"),
            VT_ERROR_INVALID, "");
    for (gsize i = 0; i < G_N_ELEMENTS(versions); i++)
        refused(f->rw, "Evict", g_variant_new("(sss)", f->pool, "a", versions[i]), VT_ERROR_INVALID,
                "");
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++) {
        refused(f->ro, "ListTemplates", g_variant_new("(su)", paths[i], 0), VT_ERROR_INVALID,
                "path");
        refused(f->rw, "RecordClone", g_variant_new("(ssss)", f->pool, "a", "1.0.0", paths[i]),
                VT_ERROR_INVALID, "path");
    }
    refused(f->rw, "Fetch",
            g_variant_new("(sss@a{sv})", f->pool, "a", "",
                          one_option("turbo", g_variant_new_boolean(TRUE))),
            VT_ERROR_INVALID, "'turbo'");
    refused(f->ro, "JobWait", g_variant_new("(tu)", (guint64)77, 0), VT_ERROR_NOT_FOUND, "77");
    refused(f->rw, "CancelJob", g_variant_new("(t)", (guint64)77), VT_ERROR_NOT_FOUND, "77");
    refused(f->ro, "ListTemplates", g_variant_new("(su)", "/other", 0), VT_ERROR_NOT_FOUND,
            "'/other'");
}

static void
test_settings(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariantIter) iter = NULL;
    g_autoptr(GVariant) pools = NULL;
    g_autoptr(GVariant) empty = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) settings = NULL;
    const char *target;
    const char *policy;

    refused(f->rw, "RegisterPool", g_variant_new("(s@a{sv})", f->pool, no_options()),
            VT_ERROR_INVALID, "'store'");
    refused(f->rw, "RegisterPool",
            g_variant_new("(s@a{sv})", f->pool, one_option("colour", g_variant_new_string("red"))),
            VT_ERROR_INVALID, "'colour'");
    refused(f->rw, "RegisterPool",
            g_variant_new("(s@a{sv})", f->pool, one_option("store", g_variant_new_uint32(1))),
            VT_ERROR_INVALID, "'store'");
    refused(
        f->rw, "RegisterPool",
        g_variant_new("(s@a{sv})", f->pool, one_option("store", g_variant_new_string("ftp://x/y"))),
        VT_ERROR_INVALID, "ftp");
    pools = daemon_call(f->rw, "RegisterPool",
                        g_variant_new("(s@a{sv})", f->pool,
                                      one_option("store", g_variant_new_string("oci:/srv/x"))),
                        &error);
    g_assert_no_error(error);
    /* Known again after a restart */
    daemon_stop(f, SIGTERM);
    daemon_start(f);
    g_clear_pointer(&pools, g_variant_unref);
    pools = daemon_call(f->ro, "ListPools", NULL, &error);
    g_assert_no_error(error);
    g_variant_get(pools, "(a(sa{sv}))", &iter);
    g_assert_true(g_variant_iter_next(iter, "(&s@a{sv})", &target, &settings));
    g_assert_cmpstr(target, ==, f->pool);
    g_assert_true(g_variant_lookup(settings, "policy", "&s", &policy));
    g_assert_cmpstr(policy, ==, "/etc/virt-template/policy.json");
    empty = daemon_call(f->rw, "ForgetPool", g_variant_new("(s)", f->pool), &error);
    g_assert_no_error(error);
    refused(f->rw, "ForgetPool", g_variant_new("(s)", f->pool), VT_ERROR_NOT_FOUND, f->pool);
}

/* Arguments of another type than the interface says never reach a method */
static void
test_types(DaemonFixture *f, gconstpointer data)
{
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GError) error = NULL;

    answer = daemon_call(f->rw, "Evict", g_variant_new("(ss)", f->pool, "a"), &error);
    g_assert_null(answer);
    g_assert_nonnull(error);
    g_clear_error(&error);
    answer = daemon_call(f->rw, "Destroy", NULL, &error);
    g_assert_null(answer);
    g_assert_nonnull(error);
}

static void
test_second_daemon(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *run = daemon_path(f, "run");
    g_autofree char *state = daemon_path(f, "state2");
    g_autoptr(GSubprocess) second = NULL;
    g_autoptr(GVariant) answer = NULL;
    g_autofree char *errors = NULL;
    g_autoptr(GError) error = NULL;

    second = g_subprocess_new(G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, g_getenv("VT_DAEMON"),
                              "--run-dir", run, "--state-dir", state, "--fetch-user", "nobody",
                              "--unpack-user", "daemon", NULL);
    g_subprocess_communicate_utf8(second, NULL, NULL, NULL, &errors, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_subprocess_get_exit_status(second), ==, 1);
    g_assert_nonnull(strstr(errors, "another virttemplated"));
    answer = daemon_call(f->rw, "Hello", NULL, &error);
    g_assert_no_error(error);
}

static gpointer
let_go(gpointer user)
{
    int *socket = user;

    g_usleep(700 * 1000);
    close(vt_steal_fd(socket));
    return NULL;
}

/* What a child of a daemon that was killed does: its socket is open for a moment, and nobody serves
 */
static void
test_orphan(DaemonFixture *f, gconstpointer data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GError) error = NULL;
    vt_autofd orphan = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GThread *thread;

    daemon_stop(f, SIGKILL);
    g_snprintf(address.sun_path, sizeof(address.sun_path), "%s/run/virttemplated-sock", f->dir);
    g_assert_cmpint(g_unlink(address.sun_path), ==, 0);
    g_assert_cmpint(bind(orphan, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(orphan, 8), ==, 0);
    thread = g_thread_new("orphan", let_go, &orphan);
    daemon_start(f);
    g_thread_join(thread);
    answer = daemon_call(f->rw, "Hello", NULL, &error);
    g_assert_no_error(error);
}

static void
test_activation(DaemonFixture *f, gconstpointer data)
{
    g_autofree char *address = g_strdup_printf("unix:path=%s/passed-ro", f->dir);
    g_autoptr(GSubprocess) process = daemon_activate(f, "state2");
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < 500 && !connection; i++) {
        g_usleep(20 * 1000);
        connection = g_dbus_connection_new_for_address_sync(
            address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, NULL);
    }
    g_assert_nonnull(connection);
    answer = daemon_call(connection, "Hello", NULL, &error);
    g_assert_no_error(error);
    refused(connection, "ForgetPool", g_variant_new("(s)", f->pool), VT_ERROR_DENIED, "read-only");
    /* It stays as long as a client does, and ends by itself after that */
    g_usleep(2500 * 1000);
    g_clear_pointer(&answer, g_variant_unref);
    answer = daemon_call(connection, "Hello", NULL, &error);
    g_assert_no_error(error);
    g_dbus_connection_close_sync(connection, NULL, NULL);
    g_subprocess_wait(process, NULL, &error);
    g_assert_true(g_subprocess_get_successful(process));
}

/* One user cannot take what all others need; root still gets in */
static void
test_greedy_user(DaemonFixture *f, gconstpointer data)
{
    const uid_t nobody = 65534;
    g_autofree char *run = daemon_path(f, "run");
    GDBusConnection *connections[4];
    g_autoptr(GVariant) answer = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(chmod(run, 0755), ==, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(connections); i++) {
        connections[i] = daemon_connect_as(f, nobody);
        g_assert_nonnull(connections[i]);
        answer = daemon_call(connections[i], "Hello", NULL, &error);
        g_assert_no_error(error);
        g_clear_pointer(&answer, g_variant_unref);
    }
    g_assert_null(daemon_connect_as(f, nobody));
    /* The answers of all of them cannot be written at once */
    for (int i = 0; i < 2000; i++)
        daemon_send(connections[0], "ListJobs", NULL);
    for (int i = 0; i < 500 && !g_dbus_connection_is_closed(connections[0]); i++)
        g_usleep(10 * 1000);
    answer = daemon_call(connections[1], "Hello", NULL, &error);
    g_assert_no_error(error);
    g_clear_pointer(&answer, g_variant_unref);
    answer = daemon_call(f->ro, "Hello", NULL, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(connections); i++) {
        g_assert_cmpint(g_dbus_connection_is_closed(connections[i]), ==, i == 0);
        g_object_unref(connections[i]);
    }
}

/* As started by root with all capabilities: see test-sandbox.c for what is left to it */
static void
test_confined(DaemonFixture *f, gconstpointer data)
{
    static const char *const lines[] = {
        "\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n", "\nCapInh:\t0000000000000000\n",
        "\nCapPrm:\t00000000102003eb\n", "\nCapBnd:\t00000000102003eb\n"};
    g_autofree char *path =
        g_strdup_printf("/proc/%s/status", g_subprocess_get_identifier(f->daemon));
    g_autofree char *status = NULL;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        if (!strstr(status, lines[i]))
            g_test_fail_printf("'%s' is not in %s", lines[i], status);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() != 0) {
        g_test_message("virttemplated gives its workers other users");
        return 77;
    }
#define ADD(path, function)                                                                        \
    g_test_add(path, DaemonFixture, NULL, daemon_set_up, function, daemon_tear_down)
    ADD("/daemon/sockets", test_sockets);
    ADD("/daemon/grammar", test_grammar);
    ADD("/daemon/settings", test_settings);
    ADD("/daemon/types", test_types);
    ADD("/daemon/second-daemon", test_second_daemon);
    ADD("/daemon/orphan", test_orphan);
    ADD("/daemon/activation", test_activation);
    ADD("/daemon/confined", test_confined);
    ADD("/daemon/greedy-user", test_greedy_user);
    return g_test_run();
}
