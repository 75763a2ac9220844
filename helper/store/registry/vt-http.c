/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http.c: how one host is talked to: connections, scheme, and several transfers at once */
#include "vt-http.h"

#include "vt-http-header.h"
#include "vt-http-proxy.h"
#include "vt-http-scheme.h"
#include "vt-http-tls.h"
#include "vt-http-transfer.h"

/* All times and rates: a registry that is slower than this is as good as away */
#define CONNECT_TIMEOUT_S 15L
/* Within this machine; a plain HTTP server may wait for the end of the line that TLS never sends */
#define PROBE_TIMEOUT_S 3L
#define LOW_SPEED_BYTES 1024L
/* After an upload registries check its digest, and may copy it, before they say a word */
#define LOW_SPEED_UPLOAD_S 120L
/* Stays in the second level cache on its way to the caller */
#define READ_BUFFER  (64L << 10)
#define WRITE_BUFFER (512L << 10)
#define POLL_MS      1000

/**
 * VtHttp:
 * @scheme: what the host speaks, as far as is known
 * @scheme_proven: it has answered in it
 * @idle: (element-type CURL): easy handles to be used again, they keep TLS sessions
 * @running: (element-type VtHttpTransfer)
 * @flow: what some of these wait for
 * @ended: (element-type VtHttpTransfer): started ones whose @done is to be called
 */
struct VtHttp {
    char *host;
    bool insecure;
    long patience_s;
    VtHttpTls *tls;
    VtHosts *hosts;
    CURLM *multi;
    VtHttpScheme scheme;
    bool scheme_proven;
    GPtrArray *idle;
    GHashTable *running;
    VtHttpFlow flow;
    GQueue ended;
    uint64_t requests;
};

/* ---- the beginning of a transfer ---- */

bool
vt_http_plain_allowed(const VtHttp *http, const char *host)
{
    return vt_host_is_loopback(host) ||
           (http->insecure && g_ascii_strcasecmp(host, http->host) == 0);
}

/* A limit of the rate makes no transfer too slow */
static long
low_speed(const VtHttp *http)
{
    const uint64_t share = http->flow.rate.per_second / (4 * VT_HTTP_CONNECTIONS_MAX);

    return http->flow.rate.per_second == 0 ? LOW_SPEED_BYTES
                                           : (long)CLAMP(share, 1, (uint64_t)LOW_SPEED_BYTES);
}

static void
set_transport(VtHttp *http, VtHttpTransfer *transfer)
{
    const char *protocols = vt_http_plain_allowed(http, http->host) ? "https,http" : "https";
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, low_speed(http));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     transfer->request.body_size ? LOW_SPEED_UPLOAD_S : http->patience_s);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, READ_BUFFER);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, WRITE_BUFFER);
    vt_http_tls_set(http->tls, easy);
}

static void
set_url(VtHttp *http, VtHttpTransfer *transfer)
{
    char *url;

    if (transfer->path) {
        transfer->guesses = http->scheme == VT_HTTP_SCHEME_UNKNOWN;
        transfer->scheme = transfer->guesses
                               ? vt_http_guess_scheme(http->host, vt_http_tls_has_ca(http->tls))
                               : http->scheme;
        url = g_strconcat(transfer->scheme == VT_HTTP_SCHEME_HTTP ? "http://" : "https://",
                          http->host, transfer->path, NULL);
    } else {
        url = g_strdup(transfer->request.url);
    }
    vt_http_transfer_set_url(transfer, url);
    vt_http_proxy_set(transfer->easy, http->hosts, http->host, transfer->url);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT,
                     transfer->guesses && vt_host_is_loopback(http->host) ? PROBE_TIMEOUT_S
                                                                          : CONNECT_TIMEOUT_S);
}

static void
add_to_multi(VtHttp *http, VtHttpTransfer *transfer)
{
    CURLMcode code = curl_multi_add_handle(http->multi, transfer->easy);

    /* Fails when out of memory, where GLib ends the process, too */
    g_assert(code == CURLM_OK);
}

static VtHttpTransfer *
start(VtHttp *http, const VtHttpRequest *request)
{
    CURL *easy = http->idle->len ? g_ptr_array_steal_index_fast(http->idle, 0) : curl_easy_init();
    VtHttpTransfer *transfer;

    g_assert(easy);
    transfer = vt_http_transfer_new(request, easy, &http->flow);
    set_transport(http, transfer);
    set_url(http, transfer);
    g_hash_table_add(http->running, transfer);
    add_to_multi(http, transfer);
    return transfer;
}

