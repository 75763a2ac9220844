/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry-call.c: one call to a registry: authorization, patience, and what errors mean */
#include "vt-registry.h"

#include "vt-http-header.h"
#include "vt-json.h"

#include <string.h>

/* A path through which nothing comes may be the first connection's alone, not the second's */
#define STALLS_MAX 2
/* It takes a moment to write a digest */
#define TORN_MAX 4

/* {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":...}]}
 * Returns: (transfer full): `: MANIFEST_UNKNOWN: manifest unknown`, or "" */
static char *
registry_message(const VtHttpReply *reply)
{
    g_autoptr(GBytes) bytes = g_bytes_new(reply->body->data, reply->body->len);
    g_autofree char *code = NULL, *message = NULL;
    json_t *root = NULL, *first;

    if (!vt_json_parse(bytes, "error", reply->body->len, &root, NULL))
        return g_strdup("");
    first = json_array_get(json_object_get(root, "errors"), 0);
    if (json_is_string(json_object_get(first, "code")))
        code = vt_json_shown(json_string_value(json_object_get(first, "code")));
    if (json_is_string(json_object_get(first, "message")))
        message = vt_json_shown(json_string_value(json_object_get(first, "message")));
    json_decref(root);
    return g_strconcat(code ? ": " : "", code ? code : "", message ? ": " : "",
                       message ? message : "", NULL);
}

/* No answer that could be judged by its status */
static bool
throw_outcome(const VtHttpReply *reply, GError **error)
{
    static const char *const hints[] = {
        [VT_HTTP_UNREACHABLE] = "; check the network, and that the registry runs",
        [VT_HTTP_CUT] = "; check the network, then try again",
        [VT_HTTP_STALLED] = "; check the network, then try again",
        [VT_HTTP_UNTRUSTED] =
            "; put the registry's CA into /etc/containers/certs.d/HOST:PORT/ca.crt",
        [VT_HTTP_UNKNOWN] = "; the registry wants a client certificate: put NAME.cert and NAME.key "
                            "into /etc/containers/certs.d/HOST:PORT/",
        [VT_HTTP_REFUSED] = NULL,
    };

    if (reply->outcome == VT_HTTP_TOO_LARGE)
        return vt_throw(error, VT_ERROR_TOO_LARGE, "%s %s: the answer is larger than allowed",
                        reply->method, reply->url);
    return vt_throw(error, VT_ERROR_NETWORK, "%s %s: %s%s", reply->method, reply->url,
                    reply->problem, hints[reply->outcome] ? hints[reply->outcome] : "");
}

bool
vt_registry_throw(const VtHttpReply *reply, GError **error)
{
    static const struct {
        long status;
        VtError code;
        const char *hint;
    } known[] = {
        {404, VT_ERROR_NOT_FOUND, ""},
        {405, VT_ERROR_UNSUPPORTED, ""},
        {401, VT_ERROR_NETWORK, "; check the credentials in the auth file"},
        {403, VT_ERROR_NETWORK, "; check what the user of the auth file may do"},
        {413, VT_ERROR_NETWORK, "; raise the body size limit of the proxy before the registry"},
        {429, VT_ERROR_NETWORK, "; the registry limits requests, try later"},
    };
    g_autofree char *said = NULL;

    if (reply->outcome != VT_HTTP_ANSWERED)
        return throw_outcome(reply, error);
    said = registry_message(reply);
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (reply->status == known[i].status)
            return vt_throw(error, known[i].code, "%s %s: HTTP %ld%s%s", reply->method, reply->url,
                            reply->status, said, known[i].hint);
    }
    return vt_throw(error, VT_ERROR_NETWORK, "%s %s: HTTP %ld%s", reply->method, reply->url,
                    reply->status, said);
}

static bool
is_passing(const VtRegistry *registry, const VtHttpReply *reply)
{
    static const long passing[] = {429, 500, 502, 503, 504};

    if (reply->outcome == VT_HTTP_UNREACHABLE)
        return vt_http_has_answered(registry->http);
    if (reply->outcome != VT_HTTP_ANSWERED)
        return reply->outcome == VT_HTTP_CUT || reply->outcome == VT_HTTP_STALLED;
    for (gsize i = 0; i < G_N_ELEMENTS(passing); i++) {
        if (reply->status == passing[i])
            return true;
    }
    return false;
}

/* docker-registry 2.8 verifies a manifest by files in its storage that it writes in place. One that
 * another publisher's request has just emptied is no digest. That of our bytes is right. */
static bool
is_torn(const VtHttpReply *reply)
{
    g_autofree char *said = NULL;

    if (reply->outcome != VT_HTTP_ANSWERED || reply->status != 400 ||
        !g_str_equal(reply->method, "PUT") || !strstr(reply->url, "/manifests/"))
        return false;
    said = registry_message(reply);
    return strstr(said, "DIGEST_INVALID") != NULL;
}

/* What the registry asks for, else longer each time; not the same for all hosts that saw it fail */
static int
wait_ms(int asked_s, unsigned attempt)
{
    int wait = MIN(VT_REGISTRY_WAIT_MS << MIN(attempt - 1, 10), VT_REGISTRY_WAIT_MAX_MS);

    return (asked_s >= 0 ? asked_s * 1000 : wait) + g_random_int_range(0, wait / 4 + 1);
}

