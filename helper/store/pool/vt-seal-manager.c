/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal-manager.c: jobs of systemd, over the message bus
 *
 * Theory of operation
 *
 * A thread asks for a job and waits for its end, without a main loop. systemd tells the end to who
 * has asked, by a signal that the bus sends to all who want such signals. It is read in GDBus's own
 * thread, perhaps before the thread that waits knows the name of its job: so all ends of jobs for
 * the unit are kept. Everybody on the bus can send such a signal; only one whose sender, which the
 * bus writes, is that of the answer counts. The answer comes before the signal, and the bus lets
 * nobody answer who was not asked: that thread knows the sender by then, and keeps no others.
 *
 * When the bus is closed meanwhile, the signal may be lost. Then systemd is asked for the state.
 *
 * A bus, or a systemd, that takes what it is asked and says nothing is given up for a time.
 */
#include "vt-seal-manager.h"

#include <gio/gio.h>
#include <unistd.h>

/* As long as the driver waits for the helper */
#define WAIT_MS 5000
/* As long again: waiting costs at most half of the time */
#define MUTE_US (G_USEC_PER_SEC * 5)
/* A connection that is closed wakes nobody up */
#define LOOK_US (G_USEC_PER_SEC / 20)
/* Ends of jobs for one unit that are kept: there is one, and those that others asked for */
#define ENDS_MAX 64

#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_EXISTS       "org.freedesktop.systemd1.UnitExists"
#define MATCH                                                                                      \
    "type='signal',sender='" SYSTEMD_NAME "',path='" SYSTEMD_PATH                                  \
    "',interface='" SYSTEMD_INTERFACE "',member='JobRemoved'"

/* Shared with GDBus's thread
 * @unit: (nullable): that is waited for
 * @owner: (nullable): who has answered last
 * @results: "done", "failed"... by sender and job */
typedef struct {
    GMutex lock;
    GCond changed;
    char *unit;
    char *owner;
    GHashTable *results;
} Ends;

/* @busy: held while a job runs
 * @mute: the bus is not asked before then, monotonic
 * @ends: of jobs, a reference */
struct VtSealManager {
    char *socket;
    GMutex busy;
    gint64 mute;
    GDBusConnection *connection;
    guint filter;
    Ends *ends;
};

static void
ends_clear(gpointer data)
{
    Ends *ends = data;

    g_mutex_clear(&ends->lock);
    g_cond_clear(&ends->changed);
    g_free(ends->unit);
    g_free(ends->owner);
    g_hash_table_unref(ends->results);
}

static void
ends_unref(gpointer data)
{
    g_atomic_rc_box_release_full(data, ends_clear);
}

VtSealManager *
vt_seal_manager_new(const char *socket)
{
    VtSealManager *manager = g_new0(VtSealManager, 1);

    manager->socket = g_strdup(socket);
    g_mutex_init(&manager->busy);
    manager->ends = g_atomic_rc_box_new0(Ends);
    g_mutex_init(&manager->ends->lock);
    g_cond_init(&manager->ends->changed);
    manager->ends->results = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return manager;
}

static void
disconnect(VtSealManager *manager)
{
    if (!manager->connection)
        return;
    g_dbus_connection_remove_filter(manager->connection, manager->filter);
    g_dbus_connection_close(manager->connection, NULL, NULL, NULL);
    g_clear_object(&manager->connection);
}

void
vt_seal_manager_free(VtSealManager *manager)
{
    if (!manager)
        return;
    disconnect(manager);
    ends_unref(manager->ends);
    g_mutex_clear(&manager->busy);
    g_free(manager->socket);
    g_free(manager);
}

bool
vt_seal_manager_is_there(const VtSealManager *manager)
{
    return access(manager->socket, F_OK) == 0;
}

/* ---- the bus ---- */

static char *
end_key(GDBusMessage *message, const char *job)
{
    const char *sender = g_dbus_message_get_sender(message);

    return g_strconcat(sender ? sender : "", " ", job, NULL);
}

