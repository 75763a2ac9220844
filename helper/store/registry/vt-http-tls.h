/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-tls.h: which certificates a registry may have, and which one we show it */
#pragma once

#include "vt-http.h"

#include <curl/curl.h>

typedef struct VtHttpTls VtHttpTls;

/** vt_http_tls_new: Reads the CA file, and checks what the options' hosts have for the host */
bool vt_http_tls_new(const VtHttpOptions *options, VtHttpTls **ret_tls, GError **error);
void vt_http_tls_free(VtHttpTls *tls);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtHttpTls, vt_http_tls_free)

/** vt_http_tls_has_ca: Returns: whether somebody installed a CA for this host */
bool vt_http_tls_has_ca(const VtHttpTls *tls);

/** vt_http_tls_set: Sets the options of @easy; @tls must outlive its transfer */
void vt_http_tls_set(const VtHttpTls *tls, CURL *easy);

/** vt_http_tls_wants_client: Returns: whether @problem, of libcurl, is a server's demand for a
 *  client certificate that it accepts */
bool vt_http_tls_wants_client(const char *problem);
