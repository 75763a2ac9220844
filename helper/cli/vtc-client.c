/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-client.c: calls to virttemplated over its socket */
#include "vtc-client.h"

#include "vts-session.h"

#include <string.h>
#include <unistd.h>

#define SOCKET_DIR  "/run/libvirt/"
#define SOCKET      SOCKET_DIR "virttemplated-sock"
#define SOCKET_RO   SOCKET_DIR "virttemplated-sock-ro"
#define OBJECT_PATH "/virttemplate/Helper1"
#define INTERFACE   "virttemplate.Helper1"
/* Most answers take at most wait_ms (10 s) plus 5 s, see xml/virttemplate.Helper1.xml */
#define CALL_TIMEOUT_MS 20000
#define LONG_TIMEOUT_MS 65000

/* A helper that starts reads its database */
#define START_US (10 * G_USEC_PER_SEC)
/* The first one may have ended at that very time */
#define STARTS_MAX 2

struct VtcClient {
    char *socket;
    GDBusConnection *connection;
};

void
vtc_client_free(VtcClient *client)
{
    if (!client)
        return;
    g_clear_object(&client->connection);
    g_free(client->socket);
    g_free(client);
}

void
vtc_helper_options_clear(VtcHelperOptions *options)
{
    g_clear_pointer(&options->pool, g_free);
    g_clear_pointer(&options->socket, g_free);
    g_clear_pointer(&options->uri, g_free);
}

/* ---- which helper ---- */

typedef enum {
    SIDE_NONE,
    SIDE_SYSTEM,
    SIDE_SESSION,
} Side;

/* qemu:///system, qemu+unix:///session?socket=...; of this host */
static Side
side_of(const char *text)
{
    g_autoptr(GUri) uri = text ? g_uri_parse(text, G_URI_FLAGS_NONE, NULL) : NULL;
    const char *host = uri ? g_uri_get_host(uri) : NULL;

    if (!uri || (host && *host))
        return SIDE_NONE;
    if (strcmp(g_uri_get_path(uri), "/session") == 0)
        return SIDE_SESSION;
    return strcmp(g_uri_get_path(uri), "/system") == 0 ? SIDE_SYSTEM : SIDE_NONE;
}

bool
vtc_helper_has_uri(const char *uri)
{
    Side side = side_of(uri);

    return side == SIDE_SYSTEM || (side == SIDE_SESSION && vts_is_session());
}

bool
vtc_helper_is_session(const VtcHelperOptions *helper)
{
    Side side = side_of(helper->uri ? helper->uri : g_getenv("LIBVIRT_DEFAULT_URI"));

    return vts_is_session() && side != SIDE_SYSTEM;
}

static bool
check_uri(const char *uri, GError **error)
{
    Side side = side_of(uri);

    if (!uri || vtc_helper_has_uri(uri))
        return true;
    if (side == SIDE_NONE)
        return vtc_usage(error,
                         "--connect %s: only a libvirt of this host has a virttemplated here, such "
                         "as qemu:///system or qemu:///session",
                         uri);
    return vtc_usage(error,
                     "--connect %s: root has no session; run this as the user, or ask "
                     "qemu:///system",
                     uri);
}

/* Who is not root may ask the system's helper, but change nothing */
static char *
choose_socket(const VtcHelperOptions *helper, bool writable)
{
    const char *from_environment = g_getenv("VIRT_TEMPLATE_SOCKET");

    if (helper->socket)
        return g_strdup(helper->socket);
    if (!helper->uri && from_environment && *from_environment)
        return g_strdup(from_environment);
    if (vtc_helper_is_session(helper))
        return vts_socket();
    return g_strdup(writable || geteuid() == 0 ? SOCKET : SOCKET_RO);
}

/* ---- connecting ---- */

