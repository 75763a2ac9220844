/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_client.c: calls to virttemplated (xml/virttemplate.Helper1.xml) */

/* Theory of operation
 *
 * One connection for the whole process, made when it is needed and made again when the helper has
 * closed it. Calls are synchronous and need no main loop: GDBus has its own thread.
 *
 * A helper that hangs (stopped, or its machine out of memory) accepts connections in the kernel but
 * never answers, and GDBus has no time limit for the greeting. So it runs as an asynchronous call
 * in a private main context, next to a timer that cancels it. Threads that come while one connects
 * wait for its result and share it: they do not add up their waiting times.
 *
 * The libvirtd of a user has a helper of its own, below the user's directories. If that does not
 * answer it is started. A privileged libvirtd starts nothing: systemd does.
 */
#include "template_client.h"

#include "compat-libvirt.h"
#include "vts-session.h"

VIR_LOG_INIT("storage.template_client");

#define HELPER_SOCKET    "/run/libvirt/virttemplated-sock"
#define HELPER_PATH      "/virttemplate/Helper1"
#define HELPER_INTERFACE "virttemplate.Helper1"
#define ERROR_PREFIX     "virttemplate.Error."

/* After a time limit passed, those who can do without the helper do not ask for so long */
#define HANGING_US (10 * G_USEC_PER_SEC)

/* Questions that could do without an answer are asked 20 times a second at most */
#define ASK_INTERVAL_US (G_USEC_PER_SEC / 20)

/* Of a user's helper, for one connection: the first one may have ended at that very time */
#define STARTS_MAX 2

struct _virStorageTemplateClient {
    char *socket;
    bool session;      /* the helper is the user's, and started when it is needed */
    GMutex lock;       /* of the fields below; short */
    GMutex connecting; /* held while one thread connects */
    GDBusConnection *connection;
    gint64 failed_at; /* the last connection attempt that failed, 0: none */
    gint64 hanging_until;
    gint64 asked;
    GError *failure; /* of failed_at */
};

typedef struct {
    GCancellable *cancellable;
    GDBusConnection *connection;
    GError *error;
    bool done;
} virStorageTemplateGreeting;

virStorageTemplateClient *
virStorageTemplateClientNew(void)
{
    virStorageTemplateClient *client = g_new0(virStorageTemplateClient, 1);
    /* Tests have their own helper */
    const char *path = g_getenv("VIRT_TEMPLATE_SOCKET");

    client->session = !path && vts_is_session();
    client->socket = client->session ? vts_socket() : g_strdup(path ? path : HELPER_SOCKET);
    g_mutex_init(&client->lock);
    g_mutex_init(&client->connecting);
    return client;
}

gint64
virStorageTemplateDeadline(void)
{
    return g_get_monotonic_time() + VIR_STORAGE_TEMPLATE_BOUND_US;
}

static int
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

/* Connect, or fail at @deadline */
static GDBusConnection *
virStorageTemplateGreet(const char *socket, gint64 deadline, GError **error)
{
    g_autofree char *address = NULL, *escaped = g_dbus_address_escape_value(socket);
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GSource) timer = g_timeout_source_new(virStorageTemplateTimeoutMs(deadline));
    virStorageTemplateGreeting greeting = {.cancellable = cancellable};

    address = g_strconcat("unix:path=", escaped, NULL);
    g_main_context_push_thread_default(context);
    g_source_set_callback(timer, virStorageTemplateGreetingTimeout, &greeting, NULL);
    g_source_attach(timer, context);
    g_dbus_connection_new_for_address(address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                      cancellable, virStorageTemplateGreetingDone, &greeting);
    while (!greeting.done)
        g_main_context_iteration(context, TRUE);
    g_source_destroy(timer);
    g_main_context_pop_thread_default(context);
    if (greeting.error)
        g_propagate_error(error, greeting.error);
    else
        g_dbus_connection_set_exit_on_close(greeting.connection, FALSE);
    return greeting.connection;
}

