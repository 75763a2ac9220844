/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_greet.c: a connection to virttemplated, and whether anybody is behind it */

/* Theory of operation
 *
 * A helper that hangs (stopped, or its machine out of memory) accepts connections in the kernel but
 * never answers, and GDBus has no time limit for the greeting. So it runs as an asynchronous call
 * in a private main context, next to a timer that cancels it.
 *
 * A connection that the helper has closed puts a source into the context in which it was made, and
 * lives until somebody lets that run. So whoever connects again does it in the same context.
 *
 * The libvirtd of a user has a helper of its own, below the user's directories. If that does not
 * answer it is started. A privileged libvirtd starts nothing: systemd does.
 */
#include "template_greet.h"

#include "compat-libvirt.h"
#include "vts-session.h"

VIR_LOG_INIT("storage.template_greet");

#define HELPER_SOCKET "/run/libvirt/virttemplated-sock"

/* Of a user's helper, for one connection: the first one may have ended at that very time */
#define STARTS_MAX 2

typedef struct {
    GCancellable *cancellable;
    GDBusConnection *connection;
    GError *error;
    bool done;
} virStorageTemplateGreeting;

/* Tests have their own helper */
static bool
virStorageTemplateIsSession(void)
{
    return !g_getenv("VIRT_TEMPLATE_SOCKET") && vts_is_session();
}

static char *
virStorageTemplateSocket(void)
{
    const char *path = g_getenv("VIRT_TEMPLATE_SOCKET");

    if (virStorageTemplateIsSession())
        return vts_socket();
    return g_strdup(path ? path : HELPER_SOCKET);
}

static void
virStorageTemplateThrow(int code, const char *reason, GError **error)
{
    g_autofree char *socket = virStorageTemplateSocket();

    g_set_error(
        error, G_IO_ERROR, code, "virttemplated does not answer on %s: %s; see %s", socket, reason,
        virStorageTemplateIsSession() ? "'virt-template doctor'"
                                      : "'systemctl status virttemplated.socket virttemplated'");
}

int
virStorageTemplateTimeoutMs(gint64 deadline)
{
    gint64 left = (deadline - g_get_monotonic_time()) / 1000;

    return (int)CLAMP(left, 1, G_MAXINT);
}

static void
virStorageTemplateGreetingDone(GObject *source, GAsyncResult *result, gpointer opaque)
{
    virStorageTemplateGreeting *greeting = opaque;

    greeting->connection = g_dbus_connection_new_for_address_finish(result, &greeting->error);
    greeting->done = true;
}

static gboolean
virStorageTemplateGreetingTimeout(gpointer opaque)
{
    virStorageTemplateGreeting *greeting = opaque;

    g_cancellable_cancel(greeting->cancellable);
    return G_SOURCE_REMOVE;
}

/* Returns: (transfer full) (nullable): %G_IO_ERROR_CANCELLED at @deadline */
static GDBusConnection *
virStorageTemplateConnect(GMainContext *context, gint64 deadline, GError **error)
{
    g_autofree char *socket = virStorageTemplateSocket();
    g_autofree char *escaped = g_dbus_address_escape_value(socket);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GSource) timer = g_timeout_source_new(virStorageTemplateTimeoutMs(deadline));
    virStorageTemplateGreeting greeting = {.cancellable = cancellable};

    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, virStorageTemplateGreetingTimeout, &greeting, NULL);
    g_source_attach(timer, context);
    g_dbus_connection_new_for_address(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                      cancellable, virStorageTemplateGreetingDone, &greeting);
    while (!greeting.done)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(timer);
    while (g_main_context_iteration(context, FALSE))
        ;
    g_main_context_pop_thread_default(context);
    if (greeting.error)
        g_propagate_error(error, greeting.error);
    else
        g_dbus_connection_set_exit_on_close(greeting.connection, FALSE);
    return greeting.connection;
}

GDBusConnection *
virStorageTemplateGreet(GMainContext *context, gint64 deadline, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GDBusConnection) connection = virStorageTemplateConnect(context, deadline, &failure);

    if (g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        virStorageTemplateThrow(G_IO_ERROR_TIMED_OUT, "it hangs", error);
    else if (!connection)
        virStorageTemplateThrow(G_IO_ERROR_CONNECTION_REFUSED, failure->message, error);
    else if (virStorageTemplateIsSession() && !vts_is_own(connection, &failure))
        virStorageTemplateThrow(G_IO_ERROR_PERMISSION_DENIED, failure->message, error);
    else
        return g_steal_pointer(&connection);
    return NULL;
}

GDBusConnection *
virStorageTemplateReach(GMainContext *context, gint64 deadline, GError **error)
{
    g_autoptr(GError) failure = NULL, start = NULL;
    GDBusConnection *connection = virStorageTemplateGreet(context, deadline, &failure);

    for (int i = 0; i < STARTS_MAX && virStorageTemplateIsSession() &&
                    g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
         i++) {
        VIR_DEBUG("%s; the helper is started", failure->message);
        if (!vts_start(vts_program(), deadline, &start)) {
            bool late = g_error_matches(start, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);

            virStorageTemplateThrow(late ? G_IO_ERROR_TIMED_OUT : G_IO_ERROR_CONNECTION_REFUSED,
                                    start->message, error);
            return NULL;
        }
        g_clear_error(&failure);
        connection = virStorageTemplateGreet(context, deadline, &failure);
    }
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return connection;
}

bool
virStorageTemplateAnswers(GDBusConnection *connection, int timeoutMs)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        connection, NULL, VIR_STORAGE_TEMPLATE_PATH, VIR_STORAGE_TEMPLATE_INTERFACE, "Hello", NULL,
        NULL, G_DBUS_CALL_FLAGS_NONE, timeoutMs, NULL, &error);

    return reply || !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}
