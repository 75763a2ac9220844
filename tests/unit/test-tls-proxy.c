/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-tls-proxy.c: a registry that wants a client certificate, behind a proxy that asks for one */
#include "registry-fixture.h"
#include "vt-hosts.h"
#include "vt-json.h"

typedef struct {
    Servers servers;
    unsigned proxy;
    unsigned registry;
} Fixture;

/* NAME.pem: certificate and key */
static void
make_pem(Servers *servers, const char *name, const char *alternative)
{
    g_autofree char *command =
        g_strdup_printf("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vt-%s -addext "
                        "subjectAltName=%s -keyout %s/%s.key -out %s/%s.crt",
                        name, alternative, servers->dir, name, servers->dir, name);
    g_autofree char *cert = g_strconcat(name, ".crt", NULL), *key = g_strconcat(name, ".key", NULL);
    g_autofree char *pem = g_strconcat(name, ".pem", NULL), *both = NULL;
    char *texts[2];

    g_free(run_command(command));
    texts[0] = read_file(servers, cert);
    texts[1] = read_file(servers, key);
    both = g_strconcat(texts[0], texts[1], NULL);
    write_file(servers, pem, both);
    g_free(texts[0]);
    g_free(texts[1]);
}

/* It talks only to who shows the client's certificate */
static unsigned
start_strict_registry(Servers *servers)
{
    const unsigned port = free_port();
    g_autofree char *command = g_strdup_printf("docker-registry serve %s/config.yml", servers->dir);
    g_autofree char *config =
        g_strdup_printf("version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n"
                        "    rootdirectory: %s/data\nhttp:\n  addr: 127.0.0.1:%u\n  tls:\n"
                        "    certificate: %s/registry.crt\n    key: %s/registry.key\n"
                        "    clientcas: [%s/client.crt]\n",
                        servers->dir, port, servers->dir, servers->dir, servers->dir);

    write_file(servers, "config.yml", config);
    start_server(servers, command);
    wait_for_port(port);
    return port;
}

static void
setup(Fixture *f, gconstpointer data)
{
    g_autofree char *script = g_test_build_filename(G_TEST_DIST, "tools", "tls-proxy.py", NULL);
    g_autofree char *command = NULL, *port = NULL;

    servers_begin(&f->servers);
    make_pem(&f->servers, "proxy", "IP:127.0.0.1,DNS:localhost");
    make_pem(&f->servers, "registry", "DNS:registry.test");
    make_pem(&f->servers, "client", "DNS:client.test");
    f->registry = start_strict_registry(&f->servers);
    command = g_strconcat("/usr/bin/python3 ", script, " ", f->servers.dir, NULL);
    start_server(&f->servers, command);
    port = wait_for_file(&f->servers, "tls-proxy.port");
    f->proxy = (unsigned)g_ascii_strtoull(port, NULL, 10);
}

static void
teardown(Fixture *f, gconstpointer data)
{
    servers_end(&f->servers);
}

/* @host: of whom certs.d has something, as the daemon passes it on: the CA that is @authority, and
 * a client certificate if @with_client */
typedef struct {
    const char *host;
    unsigned port;
    const char *authority;
    bool with_client;
    const char *ca; /* (nullable): a file with more authorities */
} Question;

static VtHosts *
hosts_of(Fixture *f, const Question *question, const char *host)
{
    g_autofree char *ca = read_file(&f->servers, question->authority);
    g_autofree char *cert = read_file(&f->servers, "client.crt");
    g_autofree char *key = read_file(&f->servers, "client.key");
    g_autofree char *proxy = g_strdup_printf("https://127.0.0.1:%u", f->proxy);
    json_t *root = json_pack("{s:[], s:{s:{s:s}}, s:s}", "registry", "hosts", host, "ca", ca,
                             "https_proxy", proxy);
    json_t *entry = json_object_get(json_object_get(root, "hosts"), host);
    g_autoptr(GBytes) bytes = NULL;
    VtHosts *hosts = NULL;

    if (question->with_client) {
        json_object_set_new(entry, "cert", json_string(cert));
        json_object_set_new(entry, "key", json_string(key));
    }
    bytes = vt_json_format(root);
    json_decref(root);
    g_assert_true(vt_hosts_from_bytes(bytes, &hosts, NULL));
    return hosts;
}