static bool
virStorageTemplateIsTimeout(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
           g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

/* The user's helper, which is started if it is not there, or if it ended while it was greeted */
static GDBusConnection *
virStorageTemplateGreetOwn(const char *socket, gint64 deadline, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GDBusConnection) connection = virStorageTemplateGreet(socket, deadline, &failure);

    for (int i = 0; i < STARTS_MAX && !connection && !virStorageTemplateIsTimeout(failure); i++) {
        VIR_DEBUG("'%s': %s; the helper is started", socket, failure->message);
        if (!vts_start(vts_program(), deadline, error))
            return NULL;
        g_clear_error(&failure);
        connection = virStorageTemplateGreet(socket, deadline, &failure);
    }
    if (!connection) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    return vts_is_own(connection, error) ? g_steal_pointer(&connection) : NULL;
}

static GDBusConnection *
virStorageTemplateClientGreet(virStorageTemplateClient *client, gint64 deadline, GError **error)
{
    g_autoptr(GError) failure = NULL;
    GDBusConnection *connection =
        client->session ? virStorageTemplateGreetOwn(client->socket, deadline, &failure)
                        : virStorageTemplateGreet(client->socket, deadline, &failure);
    bool hangs = !connection && virStorageTemplateIsTimeout(failure);

    if (!connection)
        g_set_error(error, G_IO_ERROR, hangs ? G_IO_ERROR_TIMED_OUT : G_IO_ERROR_CONNECTION_REFUSED,
                    "virttemplated does not answer on %s: %s; see %s", client->socket,
                    g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CANCELLED) ? "it hangs"
                                                                               : failure->message,
                    client->session ? "'virt-template doctor'"
                                    : "'systemctl status virttemplated.socket virttemplated'");
    return connection;
}

/* The connection if it is open, with a reference */
static GDBusConnection *
virStorageTemplateClientPeek(virStorageTemplateClient *client)
{
    GDBusConnection *connection = NULL;

    g_mutex_lock(&client->lock);
    if (client->connection && g_dbus_connection_is_closed(client->connection))
        g_clear_object(&client->connection);
    if (client->connection)
        connection = g_object_ref(client->connection);
    g_mutex_unlock(&client->lock);
    return connection;
}

