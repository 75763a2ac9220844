/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-proxy.c: which proxy a request goes through */
#include "vt-http-proxy.h"

#include "vt-http-header.h"

void
vt_http_proxy_set(CURL *easy, const VtHosts *hosts, const char *host, const char *url)
{
    const char *proxy = NULL;

    if (hosts && !vt_host_is_loopback(host))
        proxy = g_str_has_prefix(url, "https:") ? hosts->https_proxy : hosts->http_proxy;
    /* An empty one keeps libcurl from looking into the environment by itself */
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, proxy && hosts->no_proxy ? hosts->no_proxy : "");
    /* its answers are not the registry's */
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* @ret_what: (out) (transfer full): what is to be said */
static bool
is_refused(CURL *easy, const VtHttpReply *reply, char **ret_what)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (reply->status != 0 || status < 400 || status > 499)
        return false;
    *ret_what =
        g_strdup_printf("the proxy refuses to connect, by HTTP %ld; check what the proxy allows, "
                        "or name the host in no_proxy",
                        status);
    return true;
}

static bool
is_untrusted(CURL *easy, CURLcode code, const char *problem, char **ret_what)
{
    long verdict = 0;

    curl_easy_getinfo(easy, CURLINFO_PROXY_SSL_VERIFYRESULT, &verdict);
    if (code != CURLE_PEER_FAILED_VERIFICATION || verdict == 0)
        return false;
    *ret_what = g_strdup_printf("the proxy's certificate is not trusted: %s; add its CA to those "
                                "of this machine, or give it with --ca-file",
                                problem);
    return true;
}

void
vt_http_proxy_judge(CURL *easy, CURLcode code, const char *problem, VtHttpReply *reply)
{
    g_autofree char *what = NULL;

    if (!is_refused(easy, reply, &what) && !is_untrusted(easy, code, problem, &what))
        return;
    reply->outcome = VT_HTTP_REFUSED;
    vt_http_reply_take_problem(reply, what, NULL);
}
