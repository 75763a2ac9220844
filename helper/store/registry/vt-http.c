/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http.c: HTTP requests to one store, several at once */
#include "vt-http.h"

#include "vt-http-header.h"
#include "vt-http-outcome.h"
#include "vt-http-proxy.h"
#include "vt-http-rate.h"
#include "vt-http-scheme.h"
#include "vt-http-tls.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* All times and rates: a registry that is slower than this is as good as away */
#define CONNECT_TIMEOUT_S 15L
/* Within this machine; a plain HTTP server may wait for the end of the line that TLS never sends */
#define PROBE_TIMEOUT_S 3L
#define LOW_SPEED_BYTES 1024L
/* After an upload registries check its digest, and may copy it, before they say a word */
#define LOW_SPEED_UPLOAD_S 120L
#define REDIRECTS_MAX      5L
/* Stays in the second level cache on its way to the caller */
#define READ_BUFFER  (64L << 10)
#define WRITE_BUFFER (512L << 10)
#define POLL_MS      1000

typedef struct {
    VtHttp *http;
    CURL *easy;
    struct curl_slist *headers;
    char *path;
    char *url;
    GBytes *body;
    VtHttpRequest request;
    uint64_t sent;
    VtHttpReply *reply;
    VtHttpScheme scheme;
    bool guesses; /* whether @scheme is a guess */
    bool ended;
    VtHttpDone done;
    void *user;
    char problem[CURL_ERROR_SIZE];
} Transfer;

/**
 * VtHttp:
 * @scheme: what the host speaks, as far as is known
 * @scheme_proven: it has answered in it
 * @idle: (element-type CURL): easy handles to be used again, they keep TLS sessions
 * @running: (element-type Transfer)
 * @paused: (element-type Transfer): of these, those that the limit of the rate keeps waiting
 * @ended: (element-type Transfer): started ones whose @done is to be called
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
    VtHttpRate rate;
    GQueue paused;
    GQueue ended;
    uint64_t requests;
};

/* ---- what curl calls ---- */

static size_t
on_header(char *data, size_t size, size_t count, void *user)
{
    g_autofree char *line = g_strndup(data, size * count);

    vt_http_reply_take_line(((Transfer *)user)->reply, line);
    return size * count;
}

static size_t
give_to_sink(Transfer *transfer, const char *data, size_t length)
{
    const VtHttpRequest *request = &transfer->request;

    /* When the sink says so after a pause, libcurl does not end the transfer */
    if (transfer->reply->outcome == VT_HTTP_STOPPED)
        return 0;
    if (!vt_http_rate_take(&transfer->http->rate, length)) {
        g_queue_push_tail(&transfer->http->paused, transfer);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (request->sink(request->sink_user, transfer->reply, data, length))
        return length;
    transfer->reply->outcome = VT_HTTP_STOPPED;
    return 0;
}

static size_t
on_data(char *data, size_t size, size_t count, void *user)
{
    Transfer *transfer = user;
    VtHttpReply *reply = transfer->reply;
    size_t length = size * count;

    if (reply->status < 200 || reply->status > 299)
        return vt_http_reply_take_error(reply, data, length);
    if (transfer->request.sink)
        return give_to_sink(transfer, data, length);
    if (length > transfer->request.limit - MIN(reply->body->len, transfer->request.limit)) {
        reply->outcome = VT_HTTP_TOO_LARGE;
        return 0;
    }
    g_byte_array_append(reply->body, (const guint8 *)data, (guint)length);
    return length;
}

static size_t
on_send(char *buffer, size_t size, size_t count, void *user)
{
    Transfer *transfer = user;
    const VtHttpRequest *request = &transfer->request;
    size_t want = MIN(size * count, request->body_size - transfer->sent);
    ssize_t n = (ssize_t)want;

    if (want == 0)
        return 0;
    if (transfer->body)
        memcpy(buffer, (const char *)g_bytes_get_data(transfer->body, NULL) + transfer->sent, want);
    else
        n = pread(request->body_fd, buffer, want, (off_t)(request->body_offset + transfer->sent));
    if (n <= 0) {
        vt_http_reply_take_problem(transfer->reply, "cannot read what to send",
                                   n < 0 ? g_strerror(errno) : "the file became shorter");
        return CURL_READFUNC_ABORT;
    }
    transfer->sent += (uint64_t)n;
    if (request->progress)
        request->progress(request->progress_user, transfer->sent);
    return (size_t)n;
}

static int
on_rewind(void *user, curl_off_t offset, int origin)
{
    Transfer *transfer = user;

    /* libcurl would send a file again by itself; vt-registry-push.c goes on where it was cut */
    if (origin != SEEK_SET || offset != 0 || !transfer->body) {
        vt_http_reply_take_problem(transfer->reply,
                                   "the connection was closed in the middle of "
                                   "the upload",
                                   "the registry did, or what is before it");
        return CURL_SEEKFUNC_FAIL;
    }
    transfer->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* ---- a transfer ---- */

bool
vt_http_plain_allowed(const VtHttp *http, const char *host)
{
    return vt_host_is_loopback(host) ||
           (http->insecure && g_ascii_strcasecmp(host, http->host) == 0);
}

static void
transfer_free(Transfer *transfer)
{
    curl_slist_free_all(transfer->headers);
    g_free(transfer->path);
    g_free(transfer->url);
    g_clear_pointer(&transfer->body, g_bytes_unref);
    vt_http_reply_free(transfer->reply);
    g_free(transfer);
}

/* A limit of the rate makes no transfer too slow */
static long
low_speed(const VtHttp *http)
{
    const uint64_t share = http->rate.per_second / (4 * VT_HTTP_CONNECTIONS_MAX);

    return http->rate.per_second == 0 ? LOW_SPEED_BYTES
                                      : (long)CLAMP(share, 1, (uint64_t)LOW_SPEED_BYTES);
}

static void
set_transport(VtHttp *http, Transfer *transfer)
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
set_callbacks(Transfer *transfer)
{
    CURL *easy = transfer->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send);
    curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_rewind);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
}