static void
virStorageTemplateClientNote(virStorageTemplateClient *client, GDBusConnection *connection,
                             const GError *failure)
{
    g_mutex_lock(&client->lock);
    if (connection) {
        g_set_object(&client->connection, connection);
        client->hanging_until = 0;
    } else {
        client->failed_at = g_get_monotonic_time();
        /* A helper that is not there says so at once; only one that hangs costs time */
        if (g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            client->hanging_until = client->failed_at + HANGING_US;
        g_clear_error(&client->failure);
        client->failure = g_error_copy(failure);
    }
    g_mutex_unlock(&client->lock);
}

/* Another thread's attempt that failed since @start is this one's too */
static bool
virStorageTemplateClientFailedSince(virStorageTemplateClient *client, gint64 start, GError **error)
{
    bool failed;

    g_mutex_lock(&client->lock);
    failed = client->failed_at >= start;
    if (failed)
        g_propagate_error(error, g_error_copy(client->failure));
    g_mutex_unlock(&client->lock);
    return failed;
}

static GDBusConnection *
virStorageTemplateClientConnect(virStorageTemplateClient *client, gint64 deadline, GError **error)
{
    gint64 start = g_get_monotonic_time();
    GDBusConnection *connection = virStorageTemplateClientPeek(client);
    GError *failure = NULL;

    if (connection)
        return connection;

    g_mutex_lock(&client->connecting);
    connection = virStorageTemplateClientPeek(client);
    if (!connection && !virStorageTemplateClientFailedSince(client, start, error)) {
        connection = virStorageTemplateClientGreet(client, deadline, &failure);
        virStorageTemplateClientNote(client, connection, failure);
        if (failure)
            g_propagate_error(error, failure);
    }
    g_mutex_unlock(&client->connecting);
    return connection;
}

bool
virStorageTemplateClientIsHanging(virStorageTemplateClient *client)
{
    bool hanging;

    g_mutex_lock(&client->lock);
    hanging = g_get_monotonic_time() < client->hanging_until;
    g_mutex_unlock(&client->lock);
    return hanging;
}

bool
virStorageTemplateClientMayAsk(virStorageTemplateClient *client)
{
    gint64 now = g_get_monotonic_time();
    bool may;

    g_mutex_lock(&client->lock);
    may = now >= client->hanging_until && now - client->asked >= ASK_INTERVAL_US;
    if (may)
        client->asked = now;
    g_mutex_unlock(&client->lock);
    return may;
}

static GVariant *
virStorageTemplateClientTry(virStorageTemplateClient *client, const virStorageTemplateCall *call,
                            GVariant *arguments, GError **error)
{
    g_autoptr(GDBusConnection) connection = NULL;
    GVariant *reply;
    GError *failure = NULL;

    connection = virStorageTemplateClientConnect(client, call->deadline, error);
    if (!connection)
        return NULL;

    reply = g_dbus_connection_call_with_unix_fd_list_sync(
        connection, NULL, HELPER_PATH, HELPER_INTERFACE, call->method, arguments,
        G_VARIANT_TYPE(call->reply_type), G_DBUS_CALL_FLAGS_NONE,
        virStorageTemplateTimeoutMs(call->deadline), call->fds, NULL, NULL, &failure);
    if (reply) {
        virStorageTemplateClientNote(client, connection, NULL);
        return reply;
    }
    VIR_DEBUG("%s: %s", call->method, failure->message);
    if (!g_dbus_error_is_remote_error(failure)) {
        g_prefix_error(&failure, "virttemplated does not answer the call %s: ", call->method);
        virStorageTemplateClientNote(client, NULL, failure);
    }
    g_propagate_error(error, failure);
    return NULL;
}

bool
virStorageTemplateClientCall(virStorageTemplateClient *client, const virStorageTemplateCall *call,
                             GVariant **ret_reply, GError **error)
{
    g_autoptr(GVariant) arguments = g_variant_ref_sink(call->arguments);
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GError) failure = NULL;

    reply = virStorageTemplateClientTry(client, call, arguments, &failure);
    /* The helper ended while the connection was idle, which shows when it is used. A file that was
     * passed along may have been written, so such a call is not made twice. */
    if (!reply && !call->fds && g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CLOSED)) {
        g_clear_error(&failure);
        reply = virStorageTemplateClientTry(client, call, arguments, &failure);
    }
    if (!reply) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    *ret_reply = g_steal_pointer(&reply);
    return true;
}

bool
virStorageTemplateErrorIs(const GError *error, const char *name)
{
    g_autofree char *remote = g_dbus_error_get_remote_error(error);

    return remote && g_str_has_prefix(remote, ERROR_PREFIX) &&
           STREQ(remote + strlen(ERROR_PREFIX), name);
}

void
virStorageTemplateReportError(const GError *error)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"Invalid", VIR_ERR_INVALID_ARG},
        {"NotFound", VIR_ERR_NO_STORAGE_VOL},
        {"Exists", VIR_ERR_STORAGE_VOL_EXIST},
        {"Untrusted", VIR_ERR_OPERATION_DENIED},
        {"Policy", VIR_ERR_OPERATION_DENIED},
        {"Corrupt", VIR_ERR_OPERATION_FAILED},
        {"TooLarge", VIR_ERR_OVERFLOW},
        {"Network", VIR_ERR_OPERATION_FAILED},
        {"Busy", VIR_ERR_RESOURCE_BUSY},
        {"NoSpace", VIR_ERR_OPERATION_FAILED},
        {"Unsupported", VIR_ERR_OPERATION_UNSUPPORTED},
        {"Denied", VIR_ERR_OPERATION_DENIED},
    };
    g_autoptr(GError) copy = g_error_copy(error);
    int code = VIR_ERR_OPERATION_FAILED;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
        code = VIR_ERR_OPERATION_TIMEOUT;
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (virStorageTemplateErrorIs(error, codes[i].name))
            code = codes[i].code;
    }
    g_dbus_error_strip_remote_error(copy);
    virReportError(code, "%s", copy->message);
}