/* ---- the end of a transfer ---- */

/* A wrong guess; where plain HTTP is not allowed there is no other */
static bool
should_try_other(const VtHttp *http, const VtHttpTransfer *transfer, CURLcode code)
{
    return transfer->guesses && http->scheme != transfer->scheme &&
           vt_http_plain_allowed(http, http->host) &&
           vt_http_seems_other(transfer->scheme, http->host, transfer->reply, code);
}

static void
try_other(VtHttp *http, VtHttpTransfer *transfer)
{
    curl_multi_remove_handle(http->multi, transfer->easy);
    http->scheme =
        transfer->scheme == VT_HTTP_SCHEME_HTTPS ? VT_HTTP_SCHEME_HTTP : VT_HTTP_SCHEME_HTTPS;
    *transfer->problem = '\0';
    transfer->reply->status = 0;
    set_url(http, transfer);
    add_to_multi(http, transfer);
}

/* The scheme is known when a status line came; a guess that led nowhere is forgotten */
static void
settle_scheme(VtHttp *http, const VtHttpTransfer *transfer)
{
    if (!transfer->path)
        return;
    if (transfer->reply->status > 0) {
        http->scheme_proven = true;
        if (transfer->guesses)
            http->scheme = transfer->scheme;
    } else if (!http->scheme_proven) {
        http->scheme = VT_HTTP_SCHEME_UNKNOWN;
    }
}

static void
release_easy(VtHttp *http, VtHttpTransfer *transfer)
{
    curl_multi_remove_handle(http->multi, transfer->easy);
    curl_easy_reset(transfer->easy);
    g_ptr_array_add(http->idle, g_steal_pointer(&transfer->easy));
}

static void
end_transfer(VtHttp *http, VtHttpTransfer *transfer, CURLcode code)
{
    http->requests += vt_http_transfer_requests(transfer);
    if (should_try_other(http, transfer, code)) {
        try_other(http, transfer);
        return;
    }
    settle_scheme(http, transfer);
    g_queue_remove(&http->flow.paused, transfer);
    g_queue_remove(&http->flow.held, transfer);
    vt_http_transfer_settle(transfer, code);
    release_easy(http, transfer);
    g_hash_table_remove(http->running, transfer);
    transfer->ended = true;
    if (transfer->done)
        g_queue_push_tail(&http->ended, transfer);
}

/* ---- moving data ---- */

/* What its sink stops does not end by itself before more bytes come */
static void
go_on(VtHttp *http, VtHttpTransfer *transfer)
{
    curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    if (transfer->reply->outcome == VT_HTTP_STOPPED)
        end_transfer(http, transfer, CURLE_WRITE_ERROR);
}

/* In turn, as far as the limit goes: each takes some KiB or waits again, behind the others */
static void
resume_paused(VtHttp *http)
{
    for (guint left = g_queue_get_length(&http->flow.paused);
         left > 0 && vt_http_rate_wait_ms(&http->flow.rate) == 0; left--) {
        go_on(http, g_queue_pop_head(&http->flow.paused));
    }
}

/* Each once; asked first, as libcurl comes back at once to what goes on and is paused again */
static void
resume_held(VtHttp *http)
{
    for (guint left = g_queue_get_length(&http->flow.held); left > 0; left--) {
        VtHttpTransfer *transfer = g_queue_pop_head(&http->flow.held);
        const VtHttpRequest *request = &transfer->request;

        if (request->room(request->sink_user, transfer->no_room))
            go_on(http, transfer);
        else
            g_queue_push_tail(&http->flow.held, transfer);
    }
}

/* Until something happens, at most @timeout_ms */
static void
wait_for_data(VtHttp *http, struct curl_waitfd *extra, unsigned count, int timeout_ms)
{
    if (!g_queue_is_empty(&http->flow.paused))
        timeout_ms = MIN(timeout_ms, MAX(vt_http_rate_wait_ms(&http->flow.rate), 1));
    curl_multi_poll(http->multi, extra, count, timeout_ms, NULL);
}

static void
move(VtHttp *http)
{
    int running = 0, left = 0;
    CURLMsg *message;

    resume_paused(http);
    resume_held(http);
    curl_multi_perform(http->multi, &running);
    while ((message = curl_multi_info_read(http->multi, &left))) {
        char *transfer = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        if (message->msg == CURLMSG_DONE)
            end_transfer(http, (VtHttpTransfer *)transfer, message->data.result);
    }
}

