/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_client.c: calls to virttemplated (xml/virttemplate.Helper1.xml) */

/* Theory of operation
 *
 * One connection for the whole process, made when it is needed and made again when the helper has
 * closed it. Calls are synchronous and need no main loop: GDBus has its own thread. Threads that
 * come while one connects wait for its result and share it: they do not add up their waiting times.
 *
 * Waiting times add up in another way: a call may be made with a pool locked, and others wait for
 * the pool, and then for the helper. So when a call has had no answer and the helper does not even
 * say hello, it hangs: all calls that are under way fail at once, and so do those that come. A
 * thread says hello to it until it answers, or is gone. That way no call of libvirt's takes longer
 * than the bound, counted from when the helper was away.
 */
#include "template_client.h"

#include "template_greet.h"

#include "compat-libvirt.h"

VIR_LOG_INIT("storage.template_client");

#define ERROR_PREFIX "virttemplate.Error."

/* How long a helper that has not answered a call has to say hello */
#define HELLO_MS 400
/* Of the bound; the rest is for the time after which it hangs */
#define ANSWER_US (VIR_STORAGE_TEMPLATE_BOUND_US - 2 * HELLO_MS * 1000)
/* How long one hello to a helper that hangs waits for an answer */
#define PROBE_MS 60000

/* Questions that could do without an answer are asked 20 times a second at most */
#define ASK_INTERVAL_US (G_USEC_PER_SEC / 20)

struct _virStorageTemplateClient {
    GMutex lock;       /* of the fields below; short */
    GMutex connecting; /* held while one thread connects, and uses the context */
    GMainContext *context;
    GDBusConnection *connection;
    gint64 failed_at; /* the last connection attempt that failed, 0: none */
    gint64 asked;
    GError *failure; /* of failed_at */
    bool hanging;
    GCancellable *calls; /* those under way */
};

virStorageTemplateClient *
virStorageTemplateClientNew(void)
{
    virStorageTemplateClient *client = g_new0(virStorageTemplateClient, 1);

    g_mutex_init(&client->lock);
    g_mutex_init(&client->connecting);
    client->context = g_main_context_new();
    client->calls = g_cancellable_new();
    return client;
}

gint64
virStorageTemplateDeadline(void)
{
    return g_get_monotonic_time() + ANSWER_US;
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
    } else {
        client->failed_at = g_get_monotonic_time();
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

/* Returns: whether it hangs no more: it answers, or is gone */
static bool
virStorageTemplateProbeOnce(GMainContext *context)
{
    gint64 deadline = g_get_monotonic_time() + PROBE_MS * 1000;
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = virStorageTemplateGreet(context, deadline, &error);
    bool over = !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);

    if (connection) {
        over = virStorageTemplateAnswers(connection, PROBE_MS);
        g_dbus_connection_close_sync(connection, NULL, NULL);
        g_object_unref(connection);
    }
    while (g_main_context_iteration(context, FALSE))
        ;
    return over;
}

static void
virStorageTemplateProbe(void *opaque)
{
    virStorageTemplateClient *client = opaque;
    GMainContext *context = g_main_context_new();

    while (!virStorageTemplateProbeOnce(context))
        VIR_DEBUG("virttemplated still hangs");
    g_main_context_unref(context);
    g_mutex_lock(&client->lock);
    client->hanging = false;
    g_mutex_unlock(&client->lock);
    VIR_INFO("virttemplated hangs no more");
}

/* From now on until a thread has seen that it does not, no call waits for it */
static void
virStorageTemplateClientHangs(virStorageTemplateClient *client)
{
    g_autoptr(GCancellable) calls = NULL;
    virThread thread;

    g_mutex_lock(&client->lock);
    if (!client->hanging && virThreadCreateFull(&thread, false, virStorageTemplateProbe,
                                                "template-probe", false, client) == 0) {
        client->hanging = true;
        calls = client->calls;
        client->calls = g_cancellable_new();
    }
    g_mutex_unlock(&client->lock);
    if (calls)
        g_cancellable_cancel(calls);
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
        connection = virStorageTemplateReach(client->context, deadline, &failure);
        virStorageTemplateClientNote(client, connection, failure);
        if (g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
            virStorageTemplateClientHangs(client);
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
    hanging = client->hanging;
    g_mutex_unlock(&client->lock);
    return hanging;
}

bool
virStorageTemplateClientMayAsk(virStorageTemplateClient *client)
{
    gint64 now = g_get_monotonic_time();
    bool may;

    g_mutex_lock(&client->lock);
    may = !client->hanging && now - client->asked >= ASK_INTERVAL_US;
    if (may)
        client->asked = now;
    g_mutex_unlock(&client->lock);
    return may;
}

/* Returns: (transfer full) (nullable): to be cancelled when the helper hangs. NULL: it does */
static GCancellable *
virStorageTemplateClientBegin(virStorageTemplateClient *client, const char *method, GError **error)
{
    GCancellable *calls = NULL;

    g_mutex_lock(&client->lock);
    if (client->hanging)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "virttemplated does not answer the call %s: it hangs; see 'systemctl status "
                    "virttemplated'",
                    method);
    else
        calls = g_object_ref(client->calls);
    g_mutex_unlock(&client->lock);
    return calls;
}

/* What it means that there was no answer. One call may take long: a helper that is well says hello
 * all the same. */
static void
virStorageTemplateClientFailed(virStorageTemplateClient *client, GDBusConnection *connection,
                               const char *method, GError **failure)
{
    if (g_error_matches(*failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) &&
        !virStorageTemplateAnswers(connection, HELLO_MS))
        virStorageTemplateClientHangs(client);
    if (g_error_matches(*failure, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_clear_error(failure);
        g_set_error(failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "it hangs");
    }
    g_prefix_error(failure, "virttemplated does not answer the call %s: ", method);
    virStorageTemplateClientNote(client, NULL, *failure);
}

static GVariant *
virStorageTemplateClientTry(virStorageTemplateClient *client, const virStorageTemplateCall *call,
                            GVariant *arguments, GError **error)
{
    g_autoptr(GCancellable) calls = virStorageTemplateClientBegin(client, call->method, error);
    g_autoptr(GDBusConnection) connection = NULL;
    GVariant *reply;
    GError *failure = NULL;

    if (!calls)
        return NULL;
    connection = virStorageTemplateClientConnect(client, call->deadline, error);
    if (!connection)
        return NULL;

    reply = g_dbus_connection_call_with_unix_fd_list_sync(
        connection, NULL, VIR_STORAGE_TEMPLATE_PATH, VIR_STORAGE_TEMPLATE_INTERFACE, call->method,
        arguments, G_VARIANT_TYPE(call->reply_type), G_DBUS_CALL_FLAGS_NONE,
        virStorageTemplateTimeoutMs(call->deadline), call->fds, NULL, calls, &failure);
    if (reply) {
        virStorageTemplateClientNote(client, connection, NULL);
        return reply;
    }
    VIR_DEBUG("%s: %s", call->method, failure->message);
    if (!g_dbus_error_is_remote_error(failure))
        virStorageTemplateClientFailed(client, connection, call->method, &failure);
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
