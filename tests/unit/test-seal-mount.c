/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-seal-mount.c: mounts that a service manager is asked for; the manager here is a mock */
#include "vt-fs.h"
#include "vt-seal-mount.h"
#include "vt-seal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Ends of jobs: more than anybody keeps */
#define MADE_UP 100

static const char manager_xml[] =
    "<node><interface name='org.freedesktop.systemd1.Manager'>"
    "<method name='StartTransientUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='a(sv)' direction='in'/><arg type='a(sa(sv))' direction='in'/>"
    "<arg type='o' direction='out'/></method>"
    "<method name='StopUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='o' direction='out'/></method></interface>"
    "<interface name='org.freedesktop.systemd1.Unit'>"
    "<property name='ActiveState' type='s' access='read'/></interface>"
    "<interface name='org.freedesktop.DBus'>"
    "<method name='Hello'><arg type='s' direction='out'/></method>"
    "<method name='AddMatch'><arg type='s' direction='in'/></method></interface></node>";

/* What the manager does with a call */
typedef enum {
    WELL,
    REFUSES, /* answers with an error */
    FAILS,   /* begins, does not mount, and says so */
    LIES,    /* does not mount, and says that it has */
    CLOSES,  /* the bus ends after the work, before the answer */
    FORGETS, /* the bus ends between the answer and the end of the job */
    SILENT,  /* does not tell the end */
    MUTE,    /* answers no call */
} Behaviour;

/* @asked: how often for the state of the unit
 * @stops: the last call was StopUnit
 * @connections, @calls: counted */
typedef struct {
    char *dir, *file, *socket;
    VtSealManager *manager;
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    GDBusServer *server;
    Behaviour behaviour;
    guint asked;
    bool stops;
    guint connections, calls;
    char *unit;
    GVariant *properties;
} Fixture;

static void
act(Fixture *fixture, const char *method, GVariant *parameters)
{
    g_clear_pointer(&fixture->unit, g_free);
    g_variant_get_child(parameters, 0, "s", &fixture->unit);
    fixture->stops = g_str_equal(method, "StopUnit");
    if (fixture->stops) {
        g_assert_cmpint(umount2(fixture->file, MNT_DETACH), ==, 0);
        return;
    }
    g_clear_pointer(&fixture->properties, g_variant_unref);
    fixture->properties = g_variant_get_child_value(parameters, 2);
    if (fixture->behaviour == FAILS || fixture->behaviour == LIES)
        return;
    g_assert_cmpint(mount(fixture->file, fixture->file, NULL, MS_BIND, NULL), ==, 0);
    g_assert_cmpint(mount(NULL, fixture->file, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), ==,
                    0);
}

/* Of a job that takes a moment, even to begin */
static GVariant *
get_state(GDBusConnection *connection, const char *sender, const char *path, const char *interface,
          const char *property, GError **error, gpointer user)
{
    static const char *const states[2][3] = {{"inactive", "activating", "active"},
                                             {"active", "deactivating", "inactive"}};
    Fixture *fixture = user;
    const guint step = MIN(fixture->asked, 2);

    fixture->asked++;
    return g_variant_new_string(fixture->behaviour == FAILS ? "failed"
                                                            : states[fixture->stops][step]);
}

static void
add_unit(GDBusConnection *connection, Fixture *fixture)
{
    static const GDBusInterfaceVTable table = {.get_property = get_state};
    g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(manager_xml, NULL);
    g_autofree char *name = g_dbus_escape_object_path(fixture->unit);
    g_autofree char *path = g_strconcat("/org/freedesktop/systemd1/unit/", name, NULL);

    g_dbus_connection_register_object(connection, path, info->interfaces[1], &table, fixture, NULL,
                                      NULL);
}

