/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-registry-auth.c: Basic authentication and Bearer tokens */
#include "vt-registry.h"

#include "vt-auth-file.h"
#include "vt-http-header.h"
#include "vt-json.h"

#include <string.h>

/*
 * Theory of operation. A registry answers 401 and names either Basic, or a token server:
 *
 *     WWW-Authenticate: Bearer realm="https://host/token",service="s",scope="repository:a/b:pull"
 *
 * GET realm?service=s&scope=... gives {"token":"..."}, which goes into the next request. The realm
 * is the registry's choice, so a hostile one could collect passwords with it: credentials go to a
 * realm on the registry's own host, or one that is known to belong to it, and only over HTTPS or
 * within this machine. To any other realm we go without credentials.
 */

/* Tokens of some KiB are common */
#define TOKEN_ANSWER_MAX (1u << 20)
/* Token protocol: what a server means that does not say, and the least it may say */
#define TOKEN_SECONDS_MIN 60
#define TOKEN_SECONDS_MAX 86400
/* A token that ends within this is not begun with */
#define TOKEN_MARGIN_S 10
#define CLIENT_ID      "virt-template"

/* Token servers on another host than their registry's */
static const struct {
    const char *registry, *realm;
} realms[] = {
    {"docker.io", "auth.docker.io"},
    {"registry-1.docker.io", "auth.docker.io"},
};

struct VtAuthorization {
    char *header;
    gint64 expires;
};

void
vt_authorization_free(VtAuthorization *authorization)
{
    /* Not left in freed memory */
    memset(authorization->header, 0, strlen(authorization->header));
    g_free(authorization->header);
    g_free(authorization);
}

const char *
vt_registry_authorization(VtRegistry *registry, const char *repository)
{
    const VtAuthorization *found = g_hash_table_lookup(registry->authorizations, repository);

    if (!found || g_get_monotonic_time() >= found->expires)
        return NULL;
    return found->header;
}

/* @header: (transfer full) */
static void
remember(VtRegistry *registry, const char *repository, char *header, gint64 expires)
{
    VtAuthorization *authorization = g_new0(VtAuthorization, 1);

    authorization->header = header;
    authorization->expires = expires;
    g_hash_table_replace(registry->authorizations, g_strdup(repository), authorization);
}

static char *
basic_header(const VtCredentials *credentials)
{
    g_autofree char *pair = g_strconcat(credentials->user, ":", credentials->password, NULL);
    g_autofree char *encoded = g_base64_encode((const guchar *)pair, strlen(pair));

    return g_strconcat("Basic ", encoded, NULL);
}

static bool
find_credentials(VtRegistry *registry, const char *repository, VtCredentials **ret_credentials,
                 GError **error)
{
    *ret_credentials = NULL;
    return !registry->auth_file || vt_auth_file_find(registry->auth_file, registry->host,
                                                     repository, ret_credentials, error);
}

/* ---- Basic ---- */

static bool
use_basic(VtRegistry *registry, const char *repository, const VtHttpReply *reply,
          const VtCredentials *credentials, GError **error)
{
    if (!credentials || !*credentials->user)
        return vt_throw(error, VT_ERROR_NETWORK,
                        "%s %s: HTTP 401: the registry asks for user and password, and the auth "
                        "file has none for '%s'",
                        reply->method, reply->url, registry->host);
    if (!g_str_has_prefix(reply->effective_url, "https:") && !vt_host_is_loopback(registry->host))
        return vt_throw(error, VT_ERROR_NETWORK,
                        "%s %s: HTTP 401: passwords are not sent over plain HTTP; give the "
                        "registry a certificate",
                        reply->method, reply->url);
    remember(registry, repository, basic_header(credentials), G_MAXINT64);
    return true;
}

/* ---- Bearer ---- */

