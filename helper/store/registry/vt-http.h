/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http.h: HTTP requests to one store, several at once */
#pragma once

#include "vt-hosts.h"

#include <stdint.h>

/* performance.md: 4 to 8 ranges in flight fill a link; more only burdens the registry */
#define VT_HTTP_CONNECTIONS     8
#define VT_HTTP_CONNECTIONS_MAX 32
/* Of a transfer that brings less than 1 KiB/s. libcurl looks at the last 5 s, so two such
 * attempts are over within a minute */
#define VT_HTTP_PATIENCE_S 20

/**
 * VtHttp: connections to one host, and where it redirects to
 *
 * HTTP/2 where TLS agrees on it, else HTTP/1.1 with keep-alive; a connection for each request. No
 * .netrc, no cookies, no decompression. It belongs to one thread. libcurl's global state is
 * counted: each vt_http_new() initialises it, vt_http_free() gives it back; nothing of it needs
 * privileges. Name lookups run in a thread of libcurl's.
 */
typedef struct VtHttp VtHttp;

/**
 * VtHttpOptions:
 * @host: `host[:port]`
 * @insecure: allow plain HTTP; always allowed for loopback hosts
 * @ca_file: (nullable): PEM file, trusted besides the system's CAs and those of @hosts
 * @patience_s: until a transfer that brings next to nothing is ended; 0: %VT_HTTP_PATIENCE_S
 * @hosts: (nullable): certificates and proxies
 */
typedef struct {
    const char *host;
    bool insecure;
    const char *ca_file;
    unsigned patience_s;
    const VtHosts *hosts;
} VtHttpOptions;

/** vt_http_new: Reads the CA files; no network access */
bool vt_http_new(const VtHttpOptions *options, VtHttp **ret_http, GError **error);
void vt_http_free(VtHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtHttp, vt_http_free)

/** vt_http_limit: @rate: bytes per second that the sinks of all requests together get; 0: no limit
 */
void vt_http_limit(VtHttp *http, uint64_t rate);

/** vt_http_has_answered: Returns: whether the host was there at least once */
bool vt_http_has_answered(const VtHttp *http);

/** vt_http_requests: Returns: requests that were sent, each redirect counted */
uint64_t vt_http_requests(const VtHttp *http);

/** vt_http_plain_allowed: Returns: whether plain HTTP may be spoken with @host */
bool vt_http_plain_allowed(const VtHttp *http, const char *host);

/**
 * VtHttpOutcome:
 * @VT_HTTP_ANSWERED: there is a status, and the body is whole
 * @VT_HTTP_UNREACHABLE: no connection
 * @VT_HTTP_CUT: the transfer broke off
 * @VT_HTTP_STALLED: nothing came for too long
 * @VT_HTTP_TOO_LARGE: the body is larger than the limit
 * @VT_HTTP_STOPPED: the sink stopped it
 * @VT_HTTP_UNTRUSTED: the server's certificate is not acceptable
 * @VT_HTTP_UNKNOWN: the server wants another client certificate than it got
 * @VT_HTTP_REFUSED: TLS failed, or a URL or redirect is not acceptable; no use to try again
 */
typedef enum {
    VT_HTTP_ANSWERED,
    VT_HTTP_UNREACHABLE,
    VT_HTTP_CUT,
    VT_HTTP_STALLED,
    VT_HTTP_TOO_LARGE,
    VT_HTTP_STOPPED,
    VT_HTTP_UNTRUSTED,
    VT_HTTP_UNKNOWN,
    VT_HTTP_REFUSED,
} VtHttpOutcome;

/**
 * VtHttpReply:
 * @status: 0 if no status line came
 * @method: of the request
 * @url: of the request, without its query, for messages
 * @effective_url: (nullable): the whole URL after redirects
 * @headers: (element-type utf8): `name: value`, names in lower case, of the last response; only
 *   those that registries use
 * @body: unless a sink took it; of an error, its beginning
 * @problem: (nullable): why it was not %VT_HTTP_ANSWERED
 */