static void
add_header(Transfer *transfer, const char *field)
{
    struct curl_slist *headers = curl_slist_append(transfer->headers, field);

    g_assert(headers);
    transfer->headers = headers;
}

static void
set_request(Transfer *transfer, const VtHttpRequest *request)
{
    CURL *easy = transfer->easy;

    if (*request->method == 'P') { /* PATCH, POST, PUT */
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
    }
    if (g_str_equal(request->method, "HEAD"))
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->follow ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    add_header(transfer, "Accept-Encoding: identity");
    add_header(transfer, "User-Agent: virt-template/" VT_VERSION);
    /* A request that needs credentials was asked for them by the one before it */
    add_header(transfer, "Expect:");
    for (gsize i = 0; request->headers && request->headers[i]; i++)
        add_header(transfer, request->headers[i]);
    if (request->authorization) {
        g_autofree char *field = g_strconcat("Authorization: ", request->authorization, NULL);

        /* curl leaves this field out when a redirect goes to another host, port or scheme */
        add_header(transfer, field);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
}

static void
set_url(VtHttp *http, Transfer *transfer)
{
    if (transfer->path) {
        transfer->guesses = http->scheme == VT_HTTP_SCHEME_UNKNOWN;
        transfer->scheme = transfer->guesses
                               ? vt_http_guess_scheme(http->host, vt_http_tls_has_ca(http->tls))
                               : http->scheme;
        g_free(transfer->url);
        transfer->url =
            g_strconcat(transfer->scheme == VT_HTTP_SCHEME_HTTP ? "http://" : "https://",
                        http->host, transfer->path, NULL);
    }
    g_free(transfer->reply->url);
    transfer->reply->url = g_strndup(transfer->url, strcspn(transfer->url, "?"));
    curl_easy_setopt(transfer->easy, CURLOPT_URL, transfer->url);
    vt_http_proxy_set(transfer->easy, http->hosts, http->host, transfer->url);
    curl_easy_setopt(transfer->easy, CURLOPT_CONNECTTIMEOUT,
                     transfer->guesses && vt_host_is_loopback(http->host) ? PROBE_TIMEOUT_S
                                                                          : CONNECT_TIMEOUT_S);
}

static void
add_to_multi(VtHttp *http, Transfer *transfer)
{
    CURLMcode code = curl_multi_add_handle(http->multi, transfer->easy);

    /* Fails when out of memory, where GLib ends the process, too */
    g_assert(code == CURLM_OK);
}

static Transfer *
transfer_new(VtHttp *http, const VtHttpRequest *request)
{
    Transfer *transfer = g_new0(Transfer, 1);

    transfer->http = http;
    transfer->request = *request;
    transfer->body = request->body ? g_bytes_ref(request->body) : NULL;
    if (request->body)
        transfer->request.body_size = g_bytes_get_size(request->body);
    transfer->path = *request->url == '/' ? g_strdup(request->url) : NULL;
    transfer->url = g_strdup(request->url);
    transfer->reply = g_new0(VtHttpReply, 1);
    transfer->reply->method = g_strdup(request->method);
    transfer->reply->headers = g_ptr_array_new_with_free_func(g_free);
    transfer->reply->body = g_byte_array_new();
    transfer->easy =
        http->idle->len ? g_ptr_array_steal_index_fast(http->idle, 0) : curl_easy_init();
    g_assert(transfer->easy);
    set_transport(http, transfer);
    set_callbacks(transfer);
    set_request(transfer, &transfer->request);
    set_url(http, transfer);
    g_hash_table_add(http->running, transfer);
    add_to_multi(http, transfer);
    return transfer;
}

/* ---- the end of a transfer ---- */

/* A wrong guess; where plain HTTP is not allowed there is no other */
static bool
should_try_other(const VtHttp *http, const Transfer *transfer, CURLcode code)
{
    return transfer->guesses && http->scheme != transfer->scheme &&
           vt_http_plain_allowed(http, http->host) &&
           vt_http_seems_other(transfer->scheme, http->host, transfer->reply, code);
}

static void
try_other(VtHttp *http, Transfer *transfer)
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
settle_scheme(VtHttp *http, const Transfer *transfer)
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
count_requests(VtHttp *http, const Transfer *transfer)
{
    long sent = 0, redirects = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    if (sent > 0)
        http->requests += 1 + (uint64_t)redirects;
}

static void
settle_reply(Transfer *transfer, CURLcode code)
{
    VtHttpReply *reply = transfer->reply;
    const char *url = NULL;

    if (code != CURLE_OK)
        vt_http_proxy_judge(transfer->easy, code, transfer->problem, reply);
    /* What a callback found out stands; of an error answer, the beginning is all we want */
    if (reply->outcome == VT_HTTP_ANSWERED && !(code == CURLE_WRITE_ERROR && reply->status >= 300))
        reply->outcome =
            vt_http_tls_wants_client(transfer->problem) ? VT_HTTP_UNKNOWN : vt_http_outcome(code);
    if (reply->outcome != VT_HTTP_ANSWERED)
        vt_http_reply_take_problem(
            reply, *transfer->problem ? transfer->problem : curl_easy_strerror(code), NULL);
    curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
    reply->effective_url = g_strdup(url);
}

static void
release_easy(VtHttp *http, Transfer *transfer)
{
    curl_multi_remove_handle(http->multi, transfer->easy);
    curl_easy_reset(transfer->easy);
    g_ptr_array_add(http->idle, g_steal_pointer(&transfer->easy));
}

static void
end_transfer(VtHttp *http, Transfer *transfer, CURLcode code)
{
    count_requests(http, transfer);
    if (should_try_other(http, transfer, code)) {
        try_other(http, transfer);
        return;
    }
    settle_scheme(http, transfer);
    g_queue_remove(&http->paused, transfer);
    settle_reply(transfer, code);
    release_easy(http, transfer);
    g_hash_table_remove(http->running, transfer);
    transfer->ended = true;
    if (transfer->done)
        g_queue_push_tail(&http->ended, transfer);
}

/* ---- moving data ---- */

/* In turn, as far as the limit goes: each takes some KiB or waits again, behind the others */
static void
resume_paused(VtHttp *http)
{
    for (guint left = g_queue_get_length(&http->paused);
         left > 0 && vt_http_rate_wait_ms(&http->rate) == 0; left--) {
        Transfer *transfer = g_queue_pop_head(&http->paused);

        curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    }
}

/* Until something happens, at most @timeout_ms */
static void
wait_for_data(VtHttp *http, struct curl_waitfd *extra, unsigned count, int timeout_ms)
{
    if (!g_queue_is_empty(&http->paused))
        timeout_ms = MIN(timeout_ms, MAX(vt_http_rate_wait_ms(&http->rate), 1));
    curl_multi_poll(http->multi, extra, count, timeout_ms, NULL);
}

static void
move(VtHttp *http)
{
    int running = 0, left = 0;
    CURLMsg *message;

    resume_paused(http);
    curl_multi_perform(http->multi, &running);
    while ((message = curl_multi_info_read(http->multi, &left))) {
        char *transfer = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        if (message->msg == CURLMSG_DONE)
            end_transfer(http, (Transfer *)transfer, message->data.result);
    }
}

VtHttpReply *
vt_http_perform(VtHttp *http, const VtHttpRequest *request)
{
    Transfer *transfer = transfer_new(http, request);
    VtHttpReply *reply;

    for (;;) {
        move(http);
        if (transfer->ended)
            break;
        wait_for_data(http, NULL, 0, POLL_MS);
    }
    reply = g_steal_pointer(&transfer->reply);
    transfer_free(transfer);
    return reply;
}

void
vt_http_start(VtHttp *http, const VtHttpRequest *request, VtHttpDone done, void *user)
{
    Transfer *transfer = transfer_new(http, request);

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
        Transfer *transfer = g_queue_pop_head(&http->ended);

        transfer->done(transfer->user, g_steal_pointer(&transfer->reply));
        transfer_free(transfer);
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
vt_http_limit(VtHttp *http, unsigned connections, uint64_t rate)
{
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)connections);
    if (rate != http->rate.per_second)
        vt_http_rate_set(&http->rate, rate);
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
    curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)VT_HTTP_CONNECTIONS);
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
        transfer_free(transfer);
    }
    g_hash_table_unref(http->running);
    g_queue_clear(&http->paused);
    g_queue_clear_full(&http->ended, (GDestroyNotify)transfer_free);
    g_ptr_array_unref(http->idle);
    curl_multi_cleanup(http->multi);
    vt_http_tls_free(http->tls);
    vt_hosts_unref(http->hosts);
    g_free(http->host);
    g_free(http);
    curl_global_cleanup();
}