/* Whether a request, without credentials, may go to the realm */
static bool
check_realm(VtRegistry *registry, GUri *realm, const char *text, GError **error)
{
    const char *host = realm ? g_uri_get_host(realm) : NULL;
    g_autofree char *shown = vt_json_shown(text);

    if (!host || !*host || g_uri_get_userinfo(realm))
        return vt_throw(error, VT_ERROR_NETWORK,
                        "registry '%s' names a malformed token server '%s'", registry->host, shown);
    if (vt_host_is_loopback(host) && !vt_host_is_loopback(registry->host))
        return vt_throw(error, VT_ERROR_NETWORK,
                        "registry '%s' names a token server on this machine, '%s'; not used",
                        registry->host, shown);
    if (g_str_equal(g_uri_get_scheme(realm), "https") ||
        (g_str_equal(g_uri_get_scheme(realm), "http") && vt_host_is_loopback(host)))
        return true;
    return vt_throw(error, VT_ERROR_NETWORK,
                    "registry '%s' names a token server without HTTPS, '%s'; not used",
                    registry->host, shown);
}

/* Whether the realm may see credentials for the registry; check_realm() said yes already */
static bool
is_own_realm(VtRegistry *registry, GUri *realm)
{
    g_autofree char *own = vt_host_name(registry->host);
    g_autofree char *name = g_ascii_strdown(g_uri_get_host(realm), -1);

    /* GUri gives [::1] without the brackets */
    if (g_str_equal(own, name) || (vt_host_is_loopback(own) && vt_host_is_loopback(name)))
        return true;
    for (gsize i = 0; i < G_N_ELEMENTS(realms); i++) {
        if (g_str_equal(own, realms[i].registry) && g_str_equal(name, realms[i].realm))
            return true;
    }
    return false;
}

/* What is asked for: for a store that is pushed to, both at once; else what the registry says */
static char *
scope_of(VtRegistry *registry, const char *repository, const VtChallenge *challenge)
{
    if (!registry->store.writable && challenge->scope)
        return g_strdup(challenge->scope);
    return g_strconcat("repository:", repository, registry->store.writable ? ":pull,push" : ":pull",
                       NULL);
}

static void
add_parameter(GString *text, const char *name, const char *value)
{
    if (text->len > 0)
        g_string_append_c(text, '&');
    g_string_append(text, name);
    g_string_append_c(text, '=');
    g_string_append_uri_escaped(text, value, NULL, FALSE);
}

typedef struct {
    const VtChallenge *challenge;
    const char *scope;
    const VtCredentials *credentials;
} TokenRequest;

static VtHttpReply *
get_token(VtRegistry *registry, const TokenRequest *token)
{
    g_autoptr(GString) query = g_string_new(NULL);
    g_autofree char *url = NULL, *authorization = NULL;
    VtHttpRequest request = {.method = "GET", .limit = TOKEN_ANSWER_MAX, .body_fd = -1};

    if (token->challenge->service)
        add_parameter(query, "service", token->challenge->service);
    add_parameter(query, "scope", token->scope);
    url = g_strconcat(token->challenge->realm, strchr(token->challenge->realm, '?') ? "&" : "?",
                      query->str, NULL);
    if (token->credentials)
        authorization = basic_header(token->credentials);
    request.url = url;
    request.authorization = authorization;
    return vt_http_perform(registry->http, &request);
}

static VtHttpReply *
post_identity_token(VtRegistry *registry, const TokenRequest *token)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    GString *form = g_string_new(NULL);
    g_autoptr(GBytes) body = NULL;
    VtHttpRequest request = {.method = "POST",
                             .url = token->challenge->realm,
                             .headers = headers,
                             .limit = TOKEN_ANSWER_MAX,
                             .body_fd = -1};

    add_parameter(form, "grant_type", "refresh_token");
    if (token->challenge->service)
        add_parameter(form, "service", token->challenge->service);
    add_parameter(form, "client_id", CLIENT_ID);
    add_parameter(form, "scope", token->scope);
    add_parameter(form, "refresh_token", token->credentials->identity_token);
    body = g_string_free_to_bytes(form);
    request.body = body;
    return vt_http_perform(registry->http, &request);
}

static bool
is_token(const char *text)
{
    for (const char *at = text; *at; at++) {
        if (!g_ascii_isgraph(*at))
            return false;
    }
    return *text != '\0';
}