static void
send_end(GDBusConnection *connection, const char *sender, GVariant *end)
{
    g_autoptr(GDBusMessage) message = g_dbus_message_new_signal(
        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved");

    if (sender)
        g_dbus_message_set_sender(message, sender);
    g_dbus_message_set_body(message, end);
    g_assert_true(g_dbus_connection_send_message(connection, message,
                                                 G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL));
}

/* Ends of other jobs and units come, too, and some that somebody else has made up */
static void
tell_end(const Fixture *fixture, GDBusConnection *connection)
{
    const struct {
        const char *sender, *job, *unit, *result;
    } ends[] = {
        {NULL, "/org/freedesktop/systemd1/job/2", fixture->unit, "failed"},
        {NULL, "/org/freedesktop/systemd1/job/1", "other.mount", "failed"},
        {":1.66", "/org/freedesktop/systemd1/job/1", fixture->unit, "failed"},
        {NULL, "/org/freedesktop/systemd1/job/1", fixture->unit,
         fixture->behaviour == FAILS ? "failed" : "done"},
    };

    for (guint i = 0; i < MADE_UP; i++) {
        g_autofree char *job = g_strdup_printf("/org/freedesktop/systemd1/job/1%u", i);

        send_end(connection, ":1.66", g_variant_new("(uoss)", i, job, fixture->unit, "failed"));
    }
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++)
        send_end(connection, ends[i].sender,
                 g_variant_new("(uoss)", 1u, ends[i].job, ends[i].unit, ends[i].result));
}

static bool
is_mounted(const Fixture *fixture)
{
    vt_autofd fd = open(fixture->file, O_RDONLY | O_CLOEXEC);

    return vt_seal_is_mount(fd);
}

static void
called(GDBusConnection *connection, const char *sender, const char *path, const char *interface,
       const char *method, GVariant *parameters, GDBusMethodInvocation *invocation, gpointer user)
{
    Fixture *fixture = user;

    fixture->calls++;
    if (fixture->behaviour == MUTE) {
        g_object_unref(invocation);
        return;
    }
    if (fixture->behaviour == REFUSES) {
        g_dbus_method_invocation_return_dbus_error(invocation, "org.freedesktop.systemd1.Refused",
                                                   "there are enough of them");
        return;
    }
    if (g_str_equal(method, "StartTransientUnit") && is_mounted(fixture)) {
        g_dbus_method_invocation_return_dbus_error(
            invocation, "org.freedesktop.systemd1.UnitExists", "it exists");
        return;
    }
    if (g_str_equal(method, "StopUnit") && !is_mounted(fixture)) {
        g_dbus_method_invocation_return_dbus_error(
            invocation, "org.freedesktop.systemd1.NoSuchUnit", "it is not loaded");
        return;
    }
    act(fixture, method, parameters);
    if (fixture->behaviour == SILENT)
        add_unit(connection, fixture);
    if (fixture->behaviour == CLOSES) {
        fixture->behaviour = WELL;
        g_object_unref(invocation);
        g_dbus_connection_close_sync(connection, NULL, NULL);
        return;
    }
    g_dbus_method_invocation_return_value(invocation,
                                          g_variant_new("(o)", "/org/freedesktop/systemd1/job/1"));
    if (fixture->behaviour == SILENT)
        return;
    if (fixture->behaviour != FORGETS) {
        tell_end(fixture, connection);
        return;
    }
    fixture->behaviour = WELL;
    g_dbus_connection_flush_sync(connection, NULL, NULL);
    g_dbus_connection_close_sync(connection, NULL, NULL);
}

/* Hello and AddMatch */
static void
called_bus(GDBusConnection *connection, const char *sender, const char *path, const char *interface,
           const char *method, GVariant *parameters, GDBusMethodInvocation *invocation,
           gpointer user)
{
    Fixture *fixture = user;

    fixture->calls++;
    g_dbus_method_invocation_return_value(
        invocation, g_str_equal(method, "Hello") ? g_variant_new("(s)", ":1.1") : NULL);
}

static gboolean
connected(GDBusServer *server, GDBusConnection *connection, gpointer user)
{
    static const GDBusInterfaceVTable table = {.method_call = called};
    static const GDBusInterfaceVTable bus_table = {.method_call = called_bus};
    g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(manager_xml, NULL);
    Fixture *fixture = user;

    g_dbus_connection_register_object(connection, "/org/freedesktop/systemd1", info->interfaces[0],
                                      &table, user, NULL, NULL);
    g_dbus_connection_register_object(connection, "/org/freedesktop/DBus", info->interfaces[2],
                                      &bus_table, user, NULL, NULL);
    fixture->connections++;
    if (fixture->unit)
        add_unit(connection, fixture);
    g_object_ref(connection);
    return TRUE;
}