typedef struct {
    VtHttpOutcome outcome;
    long status;
    char *method;
    char *url;
    char *effective_url;
    GPtrArray *headers;
    GByteArray *body;
    char *problem;
} VtHttpReply;
void vt_http_reply_free(VtHttpReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtHttpReply, vt_http_reply_free)

/** vt_http_reply_take_line: @line: of the head, "HTTP/1.1 206 Partial Content\r\n" or
 *  "Name: value\r\n"; changed */
void vt_http_reply_take_line(VtHttpReply *reply, char *line);

/** vt_http_reply_take_error: Takes the beginning of the body of an error. Returns: bytes that are
 *  of interest: @length, or 0 when it is enough */
gsize vt_http_reply_take_error(VtHttpReply *reply, const void *data, gsize length);

/** vt_http_reply_take_problem: The first one stands: who comes later knows less. @detail:
 * (nullable)
 */
void vt_http_reply_take_problem(VtHttpReply *reply, const char *what, const char *detail);

/** vt_http_reply_header: Returns: (nullable) (transfer none): value of the first field @name */
const char *vt_http_reply_header(const VtHttpReply *reply, const char *name);

/** vt_http_reply_header_all: Returns: (transfer container): values of all fields @name */
char **vt_http_reply_header_all(const VtHttpReply *reply, const char *name);

/** VtHttpSink: takes the body of a 2xx response; @reply has status and headers. Returns: go on */
typedef bool (*VtHttpSink)(void *user, const VtHttpReply *reply, const void *data, gsize length);

/** VtHttpRoom: Returns: whether the sink can take @length bytes now. If not, they are offered again
 *  when vt_http_dispatch() is called, and the server is kept waiting */
typedef bool (*VtHttpRoom)(void *user, gsize length);

/** VtHttpDone: @reply: (transfer full) */
typedef void (*VtHttpDone)(void *user, VtHttpReply *reply);

/**
 * VtHttpRequest:
 * @method: GET, HEAD, POST, PUT, PATCH
 * @url: a path on the store's host, beginning with '/', or a whole URL
 * @headers: (nullable) (array zero-terminated=1): `Name: value`
 * @authorization: (nullable): sent to the host of @url, never to another one it redirects to
 * @limit: bytes of body to accept when there is no @sink
 * @follow: follow up to 5 redirects, to HTTPS only if plain HTTP is not allowed for @host
 * @body: (nullable): to be sent
 * @body_fd: if not -1: @body_size bytes of it from @body_offset on are sent, with pread()
 * @progress: (nullable): called with the bytes of @body_fd sent so far
 * @room: (nullable): asked before @sink, with @sink_user
 */
typedef struct {
    const char *method;
    const char *url;
    const char *const *headers;
    const char *authorization;
    gsize limit;
    bool follow;
    GBytes *body;
    int body_fd;
    uint64_t body_offset;
    uint64_t body_size;
    void (*progress)(void *user, uint64_t sent);
    void *progress_user;
    VtHttpSink sink;
    VtHttpRoom room;
    void *sink_user;
} VtHttpRequest;

/**
 * vt_http_perform: Sends @request and waits; transfers that were started move on meanwhile
 *
 * Whether the host speaks HTTPS or, where that is allowed, plain HTTP is found out by the first
 * request: HTTPS is tried, and when no TLS answers, the same request goes out in plain HTTP. A bad
 * certificate never leads to plain HTTP.
 *
 * Returns: (transfer full)
 */
VtHttpReply *vt_http_perform(VtHttp *http, const VtHttpRequest *request);

/** vt_http_start: Sends @request; @done is called from vt_http_dispatch() */
void vt_http_start(VtHttp *http, const VtHttpRequest *request, VtHttpDone done, void *user);

/** vt_http_dispatch: Moves data until a started request ended, @extra_fd is readable or
 *  @timeout_ms are over; calls the @done of those that ended */
void vt_http_dispatch(VtHttp *http, int extra_fd, int timeout_ms);

/** vt_http_pause: Moves data for @timeout_ms; calls no @done */
void vt_http_pause(VtHttp *http, int timeout_ms);
