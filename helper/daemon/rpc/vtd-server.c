/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-server.c: connections: who may speak, and which methods he may call */
#include "vtd-server.h"

#include "vt-fs.h"
#include "vtd-interface.h"
#include "vtd-methods.h"
#include "vtd-peer-stream.h"

#include <errno.h>
#include <gio/gunixconnection.h>
#include <gio/gunixfdlist.h>
#include <gio/gunixsocketaddress.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Everybody may connect to the read-only socket */
#define CONNECTIONS_MAX 256
/* Of one user; who the helper works for is not limited */
#define CONNECTIONS_PER_UID_MAX 4
/* Until a peer has authenticated itself */
#define HANDSHAKE_S 2
/* GLib does handshakes in a pool of ten threads: mute peers must not delay root's */
#define HANDSHAKES_MAX         8
#define HANDSHAKES_PER_UID_MAX 2
/* Answers that nobody reads, and calls that wait, take memory */
#define UNANSWERED_MAX 16
/* No more than all connections of a user may have: a call outlives its connection */
#define CALLS_PER_UID_MAX (UNANSWERED_MAX * CONNECTIONS_PER_UID_MAX)
/* Who is about to run another program needs no longer on a busy machine */
#define ORPHAN_MS      2000
#define ORPHAN_STEP_MS 200

struct VtdServer {
    VtdDaemon *daemon;
    GSocketService *service;
    bool read_only;
    /* (element-type Peer) */
    GPtrArray *peers;
    /* (element-type guint32 VtdUserCalls): of all who ever connected */
    GHashTable *users;
};

typedef struct {
    VtdServer *server;
    GDBusConnection *connection;
    GCancellable *handshake;
    VtdPeerCalls *calls;
    VtdUserCalls *user_calls;
    uint32_t uid;
    guint timer;
    guint registration;
} Peer;

/* A peer whose handshake is still under way is freed by its end */
static void
peer_leave(gpointer data)
{
    Peer *peer = data;

    g_clear_handle_id(&peer->timer, g_source_remove);
    peer->server->daemon->clients--;
    peer->server->daemon->busy_until = g_get_monotonic_time();
    peer->server = NULL;
    if (!peer->connection) {
        g_cancellable_cancel(peer->handshake);
        return;
    }
    g_signal_handlers_disconnect_by_data(peer->connection, peer);
    g_dbus_connection_unregister_object(peer->connection, peer->registration);
    g_dbus_connection_close(peer->connection, NULL, NULL, NULL);
    g_object_unref(peer->connection);
    g_atomic_rc_box_release(peer->calls);
    g_atomic_rc_box_release(peer->user_calls);
    g_object_unref(peer->handshake);
    g_free(peer);
}

static void
peer_gone(Peer *peer)
{
    g_ptr_array_remove_fast(peer->server->peers, peer);
}

static void
connection_closed(GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
    peer_gone(data);
}

/* ---- calls ---- */

static bool
dispatch(const Peer *peer, const char *name, VtdCall *call, GError **error)
{
    const VtdMethod *method = vtd_method_find(name);

    if (!method)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "there is no method '%s'", name);
    if (!vtd_daemon_is_owner(peer->uid) && call->user_calls->alive > CALLS_PER_UID_MAX)
        return vt_throw(error, VT_ERROR_BUSY,
                        "%u calls of uid %u wait for their answers: try again", CALLS_PER_UID_MAX,
                        peer->uid);
    if (method->changes && peer->server->read_only) {
        vtd_call_refuse_peer(call, VTD_PEER_READ_ONLY);
        return vt_throw(error, VT_ERROR_DENIED,
                        "%s is not for the read-only socket: use '" VTD_SOCKET_NAME "' as root",
                        name);
    }
    return method->run(call, error);
}

static void
on_call(GDBusConnection *connection, const char *sender, const char *object_path,
        const char *interface_name, const char *method_name, GVariant *arguments,
        GDBusMethodInvocation *invocation, gpointer data)
{
    Peer *peer = data;
    VtdCall *call = g_new0(VtdCall, 1);
    GError *error = NULL;

    peer->server->daemon->busy_until = g_get_monotonic_time();
    *call = (VtdCall){.daemon = peer->server->daemon,
                      .invocation = invocation,
                      .arguments = arguments,
                      .peer_uid = peer->uid,
                      .read_only = peer->server->read_only,
                      .peer_calls = g_atomic_rc_box_acquire(peer->calls),
                      .user_calls = g_atomic_rc_box_acquire(peer->user_calls)};
    call->user_calls->alive++;
    if (!dispatch(peer, method_name, call, &error))
        vtd_call_throw(call, error);
}

/* D-Bus has nine. Of any other one GDBus keeps many times its bytes for as long as the call waits.
 */