static gpointer
serve(gpointer data)
{
    Fixture *fixture = data;

    g_main_context_push_thread_default(fixture->context);
    g_main_loop_run(fixture->loop);
    g_main_context_pop_thread_default(fixture->context);
    return NULL;
}

static void
start_manager(Fixture *fixture)
{
    g_autofree char *address = g_strconcat("unix:path=", fixture->socket, NULL);
    g_autofree char *guid = g_dbus_generate_guid();
    g_autoptr(GError) error = NULL;

    fixture->context = g_main_context_new();
    fixture->loop = g_main_loop_new(fixture->context, FALSE);
    g_main_context_push_thread_default(fixture->context);
    fixture->server =
        g_dbus_server_new_sync(address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(fixture->server, "new-connection", G_CALLBACK(connected), fixture);
    g_dbus_server_start(fixture->server);
    g_main_context_pop_thread_default(fixture->context);
    fixture->thread = g_thread_new("manager", serve, fixture);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    fixture->dir = g_dir_make_tmp("test-seal-XXXXXX", &error);
    g_assert_no_error(error);
    fixture->file = g_build_filename(fixture->dir, "debian@1.qcow2", NULL);
    fixture->socket = g_build_filename(fixture->dir, "manager", NULL);
    fixture->manager = vt_seal_manager_new(fixture->socket);
    g_assert_true(g_file_set_contents(fixture->file, "content", -1, NULL));
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    vt_seal_manager_free(fixture->manager);
    if (fixture->thread) {
        g_main_loop_quit(fixture->loop);
        g_thread_join(fixture->thread);
        g_dbus_server_stop(fixture->server);
        g_object_unref(fixture->server);
        g_main_loop_unref(fixture->loop);
        g_main_context_unref(fixture->context);
        g_unlink(fixture->socket);
    }
    umount2(fixture->file, MNT_DETACH);
    g_assert_cmpint(g_unlink(fixture->file), ==, 0);
    g_assert_cmpint(g_rmdir(fixture->dir), ==, 0);
    g_clear_pointer(&fixture->properties, g_variant_unref);
    g_free(fixture->unit);
    g_free(fixture->dir);
    g_free(fixture->file);
    g_free(fixture->socket);
}

/* What `systemd-escape --path --suffix=mount` prints */
static void
test_unit(void)
{
    static const char *const units[][2] = {
        {"/var/lib/libvirt/images/t/debian@1.0.0.qcow2",
         "var-lib-libvirt-images-t-debian\\x401.0.0.qcow2.mount"},
        {"/srv/a-b/.layers/00ff.qcow2", "srv-a\\x2db-.layers-00ff.qcow2.mount"},
        {"//srv//x/", "srv-x.mount"},
        {"/.hidden/a b+c", "\\x2ehidden-a\\x20b\\x2bc.mount"},
        {"/srv/\xc3\xa4:_", "srv-\\xc3\\xa4:_.mount"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autofree char *unit = vt_seal_unit(units[i][0]);

        g_assert_cmpstr(unit, ==, units[i][1]);
    }
}

static bool
can_mount(void)
{
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    g_test_skip("only root can mount");
    return false;
}

static void
test_here(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    vt_autofd open_before = -1;

    if (!can_mount())
        return;
    g_assert_true(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_no_error(error);
    g_assert_true(is_mounted(fixture));
    g_assert_cmpint(chmod(fixture->file, 0600), ==, -1);
    g_assert_cmpint(errno, ==, EROFS);
    open_before = open(fixture->file, O_RDONLY | O_CLOEXEC);
    g_assert_true(vt_seal_unmount(fixture->file, fixture->manager, &error));
    g_assert_no_error(error);
    g_assert_false(is_mounted(fixture));
    g_assert_cmpint(chmod(fixture->file, 0600), ==, 0);
    g_assert_false(vt_seal_unmount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "debian@1.qcow2"));
}

static void
test_manager(Fixture *fixture, gconstpointer data)
{
    g_autofree char *unit = vt_seal_unit(fixture->file);
    g_autoptr(GError) error = NULL;
    g_autofree char *printed = NULL, *expected = NULL;

    if (!can_mount())
        return;
    start_manager(fixture);
    g_assert_true(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_no_error(error);
    g_assert_true(is_mounted(fixture));
    g_assert_cmpstr(fixture->unit, ==, unit);
    printed = g_variant_print(fixture->properties, FALSE);
    expected = g_strdup_printf("[('Description', <'Template that guests share, read-only'>), "
                               "('What', <'%s'>), ('Options', <'bind,ro,nosuid,nodev,noexec'>), "
                               "('LazyUnmount', <true>)]",
                               fixture->file);
    g_assert_cmpstr(printed, ==, expected);
    g_assert_true(vt_seal_unmount(fixture->file, fixture->manager, &error));
    g_assert_no_error(error);
    g_assert_false(is_mounted(fixture));
    g_assert_cmpstr(fixture->unit, ==, unit);
}

/* Two calls for the connection, and one for each mount; nobody asks for a state */
static void
test_manager_calls(Fixture *fixture, gconstpointer data)
{
    const guint count = 20;
    g_autoptr(GError) error = NULL;

    if (!can_mount())
        return;
    start_manager(fixture);
    for (guint i = 0; i < count; i++) {
        g_assert_true(vt_seal_mount(fixture->file, fixture->manager, &error));
        g_assert_no_error(error);
        g_assert_true(is_mounted(fixture));
        g_assert_true(vt_seal_unmount(fixture->file, fixture->manager, &error));
        g_assert_no_error(error);
    }
    g_assert_cmpuint(fixture->connections, ==, 1);
    g_assert_cmpuint(fixture->calls, ==, 2 + 2 * count);
    g_assert_cmpuint(fixture->asked, ==, 0);
}

/* The bus is restarted: before a job, after it has begun, and before it ends */
static void
test_manager_restarts(Fixture *fixture, gconstpointer data)
{
    static const Behaviour behaviours[] = {CLOSES, FORGETS};
    g_autoptr(GError) error = NULL;

    if (!can_mount())
        return;
    start_manager(fixture);
    for (guint i = 0; i < G_N_ELEMENTS(behaviours); i++) {
        fixture->behaviour = behaviours[i];
        fixture->asked = 0;
        g_assert_true(vt_seal_mount(fixture->file, fixture->manager, &error));
        g_assert_no_error(error);
        g_assert_true(is_mounted(fixture));
        g_assert_cmpint(fixture->behaviour, ==, WELL);
        g_assert_cmpuint(fixture->asked, ==, 3);
        fixture->behaviour = behaviours[i];
        fixture->asked = 0;
        g_assert_true(vt_seal_unmount(fixture->file, fixture->manager, &error));
        g_assert_no_error(error);
        g_assert_false(is_mounted(fixture));
        g_assert_cmpint(fixture->behaviour, ==, WELL);
        g_assert_cmpuint(fixture->asked, ==, 3);
        g_assert_cmpuint(fixture->connections, ==, 3 + 2 * i);
    }
    /* Nobody has asked for this one before */
    g_assert_false(vt_seal_unmount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==, "systemd refuses StopUnit: it is not loaded");
}

/* All the time goes by for the signal; then the state is asked for, once */
static void
test_manager_silent(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    if (!can_mount())
        return;
    fixture->behaviour = SILENT;
    fixture->asked = 2;
    start_manager(fixture);
    g_assert_true(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_no_error(error);
    g_assert_true(is_mounted(fixture));
    g_assert_cmpuint(fixture->asked, ==, 3);
}

static void
test_manager_refuses(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    fixture->behaviour = REFUSES;
    start_manager(fixture);
    g_assert_false(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==,
                    "systemd refuses StartTransientUnit: there are enough of them");
    g_clear_error(&error);
    g_assert_false(vt_seal_unmount(fixture->file, fixture->manager, &error));
    g_assert_cmpstr(error->message, ==, "systemd refuses StopUnit: there are enough of them");
}

static void
test_manager_fails(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    fixture->behaviour = (Behaviour)GPOINTER_TO_INT(data);
    start_manager(fixture);
    g_assert_false(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "systemd has not mounted"));
    g_assert_nonnull(strstr(error->message, "systemctl status"));
    g_assert_cmpuint(fixture->asked, ==, 0);
}

/* A socket on which nobody listens any more */
static void
test_manager_away(Fixture *fixture, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(fixture->socket, "", 0, NULL));
    g_assert_false(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_cmpint(g_unlink(fixture->socket), ==, 0);
}

/* The second mount does not wait any more */
static void
assert_given_up(const Fixture *fixture)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "answers within 5 s"));
    g_clear_error(&error);
    g_assert_false(vt_seal_mount(fixture->file, fixture->manager, &error));
    g_assert_nonnull(strstr(error->message, "a moment ago"));
}