/* {"token":"...","expires_in":300} or {"access_token":"..."} */
static bool
read_token(const VtHttpReply *reply, char **ret_token, gint64 *ret_seconds, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(reply->body->data, reply->body->len);
    json_t *root = NULL, *token;
    gint64 seconds;
    bool ok;

    if (!vt_json_parse(bytes, "answer of the token server", TOKEN_ANSWER_MAX, &root, error)) {
        g_prefix_error(error, "%s: ", reply->url);
        return false;
    }
    token = json_object_get(root, "token");
    if (!json_is_string(token))
        token = json_object_get(root, "access_token");
    seconds = json_integer_value(json_object_get(root, "expires_in"));
    ok = json_is_string(token) && is_token(json_string_value(token));
    if (ok) {
        *ret_token = g_strdup(json_string_value(token));
        *ret_seconds = CLAMP(seconds, TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX);
    } else {
        vt_throw(error, VT_ERROR_NETWORK, "%s: the token server's answer has no token", reply->url);
    }
    json_decref(root);
    return ok;
}

static VtHttpReply *
ask_once(VtRegistry *registry, const TokenRequest *token)
{
    return token->credentials && token->credentials->identity_token
               ? post_identity_token(registry, token)
               : get_token(registry, token);
}

/* What passes is asked for again, as documents are. That the token server knows no such page says
 * nothing about what the registry has. */
static bool
ask_token_server(VtRegistry *registry, const TokenRequest *token, VtHttpReply **ret_reply,
                 GError **error)
{
    VtAttempts attempts = {0};
    GError *local = NULL;
    int pause_ms;

    for (;;) {
        g_autoptr(VtHttpReply) reply = ask_once(registry, token);

        if (reply->outcome == VT_HTTP_ANSWERED && reply->status == 200) {
            *ret_reply = g_steal_pointer(&reply);
            return true;
        }
        if (!vt_registry_pause(registry, reply, &attempts, &pause_ms, &local))
            break;
        vt_http_pause(registry->http, pause_ms);
    }
    if (g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_UNSUPPORTED))
        local->code = VT_ERROR_NETWORK;
    g_propagate_prefixed_error(error, local, "token server: ");
    return false;
}

static bool
use_bearer(VtRegistry *registry, const char *repository, const VtChallenge *challenge,
           const VtCredentials *credentials, GError **error)
{
    g_autoptr(GUri) realm =
        g_uri_parse(challenge->realm, G_URI_FLAGS_ENCODED | G_URI_FLAGS_SCHEME_NORMALIZE, NULL);
    g_autofree char *scope = scope_of(registry, repository, challenge), *text = NULL;
    TokenRequest token = {challenge, scope, NULL};
    gint64 asked = g_get_monotonic_time(), seconds = 0;
    g_autoptr(VtHttpReply) reply = NULL;

    if (!check_realm(registry, realm, challenge->realm, error))
        return false;
    if (credentials && is_own_realm(registry, realm))
        token.credentials = credentials;
    if (!ask_token_server(registry, &token, &reply, error)) {
        if (credentials && !token.credentials)
            g_prefix_error(error, "no password is sent there, it is not the registry's host: ");
        return false;
    }
    if (!read_token(reply, &text, &seconds, error))
        return false;
    remember(registry, repository, g_strconcat("Bearer ", text, NULL),
             asked + (seconds - TOKEN_MARGIN_S) * G_USEC_PER_SEC);
    return true;
}

/* ---- both ---- */

bool
vt_registry_authenticate(VtRegistry *registry, const char *repository, const VtHttpReply *reply,
                         GError **error)
{
    g_auto(GStrv) values = vt_http_reply_header_all(reply, "www-authenticate");
    g_autoptr(VtChallenge) challenge = NULL;
    g_autoptr(VtCredentials) credentials = NULL;

    g_hash_table_remove(registry->authorizations, repository);
    /* A redirect's target has no say in where our password goes */
    if (!g_str_has_prefix(reply->effective_url, reply->url))
        return vt_registry_throw(reply, error);
    if (!vt_challenge_parse((const char *const *)values, &challenge, error)) {
        g_prefix_error(error, "%s %s: HTTP 401: ", reply->method, reply->url);
        return false;
    }
    if (!find_credentials(registry, repository, &credentials, error))
        return false;
    if (challenge->scheme == VT_AUTH_BASIC)
        return use_basic(registry, repository, reply, credentials, error);
    return use_bearer(registry, repository, challenge, credentials, error);
}