static bool
has_strange_header(GDBusMessage *message)
{
    g_autofree guchar *fields = g_dbus_message_get_header_fields(message);

    for (gsize i = 0; fields[i] != G_DBUS_MESSAGE_HEADER_FIELD_INVALID; i++) {
        if (fields[i] > G_DBUS_MESSAGE_HEADER_FIELD_NUM_UNIX_FDS)
            return true;
    }
    return false;
}

/* In GDBus's thread. Counts calls from when they are read to when their answer is being written */
static GDBusMessage *
count_calls(GDBusConnection *connection, GDBusMessage *message, gboolean incoming, gpointer data)
{
    const GDBusMessageType type = g_dbus_message_get_message_type(message);
    VtdPeerCalls *calls = data;

    if (!incoming) {
        if (type == G_DBUS_MESSAGE_TYPE_METHOD_RETURN || type == G_DBUS_MESSAGE_TYPE_ERROR)
            g_atomic_int_add(&calls->unanswered, -1);
        return message;
    }
    /* What asks for no answer could not be counted, and has no use here */
    if (type == G_DBUS_MESSAGE_TYPE_METHOD_CALL &&
        !(g_dbus_message_get_flags(message) & G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED)) {
        if (g_atomic_int_add(&calls->unanswered, 1) < UNANSWERED_MAX &&
            !has_strange_header(message))
            return message;
        g_dbus_connection_close(connection, NULL, NULL, NULL);
    }
    g_object_unref(message);
    return NULL;
}

/* ---- connections ---- */

/* Who somebody is, the kernel has said: a peer that has nothing to prove says nothing about it */
static gboolean
allow_mechanism(GDBusAuthObserver *observer, const char *mechanism, gpointer data)
{
    const Peer *peer = data;

    return g_strcmp0(mechanism, vtd_daemon_is_owner(peer->uid) ? "EXTERNAL" : "ANONYMOUS") == 0;
}

static gboolean
authorize_peer(GDBusAuthObserver *observer, GIOStream *stream, GCredentials *credentials,
               gpointer data)
{
    const Peer *peer = data;

    return credentials != NULL || !vtd_daemon_is_owner(peer->uid);
}

static gboolean
handshake_timed_out(gpointer data)
{
    Peer *peer = data;

    peer->timer = 0;
    g_cancellable_cancel(peer->handshake);
    return G_SOURCE_REMOVE;
}

static void
connected(GObject *source, GAsyncResult *result, gpointer data)
{
    static const GDBusInterfaceVTable vtable = {.method_call = on_call};
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) connection = g_dbus_connection_new_finish(result, &error);
    Peer *peer = data;

    if (peer->server && connection) {
        g_clear_handle_id(&peer->timer, g_source_remove);
        peer->registration = g_dbus_connection_register_object(
            connection, VTD_OBJECT_PATH, (GDBusInterfaceInfo *)&vtd_helper1_interface, &vtable,
            peer, NULL, &error);
    }
    if (!peer->registration) {
        if (error)
            g_debug("connection of uid %u: %s", peer->uid, error->message);
        if (error && peer->server)
            vtd_log_peer_refused(peer->server->daemon, VTD_PEER_AUTHENTICATION, peer->uid, NULL);
        if (peer->server)
            peer_gone(peer);
        g_atomic_rc_box_release(peer->calls);
        g_atomic_rc_box_release(peer->user_calls);
        g_object_unref(peer->handshake);
        g_free(peer);
        return;
    }
    peer->connection = g_steal_pointer(&connection);
    g_signal_connect(peer->connection, "closed", G_CALLBACK(connection_closed), peer);
    if (!vtd_daemon_is_owner(peer->uid))
        g_dbus_connection_add_filter(peer->connection, count_calls,
                                     g_atomic_rc_box_acquire(peer->calls), g_atomic_rc_box_release);
    /* The object is there before the first call is looked at */
    g_dbus_connection_start_message_processing(peer->connection);
}

static bool
may_connect(const VtdServer *server, uint32_t uid)
{
    guint connections = 0, handshakes = 0, handshakes_of_all = 0;

    if (vtd_daemon_is_owner(uid))
        return true;
    if (server->daemon->config->session)
        return false;
    for (guint i = 0; i < server->peers->len; i++) {
        const Peer *peer = server->peers->pdata[i];

        connections += peer->uid == uid;
        handshakes += peer->uid == uid && !peer->connection;
        handshakes_of_all += !peer->connection;
    }
    return server->peers->len < CONNECTIONS_MAX && connections < CONNECTIONS_PER_UID_MAX &&
           handshakes < HANDSHAKES_PER_UID_MAX && handshakes_of_all < HANDSHAKES_MAX;
}