/* A bus that takes connections, and says nothing */
static void
test_manager_mute(Fixture *fixture, gconstpointer data)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    vt_autofd bus = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd waiting = {.fd = bus, .events = POLLIN};
    vt_autofd first = -1;

    g_strlcpy(address.sun_path, fixture->socket, sizeof(address.sun_path));
    g_assert_cmpint(bind(bus, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(bus, 8), ==, 0);
    assert_given_up(fixture);
    first = accept(bus, NULL, NULL);
    g_assert_cmpint(first, >=, 0);
    g_assert_cmpint(poll(&waiting, 1, 0), ==, 0);
    g_assert_cmpint(g_unlink(fixture->socket), ==, 0);
}

/* The bus answers, systemd does not */
static void
test_manager_hangs(Fixture *fixture, gconstpointer data)
{
    fixture->behaviour = MUTE;
    start_manager(fixture);
    assert_given_up(fixture);
    /* two to greet the bus, and one for the first mount */
    g_assert_cmpuint(fixture->calls, ==, 3);
}

/* Each combination of flags has a name */
static void
test_names(void)
{
    for (unsigned seal = 0; seal < 2 * VT_SEAL_MOUNT; seal++) {
        g_assert_nonnull(vt_seal_name((VtSeal)seal));
        g_assert_true(vt_seal_holds((VtSeal)seal) == ((seal & ~(unsigned)VT_SEAL_VERITY) != 0));
    }
    g_assert_cmpstr(vt_seal_name(VT_SEAL_VERITY), ==, "fs-verity");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/seal-mount/unit", test_unit);
    g_test_add_func("/seal-mount/names", test_names);
    g_test_add("/seal-mount/here", Fixture, NULL, set_up, test_here, tear_down);
    g_test_add("/seal-mount/manager", Fixture, NULL, set_up, test_manager, tear_down);
    g_test_add("/seal-mount/manager-refuses", Fixture, NULL, set_up, test_manager_refuses,
               tear_down);
    g_test_add("/seal-mount/manager-calls", Fixture, NULL, set_up, test_manager_calls, tear_down);
    g_test_add("/seal-mount/manager-restarts", Fixture, NULL, set_up, test_manager_restarts,
               tear_down);
    g_test_add("/seal-mount/manager-silent", Fixture, NULL, set_up, test_manager_silent, tear_down);
    g_test_add("/seal-mount/manager-fails", Fixture, GINT_TO_POINTER(FAILS), set_up,
               test_manager_fails, tear_down);
    g_test_add("/seal-mount/manager-lies", Fixture, GINT_TO_POINTER(LIES), set_up,
               test_manager_fails, tear_down);
    g_test_add("/seal-mount/manager-away", Fixture, NULL, set_up, test_manager_away, tear_down);
    g_test_add("/seal-mount/manager-hangs", Fixture, NULL, set_up, test_manager_hangs, tear_down);
    g_test_add("/seal-mount/manager-mute", Fixture, NULL, set_up, test_manager_mute, tear_down);
    return g_test_run();
}
