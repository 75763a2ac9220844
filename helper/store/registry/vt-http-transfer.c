/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-transfer.c: one request on its way, and its reply */
#include "vt-http-transfer.h"

#include "vt-http-outcome.h"
#include "vt-http-proxy.h"
#include "vt-http-tls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define REDIRECTS_MAX 5L

/* ---- what curl calls ---- */

static size_t
on_header(char *data, size_t size, size_t count, void *user)
{
    g_autofree char *line = g_strndup(data, size * count);

    vt_http_reply_take_line(((VtHttpTransfer *)user)->reply, line);
    return size * count;
}

static size_t
give_to_sink(VtHttpTransfer *transfer, const char *data, size_t length)
{
    const VtHttpRequest *request = &transfer->request;

    /* When the sink says so after a pause, libcurl does not end the transfer */
    if (transfer->reply->outcome == VT_HTTP_STOPPED)
        return 0;
    if (request->room && !request->room(request->sink_user, length)) {
        transfer->no_room = length;
        g_queue_push_tail(&transfer->flow->held, transfer);
        return CURL_WRITEFUNC_PAUSE;
    }
    if (!vt_http_rate_take(&transfer->flow->rate, length)) {
        g_queue_push_tail(&transfer->flow->paused, transfer);
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
    VtHttpTransfer *transfer = user;
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
    VtHttpTransfer *transfer = user;
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
    VtHttpTransfer *transfer = user;

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

/* ---- the request ---- */

static void
set_callbacks(VtHttpTransfer *transfer)
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
add_header(VtHttpTransfer *transfer, const char *field)
{
    struct curl_slist *headers = curl_slist_append(transfer->headers, field);

    g_assert(headers);
    transfer->headers = headers;
}

static void
set_request(VtHttpTransfer *transfer, const VtHttpRequest *request)
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

VtHttpTransfer *
vt_http_transfer_new(const VtHttpRequest *request, CURL *easy, VtHttpFlow *flow)
{
    VtHttpTransfer *transfer = g_new0(VtHttpTransfer, 1);

    transfer->easy = easy;
    transfer->flow = flow;
    transfer->request = *request;
    transfer->body = request->body ? g_bytes_ref(request->body) : NULL;
    if (request->body)
        transfer->request.body_size = g_bytes_get_size(request->body);
    transfer->path = *request->url == '/' ? g_strdup(request->url) : NULL;
    transfer->reply = g_new0(VtHttpReply, 1);
    transfer->reply->method = g_strdup(request->method);
    transfer->reply->headers = g_ptr_array_new_with_free_func(g_free);
    transfer->reply->body = g_byte_array_new();
    set_callbacks(transfer);
    set_request(transfer, &transfer->request);
    return transfer;
}

void
vt_http_transfer_free(VtHttpTransfer *transfer)
{
    curl_slist_free_all(transfer->headers);
    g_free(transfer->path);
    g_free(transfer->url);
    g_clear_pointer(&transfer->body, g_bytes_unref);
    vt_http_reply_free(transfer->reply);
    g_free(transfer);
}

void
vt_http_transfer_set_url(VtHttpTransfer *transfer, char *url)
{
    g_free(transfer->url);
    transfer->url = url;
    g_free(transfer->reply->url);
    transfer->reply->url = g_strndup(url, strcspn(url, "?"));
    curl_easy_setopt(transfer->easy, CURLOPT_URL, url);
}

/* ---- the reply ---- */

uint64_t
vt_http_transfer_requests(const VtHttpTransfer *transfer)
{
    long sent = 0, redirects = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    return sent > 0 ? 1 + (uint64_t)redirects : 0;
}

void
vt_http_transfer_settle(VtHttpTransfer *transfer, CURLcode code)
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
