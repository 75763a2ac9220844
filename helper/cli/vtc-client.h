/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-client.h: calls to virttemplated over its socket */
#pragma once

#include "vtc-exit.h"

#include <gio/gio.h>

typedef struct VtcClient VtcClient;
void vtc_client_free(VtcClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcClient, vtc_client_free)

/**
 * VtcHelperOptions: to be zeroed, then filled by VTC_HELPER_ENTRIES
 */
typedef struct {
    char *pool;
    char *socket;
} VtcHelperOptions;
void vtc_helper_options_clear(VtcHelperOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcHelperOptions, vtc_helper_options_clear)

#define VTC_HELPER_ENTRIES(options)                                                                \
    {"pool", 'p', 0, G_OPTION_ARG_FILENAME, &(options).pool, "Pool, by name or target path",       \
     "POOL"},                                                                                      \
    {                                                                                              \
        "socket", 0, 0, G_OPTION_ARG_FILENAME, &(options).socket, "Socket of virttemplated",       \
            "PATH"                                                                                 \
    }

/**
 * vtc_client_open:
 * @socket: (nullable): %NULL: $VIRT_TEMPLATE_SOCKET, else the socket of the system
 * @writable: whether methods are called that change something
 * @error: %VTC_ERROR_NO_HELPER; %VT_ERROR_DENIED when only root may use the socket
 */
bool vtc_client_open(const char *socket, bool writable, VtcClient **ret_client, GError **error);

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
