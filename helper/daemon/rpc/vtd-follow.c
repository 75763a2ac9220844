/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-follow.c: clients that are told how jobs go on */
#include "vtd-follow.h"

#include "vtd-server.h"

/* Often enough for a person who looks on */
#define PROGRESS_MS 500
/* Signals that GDBus keeps for a peer who does not read: beyond the first number he gets no
 * progress, beyond the second no connection. 16 jobs begin and end at once. */
#define UNSENT_PROGRESS_MAX 4
#define UNSENT_MAX          256

struct VtdFollowers {
    VtdJobs *jobs;
    GPtrArray *followers; /* (element-type Follower) */
    guint timer;
};

/* @unsent: atomic, an rc box: GDBus's thread counts, too */
typedef struct {
    VtdFollowers *of;
    GDBusConnection *connection;
    uint32_t uid;
    gint *unsent;
} Follower;

static void
follower_free(gpointer data)
{
    Follower *follower = data;

    g_signal_handlers_disconnect_by_data(follower->connection, follower);
    g_object_unref(follower->connection);
    g_atomic_rc_box_release(follower->unsent);
    g_free(follower);
}

static void
connection_closed(GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
    const Follower *follower = data;

    g_ptr_array_remove_fast(follower->of->followers, data);
}

/* In GDBus's thread, right before the message is written */
static GDBusMessage *
count_sent(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
    if (!incoming && g_dbus_message_get_message_type(message) == G_DBUS_MESSAGE_TYPE_SIGNAL)
        g_atomic_int_add((gint *)data, -1);
    return message;
}

static void
tell(const Follower *follower, VtdJobChange change, GVariant *status)
{
    static const char *const events[] = {
        [VTD_JOB_STARTED] = "started", [VTD_JOB_PROGRESS] = "progress", [VTD_JOB_ENDED] = "ended"};
    const gint unsent = g_atomic_int_get(follower->unsent);

    if (change == VTD_JOB_PROGRESS && unsent >= UNSENT_PROGRESS_MAX)
        return;
    if (unsent >= UNSENT_MAX) {
        g_dbus_connection_close(follower->connection, NULL, NULL, NULL);
        return;
    }
    g_atomic_int_inc(follower->unsent);
    if (!g_dbus_connection_emit_signal(follower->connection, NULL, VTD_OBJECT_PATH,
                                       "virttemplate.Helper1", "JobChanged",
                                       g_variant_new("(s@a{sv})", events[change], status), NULL))
        g_atomic_int_add(follower->unsent, -1);
}

static gboolean
progress_due(gpointer data)
{
    VtdFollowers *followers = data;

    if (followers->followers->len > 0 && vtd_jobs_running(followers->jobs) > 0) {
        vtd_jobs_tell_progress(followers->jobs);
        return G_SOURCE_CONTINUE;
    }
    followers->timer = 0;
    return G_SOURCE_REMOVE;
}

static void
watch_progress(VtdFollowers *followers)
{
    if (!followers->timer)
        followers->timer = g_timeout_add(PROGRESS_MS, progress_due, followers);
}

static void
job_changed(void *user, VtdJobChange change, const VtDbJob *row, GVariant *status)
{
    VtdFollowers *followers = user;

    for (guint i = 0; i < followers->followers->len; i++) {
        const Follower *follower = followers->followers->pdata[i];

        if (follower->uid == 0 || follower->uid == row->owner)
            tell(follower, change, status);
    }
    if (change == VTD_JOB_STARTED && followers->followers->len > 0)
        watch_progress(followers);
}

void
vtd_followers_add(VtdFollowers *followers, GDBusConnection *connection, uint32_t uid)
{
    Follower *follower;

    for (guint i = 0; i < followers->followers->len; i++) {
        if (((const Follower *)followers->followers->pdata[i])->connection == connection)
            return;
    }
    follower = g_new0(Follower, 1);
    *follower = (Follower){followers, g_object_ref(connection), uid, g_atomic_rc_box_new0(gint)};
    g_signal_connect(connection, "closed", G_CALLBACK(connection_closed), follower);
    g_dbus_connection_add_filter(connection, count_sent, g_atomic_rc_box_acquire(follower->unsent),
                                 g_atomic_rc_box_release);
    g_ptr_array_add(followers->followers, follower);
    watch_progress(followers);
}

VtdFollowers *
vtd_followers_new(VtdJobs *jobs)
{
    VtdFollowers *followers = g_new0(VtdFollowers, 1);

    followers->jobs = jobs;
    followers->followers = g_ptr_array_new_with_free_func(follower_free);
    vtd_jobs_watch(jobs, job_changed, followers);
    return followers;
}

void
vtd_followers_free(VtdFollowers *followers)
{
    if (!followers)
        return;
    vtd_jobs_watch(followers->jobs, NULL, NULL);
    g_clear_handle_id(&followers->timer, g_source_remove);
    g_ptr_array_unref(followers->followers);
    g_free(followers);
}
