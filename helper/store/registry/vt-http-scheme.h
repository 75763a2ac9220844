/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-scheme.h: whether a host speaks TLS, where it need not */
#pragma once

#include "vt-http.h"

#include <curl/curl.h>

typedef enum {
    VT_HTTP_SCHEME_UNKNOWN,
    VT_HTTP_SCHEME_HTTPS,
    VT_HTTP_SCHEME_HTTP,
} VtHttpScheme;

/**
 * vt_http_guess_scheme: What to try first
 * @has_ca: somebody installed a CA for this host
 */
VtHttpScheme vt_http_guess_scheme(const char *host, bool has_ca);

/**
 * vt_http_seems_other:
 * @tried: the scheme that was tried
 * @reply: what came; its status is 0 if nothing did
 * @code: how the transfer ended
 *
 * Returns: whether this looks like a server of the other scheme
 */
bool vt_http_seems_other(VtHttpScheme tried, const char *host, const VtHttpReply *reply,
                         CURLcode code);
