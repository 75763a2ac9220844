/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-tls.c: which certificates a registry may have, and which one we show it
 *
 * libcurl's own option for a client certificate holds for the registry and for all hosts that a
 * transfer is redirected to, but not for a proxy. Ours is for one host: it is taken out of the
 * connections to other ones. A proxy has authorities of its own, and is shown nothing.
 */
#include "vt-http-tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#define PEM_START "-----BEGIN CERTIFICATE-----"

struct VtHttpTls {
    char *host;
    /* (nullable): PEM; NULL: the system's alone */
    GBytes *ca;
    GBytes *proxy_ca;
    VtHosts *hosts;          /* (nullable): what the next one belongs to */
    const VtHostTls *client; /* (nullable): with certificate and key, PEM */
};

void
vt_http_tls_free(VtHttpTls *tls)
{
    if (!tls)
        return;
    g_free(tls->host);
    g_clear_pointer(&tls->ca, g_bytes_unref);
    g_clear_pointer(&tls->proxy_ca, g_bytes_unref);
    vt_hosts_unref(tls->hosts);
    g_free(tls);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)

/* ---- CAs ---- */

static bool
add_file(GString *pem, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) local = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, &local))
        return vt_throw(error, VT_ERROR_FAILED, "cannot read the CA file '%s': %s", path,
                        local->message);
    if (!g_strstr_len(text, (gssize)length, PEM_START))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the CA file '%s' has no certificate in PEM form (" PEM_START ")", path);
    g_string_append_len(pem, text, (gssize)length);
    g_string_append_c(pem, '\n');
    return true;
}

static bool
read_cas(const char *configured, const char *ca_file, GBytes **ret_pem, GError **error)
{
    const char *system = curl_version_info(CURLVERSION_NOW)->cainfo;
    g_autoptr(GString) pem = g_string_new(configured);

    if (ca_file && !add_file(pem, ca_file, error))
        return false;
    if (pem->len > 0 && system && g_file_test(system, G_FILE_TEST_EXISTS) &&
        !add_file(pem, system, error))
        return false;
    *ret_pem = pem->len ? g_string_free_to_bytes(g_steal_pointer(&pem)) : NULL;
    return true;
}

/* ---- the client's certificate ---- */

/* Nobody is here to type it */
static int
no_password(char *buffer, int size, int writing, void *user)
{
    return -1;
}

/* libcurl would find out at the first request, and not say which file */
static bool
check_client(const VtHostTls *files, const char *host, GError **error)
{
    g_autoptr(BIO) cert = BIO_new_mem_buf(files->cert, -1), pem = BIO_new_mem_buf(files->key, -1);
    g_autoptr(X509) certificate = PEM_read_bio_X509(cert, NULL, no_password, NULL);
    g_autoptr(EVP_PKEY) key = PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL);
    const char *problem = NULL;

    if (!certificate)
        problem = "the *.cert file has no certificate";
    else if (!key)
        problem = "the *.key file has no key without a password";
    else if (X509_check_private_key(certificate, key) != 1)
        problem = "key and certificate are not a pair";
    return !problem ||
           vt_throw(error, VT_ERROR_INVALID,
                    "the client certificate in /etc/containers/certs.d/%s: %s", host, problem);
}

static bool
is_own_host(CURL *easy, const char *host)
{
    g_autoptr(GUri) uri = NULL;
    g_autofree char *name = NULL;
    const char *url = NULL;

    curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url);
    uri = url ? g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL) : NULL;
    if (!uri || !g_uri_get_host(uri))
        return false;
    if (g_uri_get_port(uri) < 0 || g_uri_get_port(uri) == 443)
        return g_ascii_strcasecmp(g_uri_get_host(uri), host) == 0 ||
               (g_str_has_suffix(host, ":443") &&
                g_ascii_strncasecmp(g_uri_get_host(uri), host, strlen(host) - 4) == 0);
    name = g_strdup_printf(strchr(g_uri_get_host(uri), ':') ? "[%s]:%d" : "%s:%d",
                           g_uri_get_host(uri), g_uri_get_port(uri));
    return g_ascii_strcasecmp(name, host) == 0;
}

/* Once the other side has asked for a certificate */
static int
show_nothing(SSL *ssl, void *user)
{
    SSL_certs_clear(ssl);
    return 1;
}

/* libcurl asks this before each connection */
static CURLcode
on_connect(CURL *easy, void *context, void *user)
{
    const VtHttpTls *tls = user;

    if (!is_own_host(easy, tls->host))
        SSL_CTX_set_cert_cb(context, show_nothing, NULL);
    return CURLE_OK;
}

/* ---- the whole ---- */

bool
vt_http_tls_new(const VtHttpOptions *options, VtHttpTls **ret_tls, GError **error)
{
    g_autoptr(VtHttpTls) tls = g_new0(VtHttpTls, 1);
    const VtHostTls *files = options->hosts ? vt_hosts_tls(options->hosts, options->host) : NULL;

    tls->host = g_strdup(options->host);
    /* what certs.d has is for the registry, not for whatever is between */
    if (!read_cas(files ? files->ca : NULL, options->ca_file, &tls->ca, error) ||
        !read_cas(NULL, options->ca_file, &tls->proxy_ca, error))
        return false;
    if (files && files->cert) {
        if (!check_client(files, tls->host, error))
            return false;
        tls->hosts = vt_hosts_ref(options->hosts);
        tls->client = files;
    }
    *ret_tls = g_steal_pointer(&tls);
    return true;
}

bool
vt_http_tls_has_ca(const VtHttpTls *tls)
{
    return tls->ca != NULL;
}

/* @data: outlives the transfer */
static void
set_blob(CURL *easy, CURLoption option, const void *data, size_t size)
{
    struct curl_blob blob = {(void *)(uintptr_t)data, size, CURL_BLOB_NOCOPY};

    curl_easy_setopt(easy, option, &blob);
}

static void
set_cas(CURL *easy, CURLoption option, GBytes *pem)
{
    if (pem)
        set_blob(easy, option, g_bytes_get_data(pem, NULL), g_bytes_get_size(pem));
}

void
vt_http_tls_set(const VtHttpTls *tls, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set_cas(easy, CURLOPT_CAINFO_BLOB, tls->ca);
    set_cas(easy, CURLOPT_PROXY_CAINFO_BLOB, tls->proxy_ca);
    /* only where it can be taken out again */
    if (tls->client && curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_connect) == CURLE_OK) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, (void *)tls);
        set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->client->cert, strlen(tls->client->cert));
        set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->client->key, strlen(tls->client->key));
    }
}

bool
vt_http_tls_wants_client(const char *problem)
{
    static const char *const alerts[] = {"alert certificate required", "alert bad certificate",
                                         "alert unknown ca", "alert certificate unknown",
                                         "alert certificate expired"};

    for (gsize i = 0; i < G_N_ELEMENTS(alerts); i++) {
        if (strstr(problem, alerts[i]))
            return true;
    }
    return false;
}
