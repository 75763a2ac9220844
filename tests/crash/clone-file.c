/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clone-file.c SOCKET TARGET NAME VERSION overlay|raw|qcow2 FILE: what the module in libvirtd does
 * for a clone: it makes the file, has the helper fill it, and removes it if that fails */
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdbool.h>
#include <unistd.h>

#define WAIT_MS 1000

static GVariant *
call(GDBusConnection *connection, const char *method, GVariant *arguments, GUnixFDList *fds,
     GError **error)
{
    return g_dbus_connection_call_with_unix_fd_list_sync(
        connection, NULL, "/virttemplate/Helper1", "virttemplate.Helper1", method, arguments, NULL,
        G_DBUS_CALL_FLAGS_NONE, -1, fds, NULL, NULL, error);
}

/* Until the job has ended; a job that did not succeed is an error */
static bool
wait_for(GDBusConnection *connection, guint64 job, GError **error)
{
    g_autofree char *state = g_strdup("running");

    while (g_str_equal(state, "running")) {
        g_autoptr(GVariant) reply =
            call(connection, "JobWait", g_variant_new("(tu)", job, WAIT_MS), NULL, error);
        g_autoptr(GVariant) status = NULL;
        const char *message = "no message";

        if (!reply)
            return false;
        status = g_variant_get_child_value(reply, 0);
        g_clear_pointer(&state, g_free);
        g_variant_lookup(status, "state", "s", &state);
        g_variant_lookup(status, "message", "&s", &message);
        if (!g_str_equal(state, "running") && !g_str_equal(state, "done")) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", state, message);
            return false;
        }
    }
    return true;
}

static bool
fill(GDBusConnection *connection, char **argv, int fd, GError **error)
{
    const char *target = argv[2], *name = argv[3], *version = argv[4], *format = argv[5];
    g_autoptr(GUnixFDList) fds = g_unix_fd_list_new();
    GVariantBuilder options;
    g_autoptr(GVariant) reply = NULL;
    guint64 job;

    g_variant_builder_init(&options, G_VARIANT_TYPE_VARDICT);
    if (g_unix_fd_list_append(fds, fd, error) < 0)
        return false;
    if (g_str_equal(format, "overlay")) {
        reply = call(
            connection, "MakeOverlay",
            g_variant_new("(ssshtsa{sv})", target, name, version, 0, (guint64)0, argv[6], &options),
            fds, error);
        return reply != NULL;
    }
    reply = call(connection, "MakeCopy",
                 g_variant_new("(ssshstsa{sv})", target, name, version, 0, format, (guint64)0,
                               argv[6], &options),
                 fds, error);
    if (!reply)
        return false;
    g_variant_get(reply, "(t)", &job);
    return wait_for(connection, job, error);
}

int
main(int argc, char **argv)
{
    g_autoptr(GDBusConnection) connection = NULL;
    g_autofree char *address = NULL;
    g_autoptr(GError) error = NULL;
    int fd;

    g_assert_cmpint(argc, ==, 7);
    address = g_strconcat("unix:path=", argv[1], NULL);
    connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &error);
    g_assert_no_error(error);
    fd = open(argv[6], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    if (fill(connection, argv, fd, &error))
        return 0;
    g_printerr("clone-file: %s\n", error->message);
    unlink(argv[6]);
    return 1;
}
