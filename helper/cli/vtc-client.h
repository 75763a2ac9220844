/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-client.h: calls to virttemplated over its socket */
#pragma once

#include "vtc-exit.h"

#include <gio/gio.h>

typedef struct VtcClient VtcClient;
void vtc_client_free(VtcClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcClient, vtc_client_free)

/**
 * VtcHelperOptions: to be zeroed, then filled by VTC_HELPER_ENTRIES or VTC_SOCKET_ENTRIES
 * @pool: (nullable): by name or target path
 * @socket: (nullable)
 * @uri: (nullable): of the libvirt whose helper is meant
 */
typedef struct {
    char *pool;
    char *socket;
    char *uri;
} VtcHelperOptions;
void vtc_helper_options_clear(VtcHelperOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcHelperOptions, vtc_helper_options_clear)

#define VTC_SOCKET_ENTRIES(options)                                                                \
    {"connect", 'c', 0, G_OPTION_ARG_STRING, &(options).uri, "libvirt's URI", "URI"},              \
    {                                                                                              \
        "socket", 0, 0, G_OPTION_ARG_FILENAME, &(options).socket, "Socket of virttemplated",       \
            "PATH"                                                                                 \
    }
#define VTC_HELPER_ENTRIES(options)                                                                \
    {"pool", 'p', 0, G_OPTION_ARG_FILENAME, &(options).pool, "Pool, by name or target path",       \
     "POOL"},                                                                                      \
        VTC_SOCKET_ENTRIES(options)

/** vtc_helper_has_uri: Returns: whether the libvirt of @uri has a virttemplated on this host */
bool vtc_helper_has_uri(const char *uri);

/**
 * vtc_helper_is_session:
 *
 * As libvirt decides which daemon to ask: the URI that is given, else $LIBVIRT_DEFAULT_URI if it is
 * of this host, else the user's own, unless this is root.
 *
 * Returns: whether the helper of the user's session is meant, not the one of the system
 */
bool vtc_helper_is_session(const VtcHelperOptions *helper);

/**
 * vtc_client_open:
 * @helper: its socket, else that of its URI, else $VIRT_TEMPLATE_SOCKET, else as
 *   vtc_helper_is_session() says. The one of the session is started if it is not there
 * @writable: whether methods are called that change something
 * @error: %VTC_ERROR_NO_HELPER; %VT_ERROR_DENIED when only root may use the socket;
 *   %VTC_ERROR_USAGE: a URI that has no helper here
 */
bool vtc_client_open(const VtcHelperOptions *helper, bool writable, VtcClient **ret_client,
                     GError **error);

/**
 * vtc_client_follow:
 * @callback: gets JobChanged, in the default main context
 *
 * Asks the helper to be told of jobs.
 */
bool vtc_client_follow(VtcClient *client, GDBusSignalCallback callback, void *user, GError **error);
/** vtc_client_check: %VTC_ERROR_NO_HELPER if the helper has gone; noticed in the default main
 *  context */
bool vtc_client_check(const VtcClient *client, GError **error);

/** vtc_client_socket: Returns: (transfer none): path it is connected to */
const char *vtc_client_socket(const VtcClient *client);

/**
 * vtc_client_call:
 * @arguments: (nullable): floating references are taken
 * @reply_type: e.g. `(s)`
 * @ret_reply: (out) (transfer full) (optional)
 * @error: the #VtError that the helper sent; %VTC_ERROR_NO_HELPER when it went away
 */
bool vtc_client_call(VtcClient *client, const char *method, GVariant *arguments,
                     const char *reply_type, GVariant **ret_reply, GError **error);