VtHttpReply *
vt_http_perform(VtHttp *http, const VtHttpRequest *request)
{
    VtHttpTransfer *transfer = start(http, request);
    VtHttpReply *reply;

    for (;;) {
        move(http);
        if (transfer->ended)
            break;
        wait_for_data(http, NULL, 0, POLL_MS);
    }
    reply = g_steal_pointer(&transfer->reply);
    vt_http_transfer_free(transfer);
    return reply;
}

void
vt_http_start(VtHttp *http, const VtHttpRequest *request, VtHttpDone done, void *user)
{
    VtHttpTransfer *transfer = start(http, request);

    transfer->done = done;
    transfer->user = user;
}

static int
left_until(gint64 deadline)
{
    gint64 left = (deadline - g_get_monotonic_time() + 999) / 1000;

    return (int)CLAMP(left, 0, G_MAXINT);
}

void
vt_http_pause(VtHttp *http, int timeout_ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;

    while (left_until(deadline) > 0) {
        move(http);
        wait_for_data(http, NULL, 0, left_until(deadline));
    }
}

void
vt_http_dispatch(VtHttp *http, int extra_fd, int timeout_ms)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    struct curl_waitfd extra = {.fd = extra_fd, .events = CURL_WAIT_POLLIN};

    for (;;) {
        move(http);
        if (!g_queue_is_empty(&http->ended) || extra.revents || left_until(deadline) == 0)
            break;
        wait_for_data(http, &extra, extra_fd >= 0 ? 1 : 0, left_until(deadline));
    }
    for (guint left = g_queue_get_length(&http->ended); left > 0; left--) {
        VtHttpTransfer *transfer = g_queue_pop_head(&http->ended);

        transfer->done(transfer->user, g_steal_pointer(&transfer->reply));
        vt_http_transfer_free(transfer);
    }
}

/* ---- the whole ---- */

uint64_t
vt_http_requests(const VtHttp *http)
{
    return http->requests;
}

bool
vt_http_has_answered(const VtHttp *http)
{
    return http->scheme_proven;
}

void
vt_http_limit(VtHttp *http, uint64_t rate)
{
    if (rate != http->flow.rate.per_second)
        vt_http_rate_set(&http->flow.rate, rate);
}

bool
vt_http_new(const VtHttpOptions *options, VtHttp **ret_http, GError **error)
{
    g_autoptr(VtHttpTls) tls = NULL;
    VtHttp *http;

    if (!vt_http_tls_new(options, &tls, error))
        return false;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return vt_throw(error, VT_ERROR_FAILED, "libcurl cannot be initialised");
    http = g_new0(VtHttp, 1);
    http->host = g_strdup(options->host);
    http->insecure = options->insecure;
    http->patience_s = options->patience_s ? (long)options->patience_s : VT_HTTP_PATIENCE_S;
    http->tls = g_steal_pointer(&tls);
    http->hosts = options->hosts ? vt_hosts_ref(options->hosts) : NULL;
    http->idle = g_ptr_array_new_with_free_func(curl_easy_cleanup);
    http->running = g_hash_table_new(NULL, NULL);
    http->multi = curl_multi_init();
    g_assert(http->multi);
    /* Ranges are fewer, see vt_store_limit(); a token that they wait for must not wait for them */
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
                      (long)VT_HTTP_CONNECTIONS_MAX + 1);
    /* A connection for each request, with HTTP/2, too: of streams that share one, libcurl reads
     * none while one is paused */
    curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    *ret_http = http;
    return true;
}

void
vt_http_free(VtHttp *http)
{
    GHashTableIter iter;
    gpointer transfer;

    if (!http)
        return;
    g_hash_table_iter_init(&iter, http->running);
    while (g_hash_table_iter_next(&iter, &transfer, NULL)) {
        release_easy(http, transfer);
        vt_http_transfer_free(transfer);
    }
    g_hash_table_unref(http->running);
    g_queue_clear(&http->flow.paused);
    g_queue_clear(&http->flow.held);
    g_queue_clear_full(&http->ended, (GDestroyNotify)vt_http_transfer_free);
    g_ptr_array_unref(http->idle);
    curl_multi_cleanup(http->multi);
    vt_http_tls_free(http->tls);
    vt_hosts_unref(http->hosts);
    g_free(http->host);
    g_free(http);
    curl_global_cleanup();
}
