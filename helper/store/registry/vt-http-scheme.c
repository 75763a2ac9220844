/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-scheme.c: whether a host speaks TLS, where it need not */
#include "vt-http-scheme.h"

#include "vt-http-header.h"

VtHttpScheme
vt_http_guess_scheme(const char *host, bool has_ca)
{
    /* Registries on loopback mostly speak plain HTTP, and a handshake reads all of the system's CAs
     * first, which takes longer than a manifest */
    return vt_host_is_loopback(host) && !has_ca ? VT_HTTP_SCHEME_HTTP : VT_HTTP_SCHEME_HTTPS;
}

/* A bad certificate is no such case. A refused connection is, because the port may be the scheme's
 * own. */
static bool
seems_plain(const char *host, const VtHttpReply *reply, CURLcode code)
{
    return reply->status == 0 &&
           (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_COULDNT_CONNECT ||
            (code == CURLE_OPERATION_TIMEDOUT && vt_host_is_loopback(host)));
}

/* A server of TLS takes the connection down, sends an alert, or says 400 in words; what a registry
 * says is JSON */
static bool
seems_tls(const VtHttpReply *reply, CURLcode code)
{
    static const CURLcode codes[] = {CURLE_COULDNT_CONNECT,      CURLE_GOT_NOTHING,
                                     CURLE_RECV_ERROR,           CURLE_SEND_ERROR,
                                     CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY};

    if (reply->status == 400)
        return reply->body->len == 0 || reply->body->data[0] != '{';
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        if (reply->status == 0 && code == codes[i])
            return true;
    }
    return false;
}

bool
vt_http_seems_other(VtHttpScheme tried, const char *host, const VtHttpReply *reply, CURLcode code)
{
    return tried == VT_HTTP_SCHEME_HTTPS ? seems_plain(host, reply, code) : seems_tls(reply, code);
}