bool
vt_registry_pause(VtRegistry *registry, const VtHttpReply *reply, VtAttempts *attempts,
                  int *ret_wait_ms, GError **error)
{
    const unsigned attempt = ++attempts->count;
    int asked_s = vt_retry_after_parse(vt_http_reply_header(reply, "retry-after"));

    attempts->torn += is_torn(reply);
    if (!is_passing(registry, reply) && !is_torn(reply))
        return vt_registry_throw(reply, error);
    if (asked_s > VT_REGISTRY_WAIT_MAX_MS / 1000) {
        vt_registry_throw(reply, error);
        g_prefix_error(error, "the registry wants to be left alone for %d s: ", asked_s);
        return false;
    }
    attempts->stalls += reply->outcome == VT_HTTP_STALLED;
    if (attempt >= registry->tries || attempts->stalls >= STALLS_MAX ||
        attempts->torn >= TORN_MAX) {
        vt_registry_throw(reply, error);
        g_prefix_error(error, "given up after %u attempts: ", attempt);
        return false;
    }
    registry->store.retries++;
    *ret_wait_ms = wait_ms(asked_s, attempt);
    return true;
}

bool
vt_registry_is_success(const VtHttpReply *reply)
{
    return reply->outcome == VT_HTTP_ANSWERED && reply->status >= 200 && reply->status <= 299;
}

static VtHttpReply *
send_with_authorization(VtRegistry *registry, const char *repository, const VtHttpRequest *request)
{
    VtHttpRequest authorized = *request;
    VtHttpReply *reply;

    /* A whole URL is on another host: see vt_registry_resolve() */
    if (*request->url == '/')
        authorized.authorization = vt_registry_authorization(registry, repository);
    reply = vt_http_perform(registry->http, &authorized);
    registry->store.requests = vt_http_requests(registry->http);
    return reply;
}

bool
vt_registry_ask(VtRegistry *registry, const char *repository, const VtHttpRequest *request,
                VtHttpReply **ret_reply, GError **error)
{
    g_autoptr(VtHttpReply) reply = send_with_authorization(registry, repository, request);

    if (reply->outcome == VT_HTTP_ANSWERED && reply->status == 401 && *request->url == '/') {
        if (!vt_registry_authenticate(registry, repository, reply, error))
            return false;
        /* Once: what is refused now, is refused */
        g_clear_pointer(&reply, vt_http_reply_free);
        reply = send_with_authorization(registry, repository, request);
    }
    *ret_reply = g_steal_pointer(&reply);
    return true;
}

bool
vt_registry_send(VtRegistry *registry, const char *repository, const VtHttpRequest *request,
                 VtHttpReply **ret_reply, GError **error)
{
    VtAttempts attempts = {0};

    for (;;) {
        g_autoptr(VtHttpReply) reply = NULL;
        int pause_ms;

        if (!vt_registry_ask(registry, repository, request, &reply, error))
            return false;
        if (vt_registry_is_success(reply)) {
            *ret_reply = g_steal_pointer(&reply);
            return true;
        }
        if (!vt_registry_pause(registry, reply, &attempts, &pause_ms, error))
            return false;
        vt_http_pause(registry->http, pause_ms);
    }
}

/* ---- URLs ---- */

static bool
same_origin(GUri *a, GUri *b)
{
    return g_str_equal(g_uri_get_scheme(a), g_uri_get_scheme(b)) &&
           g_ascii_strcasecmp(g_uri_get_host(a), g_uri_get_host(b)) == 0 &&
           g_uri_get_port(a) == g_uri_get_port(b);
}

bool
vt_registry_resolve(VtRegistry *registry, const VtHttpReply *reply, const char *location,
                    char **ret_url, GError **error)
{
    const GUriFlags flags = G_URI_FLAGS_ENCODED | G_URI_FLAGS_SCHEME_NORMALIZE;
    g_autoptr(GUri) base = g_uri_parse(reply->effective_url, flags, NULL);
    g_autoptr(GUri) target = base ? g_uri_parse_relative(base, location, flags, NULL) : NULL;
    g_autofree char *shown = vt_json_shown(location);
    const char *query;

    if (!target || !g_uri_get_host(target) || !*g_uri_get_host(target) ||
        g_uri_get_userinfo(target))
        return vt_throw(error, VT_ERROR_NETWORK, "%s %s: the registry names a malformed URL '%s'",
                        reply->method, reply->url, shown);
    query = g_uri_get_query(target);
    if (same_origin(base, target)) {
        *ret_url = g_strconcat(g_uri_get_path(target), query ? "?" : "", query, NULL);
        return true;
    }
    if (!g_str_equal(g_uri_get_scheme(target), "https") &&
        !(g_str_equal(g_uri_get_scheme(target), "http") &&
          vt_host_is_loopback(g_uri_get_host(target)) && vt_host_is_loopback(registry->host)))
        return vt_throw(error, VT_ERROR_NETWORK,
                        "%s %s: the registry names '%s', which is not HTTPS; tell the registry its "
                        "outside URL",
                        reply->method, reply->url, shown);
    *ret_url = g_uri_to_string(target);
    return true;
}

bool
vt_registry_next_page(VtRegistry *registry, const VtHttpReply *reply, char **ret_url,
                      GError **error)
{
    g_auto(GStrv) links = vt_http_reply_header_all(reply, "link");
    g_autofree char *next = NULL, *url = NULL;

    for (gsize i = 0; links[i] && !next; i++)
        next = vt_link_next(links[i]);
    if (next && !vt_registry_resolve(registry, reply, next, &url, error))
        return false;
    if (url && *url != '/')
        return vt_throw(error, VT_ERROR_NETWORK, "%s: the next page is on another host",
                        reply->url);
    *ret_url = g_steal_pointer(&url);
    return true;
}
