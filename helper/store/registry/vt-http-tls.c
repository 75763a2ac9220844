/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-tls.c: which certificates a registry may have, and which one we show it
 *
 * libcurl's own option for a client certificate holds for all hosts that a transfer is redirected
 * to. Ours is for one host: it goes into the connection to that host only.
 */
#include "vt-http-tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#define PEM_START "-----BEGIN CERTIFICATE-----"

struct VtHttpTls {
    char *host;
    GBytes *ca; /* (nullable): PEM; NULL: the system's alone */
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

void
vt_http_tls_free(VtHttpTls *tls)
{
    if (!tls)
        return;
    g_free(tls->host);
    g_clear_pointer(&tls->ca, g_bytes_unref);
    X509_free(tls->certificate);
    sk_X509_pop_free(tls->chain, X509_free);
    EVP_PKEY_free(tls->key);
    g_free(tls);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

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

static void
read_client(VtHttpTls *tls, const VtHostTls *files)
{
    g_autoptr(BIO) cert = BIO_new_mem_buf(files->cert, -1), key = BIO_new_mem_buf(files->key, -1);
    X509 *next;

    tls->certificate = PEM_read_bio_X509(cert, NULL, no_password, NULL);
    tls->chain = sk_X509_new_null();
    while ((next = PEM_read_bio_X509(cert, NULL, no_password, NULL)))
        sk_X509_push(tls->chain, next);
    tls->key = PEM_read_bio_PrivateKey(key, NULL, no_password, NULL);
}

static bool
check_client(const VtHttpTls *tls, GError **error)
{
    const char *problem = NULL;

    if (!tls->certificate)
        problem = "the *.cert file has no certificate";
    else if (!tls->key)
        problem = "the *.key file has no key without a password";
    else if (X509_check_private_key(tls->certificate, tls->key) != 1)
        problem = "key and certificate are not a pair";
    return !problem ||
           vt_throw(error, VT_ERROR_INVALID,
                    "the client certificate in /etc/containers/certs.d/%s: %s", tls->host, problem);
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

/* libcurl asks this before each connection */
static CURLcode
on_connect(CURL *easy, void *context, void *user)
{
    const VtHttpTls *tls = user;

    if (!is_own_host(easy, tls->host))
        return CURLE_OK;
    if (SSL_CTX_use_certificate(context, tls->certificate) != 1 ||
        SSL_CTX_use_PrivateKey(context, tls->key) != 1)
        return CURLE_SSL_CERTPROBLEM;
    for (int i = 0; i < sk_X509_num(tls->chain); i++) {
        if (SSL_CTX_add1_chain_cert(context, sk_X509_value(tls->chain, i)) != 1)
            return CURLE_SSL_CERTPROBLEM;
    }
    return CURLE_OK;
}

/* ---- the whole ---- */

bool
vt_http_tls_new(const VtHttpOptions *options, VtHttpTls **ret_tls, GError **error)
{
    g_autoptr(VtHttpTls) tls = g_new0(VtHttpTls, 1);
    const VtHostTls *files = options->hosts ? vt_hosts_tls(options->hosts, options->host) : NULL;

    tls->host = g_strdup(options->host);
    if (!read_cas(files ? files->ca : NULL, options->ca_file, &tls->ca, error))
        return false;
    if (files && files->cert) {
        read_client(tls, files);
        if (!check_client(tls, error))
            return false;
    }
    *ret_tls = g_steal_pointer(&tls);
    return true;
}

bool
vt_http_tls_has_ca(const VtHttpTls *tls)
{
    return tls->ca != NULL;
}

void
vt_http_tls_set(const VtHttpTls *tls, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (tls->ca) {
        struct curl_blob ca = {(void *)g_bytes_get_data(tls->ca, NULL), g_bytes_get_size(tls->ca),
                               CURL_BLOB_NOCOPY};

        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca);
    }
    if (tls->certificate) {
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_connect);
        curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, (void *)tls);
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
