/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-proxy.h: which proxy a request goes through */
#pragma once

#include "vt-http.h"

#include <curl/curl.h>

/**
 * vt_http_proxy_set: Sets the options of @easy
 * @hosts: (nullable): must outlive the transfer
 * @host: `host[:port]` of the store; nothing for this machine goes through a proxy
 * @url: of the request
 */
void vt_http_proxy_set(CURL *easy, const VtHosts *hosts, const char *host, const char *url);

/**
 * vt_http_proxy_judge: Notes in @reply that the proxy refuses to connect, or is another one than it
 *   should be, if that is why @easy has failed; a proxy that cannot connect may be able to later
 * @problem: in libcurl's words
 */
void vt_http_proxy_judge(CURL *easy, CURLcode code, const char *problem, VtHttpReply *reply);