/* JobRemoved: number, job, unit, result */
static void
keep_end(Ends *ends, GDBusMessage *message)
{
    GVariant *body = g_dbus_message_get_body(message);
    const char *job, *unit, *result;

    if (!body || !g_variant_is_of_type(body, G_VARIANT_TYPE("(uoss)")))
        return;
    g_variant_get(body, "(u&o&s&s)", NULL, &job, &unit, &result);
    g_mutex_lock(&ends->lock);
    if (g_strcmp0(unit, ends->unit) == 0 &&
        g_strcmp0(g_dbus_message_get_sender(message), ends->owner) == 0 &&
        g_hash_table_size(ends->results) < ENDS_MAX) {
        g_hash_table_insert(ends->results, end_key(message, job), g_strdup(result));
        g_cond_broadcast(&ends->changed);
    }
    g_mutex_unlock(&ends->lock);
}

/* After AddMatch, systemd alone is asked. It has another name after 'systemctl daemon-reexec'. */
static void
keep_owner(Ends *ends, GDBusMessage *answer)
{
    g_mutex_lock(&ends->lock);
    g_free(ends->owner);
    ends->owner = g_strdup(g_dbus_message_get_sender(answer));
    g_mutex_unlock(&ends->lock);
}

/* In GDBus's thread */
static GDBusMessage *
look_at_message(GDBusConnection *connection, GDBusMessage *message, gboolean incoming,
                gpointer data)
{
    const GDBusMessageType type = g_dbus_message_get_message_type(message);

    if (incoming && type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN)
        keep_owner(data, message);
    if (incoming && type == G_DBUS_MESSAGE_TYPE_SIGNAL &&
        g_strcmp0(g_dbus_message_get_interface(message), SYSTEMD_INTERFACE) == 0 &&
        g_strcmp0(g_dbus_message_get_member(message), "JobRemoved") == 0)
        keep_end(data, message);
    return message;
}

static bool
want_signals(GDBusConnection *connection, GError **error)
{
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_sync(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                    "org.freedesktop.DBus", "AddMatch", g_variant_new("(s)", MATCH),
                                    NULL, G_DBUS_CALL_FLAGS_NONE, WAIT_MS, NULL, error);

    return reply != NULL;
}

/* @over: under @lock */
typedef struct {
    GCancellable *cancellable;
    GMutex lock;
    GCond ended;
    bool over;
} Timer;

static gpointer
cancel_late(gpointer data)
{
    const gint64 end = g_get_monotonic_time() + WAIT_MS * 1000;
    Timer *timer = data;
    bool waits = true;

    g_mutex_lock(&timer->lock);
    while (!timer->over && waits)
        waits = g_cond_wait_until(&timer->ended, &timer->lock, end);
    if (!timer->over)
        g_cancellable_cancel(timer->cancellable);
    g_mutex_unlock(&timer->lock);
    return NULL;
}

static void
timer_end(Timer *timer, GThread *thread)
{
    g_mutex_lock(&timer->lock);
    timer->over = true;
    g_cond_signal(&timer->ended);
    g_mutex_unlock(&timer->lock);
    g_thread_join(thread);
    g_mutex_clear(&timer->lock);
    g_cond_clear(&timer->ended);
}

/* By a thread: whoever seals has no main loop, and this is not limited in time. Once a bus has let
 * the daemon in, it may take 25 s for its first answer, whatever is done here.
 * Returns: (transfer full) (nullable): %G_IO_ERROR_CANCELLED when it takes too long */