static void
ask(Fixture *f, const Question *question, GError **error)
{
    g_autofree char *host = g_strdup_printf("%s:%u", question->host, question->port);
    g_autofree char *text = g_strconcat("docker://", host, "/golden", NULL);
    g_autofree char *ca_file = question->ca ? server_file(&f->servers, question->ca) : NULL;
    g_autoptr(VtHosts) hosts = hosts_of(f, question, host);
    const VtStoreOptions options = {
        .ca_file = ca_file, .hosts = hosts, .tries = 1, .layout_fd = -1};
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(VtStore) store = NULL;
    g_autoptr(GBytes) bytes = NULL;
    VtSource *source;

    g_assert_true(vt_store_url_parse(text, &url, NULL));
    g_assert_true(vt_store_open(url, &options, &store, NULL));
    source = vt_store_source(store);
    g_assert_false(source->get_manifest(source, "golden", "1", &bytes, error));
    g_test_message("%s", (*error)->message);
}

static void
ask_registry(Fixture *f, bool with_client, const char *ca, GError **error)
{
    const Question question = {"registry.test", f->registry, "registry.crt", with_client, ca};

    ask(f, &question, error);
}

static void
test_client(Fixture *f, gconstpointer data)
{
    g_autofree char *log = NULL, *line = NULL;
    g_autoptr(GError) error = NULL;

    /* the registry itself says that there is no such thing */
    ask_registry(f, true, "proxy.crt", &error);
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    log = read_file(&f->servers, "tls-proxy.log");
    line = g_strdup_printf("CONNECT registry.test:%u shown: nothing\n", f->registry);
    g_assert_cmpstr(log, ==, line);
}

static void
test_no_client(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    ask_registry(f, false, "proxy.crt", &error);
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_assert_nonnull(strstr(error->message, "the registry wants a client certificate"));
}

/* Whoever signed the registry's certificate has no say about the proxy's */
static void
test_strange_proxy(Fixture *f, gconstpointer data)
{
    g_autofree char *log = NULL;
    g_autoptr(GError) error = NULL;

    ask_registry(f, true, data, &error);
    g_assert_error(error, VT_ERROR, VT_ERROR_NETWORK);
    g_assert_nonnull(strstr(error->message, "the proxy's certificate"));
    log = read_file(&f->servers, "tls-proxy.log");
    g_assert_cmpstr(log, ==, "");
}

/* To the registry itself, and not to where it redirects */
static void
test_redirect(Fixture *f, gconstpointer data)
{
    const Question question = {"127.0.0.1", f->proxy, "proxy.crt", true, NULL};
    g_autofree char *log = NULL;
    g_autoptr(GError) error = NULL;

    ask(f, &question, &error);
    g_assert_error(error, VT_ERROR, VT_ERROR_NOT_FOUND);
    log = read_file(&f->servers, "tls-proxy.log");
    g_assert_cmpstr(log, ==,
                    "GET /v2/golden/manifests/1 shown: vt-client\nGET /there shown: nothing\n");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/tls-proxy/client", Fixture, NULL, setup, test_client, teardown);
    g_test_add("/tls-proxy/no-client", Fixture, NULL, setup, test_no_client, teardown);
    g_test_add("/tls-proxy/strange", Fixture, NULL, setup, test_strange_proxy, teardown);
    g_test_add("/tls-proxy/strange-ca", Fixture, "client.crt", setup, test_strange_proxy, teardown);
    g_test_add("/tls-proxy/redirect", Fixture, NULL, setup, test_redirect, teardown);
    return g_test_run();
}