/* Begins the handshake */
static void
greet(Peer *peer, GIOStream *socket)
{
    const bool trusted = vtd_daemon_is_owner(peer->uid);
    g_autoptr(GIOStream) stream = trusted ? g_object_ref(socket) : vtd_peer_stream_new(socket);
    g_autoptr(GDBusAuthObserver) observer = g_dbus_auth_observer_new();
    g_autofree char *guid = g_dbus_generate_guid();

    g_signal_connect(observer, "allow-mechanism", G_CALLBACK(allow_mechanism), peer);
    g_signal_connect(observer, "authorize-authenticated-peer", G_CALLBACK(authorize_peer), peer);
    g_dbus_connection_new(
        stream, guid,
        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
            G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING |
            (trusted ? 0 : G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_ALLOW_ANONYMOUS),
        observer, peer->handshake, connected, peer);
}

/* Returns: (transfer full): a reference */
static VtdUserCalls *
calls_of_user(VtdServer *server, uint32_t uid)
{
    VtdUserCalls *calls = g_hash_table_lookup(server->users, GUINT_TO_POINTER(uid));

    if (!calls) {
        calls = g_atomic_rc_box_new0(VtdUserCalls);
        g_hash_table_insert(server->users, GUINT_TO_POINTER(uid), calls);
    }
    return g_atomic_rc_box_acquire(calls);
}

static gboolean
incoming(GSocketService *service, GSocketConnection *stream, GObject *source, gpointer data)
{
    VtdServer *server = data;
    g_autoptr(GCredentials) credentials =
        g_socket_get_credentials(g_socket_connection_get_socket(stream), NULL);
    uid_t uid = credentials ? g_credentials_get_unix_user(credentials, NULL) : (uid_t)-1;
    Peer *peer;

    if (uid == (uid_t)-1)
        return TRUE;
    if (!may_connect(server, uid)) {
        vtd_log_peer_refused(server->daemon, VTD_PEER_TOO_MANY, uid, NULL);
        return TRUE;
    }
    peer = g_new0(Peer, 1);
    peer->server = server;
    peer->uid = uid;
    peer->calls = g_atomic_rc_box_new0(VtdPeerCalls);
    peer->user_calls = calls_of_user(server, uid);
    peer->handshake = g_cancellable_new();
    peer->timer = g_timeout_add_seconds(HANDSHAKE_S, handshake_timed_out, peer);
    server->daemon->clients++;
    g_ptr_array_add(server->peers, peer);
    greet(peer, G_IO_STREAM(stream));
    return TRUE;
}

bool
vtd_server_new(VtdDaemon *daemon, int listen_fd, bool read_only, VtdServer **ret_server,
               GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new_from_fd(listen_fd, error);
    g_autoptr(VtdServer) server = NULL;

    if (!socket) {
        close(listen_fd);
        return false;
    }
    server = g_new0(VtdServer, 1);
    server->daemon = daemon;
    server->read_only = read_only;
    server->peers = g_ptr_array_new_with_free_func(peer_leave);
    server->users = g_hash_table_new_full(NULL, NULL, NULL, g_atomic_rc_box_release);
    server->service = g_socket_service_new();
    if (!g_socket_listener_add_socket(G_SOCKET_LISTENER(server->service), socket, NULL, error))
        return false;
    g_signal_connect(server->service, "incoming", G_CALLBACK(incoming), server);
    *ret_server = g_steal_pointer(&server);
    return true;
}

void
vtd_server_free(VtdServer *server)
{
    if (!server)
        return;
    g_signal_handlers_disconnect_by_data(server->service, server);
    g_socket_service_stop(server->service);
    g_socket_listener_close(G_SOCKET_LISTENER(server->service));
    g_object_unref(server->service);
    g_ptr_array_unref(server->peers);
    g_hash_table_unref(server->users);
    g_free(server);
}

/* Returns: whether the path fits */
static bool
fill_address(const char *path, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    return g_strlcpy(ret_address->sun_path, path, sizeof(ret_address->sun_path)) <
           sizeof(ret_address->sun_path);
}

bool
vtd_server_answers(const char *path)
{
    vt_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;

    return fd >= 0 && fill_address(path, &address) &&
           connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

/* A child of one that was killed has its socket until it runs a program of its own */
static bool
is_served(const char *path)
{
    for (int waited = 0; waited < ORPHAN_MS; waited += ORPHAN_STEP_MS) {
        if (!vtd_server_answers(path))
            return false;
        g_usleep(ORPHAN_STEP_MS * 1000);
    }
    return vtd_server_answers(path);
}

bool
vtd_server_listen(const char *path, mode_t mode, int *ret_fd, GError **error)
{
    vt_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address;
    mode_t mask;
    int result;

    if (!fill_address(path, &address))
        return vt_throw(error, VT_ERROR_INVALID, "the path of the socket '%s' is too long", path);
    if (is_served(path))
        return vt_throw(error, VT_ERROR_BUSY, "another virttemplated answers at '%s'", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return vt_throw_errno(error, errno, "cannot replace '%s'", path);
    /* Nobody connects between bind() and chmod() */
    mask = umask(0177);
    result = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (result < 0 || listen(fd, SOMAXCONN) < 0 || chmod(path, mode) < 0)
        return vt_throw_errno(error, errno, "cannot listen at '%s'", path);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}