static GDBusConnection *
open_bus(const char *socket, GError **error)
{
    g_autofree char *escaped = g_dbus_address_escape_value(socket);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    Timer timer = {.cancellable = cancellable};
    GDBusConnection *connection;
    GThread *thread;

    g_mutex_init(&timer.lock);
    g_cond_init(&timer.ended);
    thread = g_thread_try_new("timer", cancel_late, &timer, error);
    if (!thread)
        return NULL;
    connection =
        g_dbus_connection_new_for_address_sync(address,
                                               G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                   G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                               NULL, cancellable, error);
    timer_end(&timer, thread);
    return connection;
}

/* For a time nobody waits for it: there may be hundreds of mounts to be made */
static bool
throw_mute(VtSealManager *manager, GError **error)
{
    disconnect(manager);
    manager->mute = g_get_monotonic_time() + MUTE_US;
    return vt_throw(error, VT_ERROR_FAILED,
                    "cannot ask systemd: nobody on the message bus %s answers within %d s",
                    manager->socket, WAIT_MS / 1000);
}

static bool
is_mute(const GError *failure)
{
    return g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CANCELLED) ||
           g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
}

static bool
connect_to(VtSealManager *manager, GError **error)
{
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GError) failure = NULL;

    if (manager->connection && !g_dbus_connection_is_closed(manager->connection))
        return true;
    disconnect(manager);
    if (g_get_monotonic_time() < manager->mute)
        return vt_throw(error, VT_ERROR_FAILED,
                        "cannot ask systemd: nobody on the message bus %s answered a moment ago",
                        manager->socket);
    connection = open_bus(manager->socket, &failure);
    if (!connection || !want_signals(connection, &failure))
        return is_mute(failure)
                   ? throw_mute(manager, error)
                   : vt_throw(error, VT_ERROR_FAILED, "cannot ask systemd: %s", failure->message);
    manager->filter = g_dbus_connection_add_filter(
        connection, look_at_message, g_atomic_rc_box_acquire(manager->ends), ends_unref);
    manager->connection = g_steal_pointer(&connection);
    return true;
}

/* ---- a job ---- */

static void
expect_end(Ends *ends, const char *unit)
{
    g_mutex_lock(&ends->lock);
    g_free(ends->unit);
    ends->unit = g_strdup(unit);
    g_hash_table_remove_all(ends->results);
    g_mutex_unlock(&ends->lock);
}

static GDBusMessage *
ask(VtSealManager *manager, const VtSealJob *job, GError **error)
{
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_method_call(SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, job->method);
    g_autoptr(GDBusMessage) reply = NULL;

    g_dbus_message_set_body(message, job->arguments);
    reply = g_dbus_connection_send_message_with_reply_sync(
        manager->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, WAIT_MS, NULL, NULL, error);
    return reply && !g_dbus_message_to_gerror(reply, error) ? g_steal_pointer(&reply) : NULL;
}

static bool
is_unit_there(const GError *error)
{
    g_autofree char *name = g_dbus_error_get_remote_error(error);

    return g_strcmp0(name, UNIT_EXISTS) == 0;
}

/* Returns: (nullable) */
static char *
key_of_answer(GDBusMessage *reply)
{
    GVariant *body = g_dbus_message_get_body(reply);
    const char *job;

    if (!body || !g_variant_is_of_type(body, G_VARIANT_TYPE("(o)")))
        return NULL;
    g_variant_get(body, "(&o)", &job);
    return end_key(reply, job);
}

/* A bus that was restarted shows when it is used. Its end may have hidden that a job began.
 * @ret_key: (nullable): of the job's end; %NULL if there is one that we do not know */
