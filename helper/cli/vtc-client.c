/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-client.c: calls to virttemplated over its socket */
#include "vtc-client.h"

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
}

/* Who is not root may ask, but change nothing */
static const char *
default_socket(bool writable)
{
    const char *from_environment = g_getenv("VIRT_TEMPLATE_SOCKET");

    if (from_environment && *from_environment)
        return from_environment;
    return writable || geteuid() == 0 ? SOCKET : SOCKET_RO;
}

static bool
throw_unreachable(const char *socket, const GError *reason, GError **error)
{
    if (g_error_matches(reason, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
        return vt_throw(error, VT_ERROR_DENIED,
                        "you may not use the socket '%s' of virttemplated; run this as root",
                        socket);
    g_set_error(error, VTC_ERROR, VTC_ERROR_NO_HELPER,
                "virttemplated cannot be reached at '%s' (%s); start it with 'systemctl start "
                "virttemplated.socket', or ask 'virt-template doctor'",
                socket, reason->message);
    return false;
}

bool
vtc_client_open(const char *socket, bool writable, VtcClient **ret_client, GError **error)
{
    const char *path = socket ? socket : default_socket(writable);
    g_autofree char *escaped = g_dbus_address_escape_value(path);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GError) local = NULL;

    connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &local);
    if (!connection)
        return throw_unreachable(path, local, error);
    *ret_client = g_new0(VtcClient, 1);
    (*ret_client)->socket = g_strdup(path);
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