static bool
throw_unreachable(const char *socket, const GError *reason, GError **error)
{
    g_autofree char *own = vts_socket();
    const bool session = strcmp(socket, own) == 0;

    if (!session && g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
        return vt_throw(error, VT_ERROR_DENIED,
                        "you may not use the socket '%s' of virttemplated; run this as root",
                        socket);
    g_set_error(error, VTC_ERROR, VTC_ERROR_NO_HELPER,
                session ? "virttemplated cannot be reached at '%s' (%s); ask 'virt-template doctor'"
                        : "virttemplated cannot be reached at '%s' (%s); start it with 'systemctl "
                          "start virttemplated.socket', or ask 'virt-template doctor'",
                socket, reason->message);
    return false;
}

static GDBusConnection *
greet(const char *socket, GError **error)
{
    g_autofree char *escaped = g_dbus_address_escape_value(socket);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);

    return g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, error);
}

/* The user's own, which is started if it is not there, or if it ended while it was greeted */
static GDBusConnection *
greet_own(const char *socket, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + START_US;
    GDBusConnection *connection = greet(socket, NULL);

    for (int i = 0; i < STARTS_MAX && !connection; i++) {
        g_clear_error(error);
        if (!vts_start(vts_program(), deadline, error))
            return NULL;
        connection = greet(socket, error);
    }
    if (connection && !vts_is_own(connection, error))
        g_clear_object(&connection);
    return connection;
}

bool
vtc_client_open(const VtcHelperOptions *helper, bool writable, VtcClient **ret_client,
                GError **error)
{
    g_autofree char *socket = choose_socket(helper, writable);
    g_autofree char *own = vts_socket();
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GError) local = NULL;

    if (!check_uri(helper->uri, error))
        return false;
    connection = strcmp(socket, own) == 0 ? greet_own(socket, &local) : greet(socket, &local);
    if (!connection)
        return throw_unreachable(socket, local, error);
    *ret_client = g_new0(VtcClient, 1);
    (*ret_client)->socket = g_steal_pointer(&socket);
    (*ret_client)->connection = g_steal_pointer(&connection);
    return true;
}

const char *
vtc_client_socket(const VtcClient *client)
{
    return client->socket;
}

/* An error that the helper sent keeps its code; everything else means that it did not answer */
static bool
throw_remote(const VtcClient *client, GError *reason, GError **error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(reason);

    if (!name || !g_str_has_prefix(name, "virttemplate.Error."))
        return throw_unreachable(client->socket, reason, error);
    g_dbus_error_strip_remote_error(reason);
    return vt_throw(error, vt_error_from_dbus_name(name), "%s", reason->message);
}

bool
vtc_client_call(VtcClient *client, const char *method, GVariant *arguments, const char *reply_type,
                GVariant **ret_reply, GError **error)
{
    const int timeout_ms = strcmp(method, "Compare") == 0 ? LONG_TIMEOUT_MS : CALL_TIMEOUT_MS;
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GError) local = NULL;

    reply = g_dbus_connection_call_sync(client->connection, NULL, OBJECT_PATH, INTERFACE, method,
                                        arguments, G_VARIANT_TYPE(reply_type),
                                        G_DBUS_CALL_FLAGS_NONE, timeout_ms, NULL, &local);
    if (!reply)
        return throw_remote(client, local, error);
    if (ret_reply)
        *ret_reply = g_steal_pointer(&reply);
    return true;
}

bool
vtc_client_follow(VtcClient *client, GDBusSignalCallback callback, void *user, GError **error)
{
    g_dbus_connection_signal_subscribe(client->connection, NULL, INTERFACE, "JobChanged",
                                       OBJECT_PATH, NULL, G_DBUS_SIGNAL_FLAGS_NONE, callback, user,
                                       NULL);
    return vtc_client_call(client, "FollowJobs", NULL, "()", NULL, error);
}

bool
vtc_client_check(const VtcClient *client, GError **error)
{
    if (!g_dbus_connection_is_closed(client->connection))
        return true;
    g_set_error(error, VTC_ERROR, VTC_ERROR_NO_HELPER,
                "virttemplated at '%s' has ended, or has closed the connection", client->socket);
    return false;
}