static bool
begin(VtSealManager *manager, const VtSealJob *job, char **ret_key, GError **error)
{
    g_autoptr(GDBusMessage) reply = NULL;
    g_autoptr(GError) failure = NULL;
    bool again = false;

    expect_end(manager->ends, job->unit);
    do {
        again = !again && failure;
        g_clear_error(&failure);
        if (!connect_to(manager, error))
            return false;
        reply = ask(manager, job, &failure);
    } while (!again && g_error_matches(failure, G_IO_ERROR, G_IO_ERROR_CLOSED));
    if (reply)
        *ret_key = key_of_answer(reply);
    if (reply && *ret_key)
        return true;
    /* The unit is there, or it is not there any more, because it was asked for twice */
    if (again && failure && (is_unit_there(failure) || job->is_done(job->path)))
        return true;
    if (is_mute(failure))
        return throw_mute(manager, error);
    if (failure)
        g_dbus_error_strip_remote_error(failure);
    return vt_throw(error, VT_ERROR_FAILED, "systemd refuses %s: %s", job->method,
                    failure ? failure->message : "its answer is no job");
}

/* Returns: (nullable): its result; %NULL when it does not come any more */
static char *
wait_for_end(VtSealManager *manager, const char *key, gint64 deadline)
{
    Ends *ends = manager->ends;
    char *result;
    gint64 now;

    g_mutex_lock(&ends->lock);
    while (!(result = g_strdup(g_hash_table_lookup(ends->results, key))) &&
           (now = g_get_monotonic_time()) < deadline &&
           !g_dbus_connection_is_closed(manager->connection))
        g_cond_wait_until(&ends->changed, &ends->lock, MIN(deadline, now + LOOK_US));
    g_mutex_unlock(&ends->lock);
    return result;
}

/* Returns: (nullable): "activating", "active", "inactive", "failed"... */
static char *
unit_state(VtSealManager *manager, const char *unit)
{
    g_autofree char *name = g_dbus_escape_object_path(unit);
    g_autofree char *path = g_strconcat(SYSTEMD_PATH "/unit/", name, NULL);
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GVariant) value = NULL;

    if (!connect_to(manager, NULL))
        return NULL;
    reply = g_dbus_connection_call_sync(
        manager->connection, SYSTEMD_NAME, path, "org.freedesktop.DBus.Properties", "Get",
        g_variant_new("(ss)", SYSTEMD_NAME ".Unit", "ActiveState"), G_VARIANT_TYPE("(v)"),
        G_DBUS_CALL_FLAGS_NONE, WAIT_MS, NULL, NULL);
    if (!reply)
        return NULL;
    g_variant_get(reply, "(v)", &value);
    return g_variant_is_of_type(value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string(value, NULL)
                                                              : NULL;
}

/* Whether it has come to rest; a mount is there before it is read-only. A signal that was waited
 * for in vain until the deadline is over may be lost: so it is asked once in any case. */
static char *
ask_for_end(VtSealManager *manager, const VtSealJob *job, gint64 deadline)
{
    g_autofree char *state = NULL;

    do {
        g_free(state);
        state = unit_state(manager, job->unit);
        if (state && !g_str_has_suffix(state, "activating") && !g_str_equal(state, job->before))
            return g_strdup(g_str_equal(state, "failed") ? state : "done");
        g_usleep(LOOK_US);
    } while (g_get_monotonic_time() < deadline);
    return NULL;
}

static bool
run(VtSealManager *manager, const VtSealJob *job, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + WAIT_MS * 1000;
    g_autofree char *result = NULL;
    g_autofree char *key = NULL;

    if (!begin(manager, job, &key, error))
        return false;
    if (key)
        result = wait_for_end(manager, key, deadline);
    if (!result)
        result = ask_for_end(manager, job, deadline);
    return (g_strcmp0(result, "done") == 0 && job->is_done(job->path)) ||
           vt_throw(error, VT_ERROR_FAILED, "systemd has not %s '%s'%s: see 'systemctl status %s'",
                    job->done, job->path, result ? "" : " in time", job->unit);
}

bool
vt_seal_manager_run(VtSealManager *manager, const VtSealJob *job, GError **error)
{
    bool ok;

    g_variant_ref_sink(job->arguments);
    g_mutex_lock(&manager->busy);
    ok = run(manager, job, error);
    g_mutex_unlock(&manager->busy);
    g_variant_unref(job->arguments);
    return ok;
}
