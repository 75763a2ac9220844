/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-mirrored.c: several rules of registries.conf, one host; and a proxy that has rules, too */
#include "server-fixture.h"
#include "vt-hosts.h"

/* Of the same server: where plain HTTP has to be allowed, unlike at 127.0.0.1 */
#define ELSEWHERE "0.0.0.0"

typedef struct {
    Servers servers;
    unsigned port, other_port;
} Fixture;

static void
setup(Fixture *f, gconstpointer data)
{
    servers_begin(&f->servers);
    start_fault_registry(&f->servers, &f->port, &f->other_port);
}

static void
teardown(Fixture *f, gconstpointer data)
{
    servers_end(&f->servers);
}

/* @rules: JSON, in which PORT stands for the server's */
static VtStore *
open_with(Fixture *f, const char *rules)
{
    g_auto(GStrv) parts = g_strsplit(rules, "PORT", -1);
    g_autofree char *port = g_strdup_printf("%u", f->port), *text = g_strjoinv(port, parts);
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    g_autoptr(VtHosts) hosts = NULL;
    g_autoptr(VtStoreUrl) url = NULL;
    g_autoptr(GError) error = NULL;
    VtStoreOptions options = {.layout_fd = -1, .tries = 3};
    VtStore *store = NULL;

    vt_hosts_from_bytes(bytes, &hosts, &error);
    g_assert_no_error(error);
    g_assert_true(vt_store_url_parse("docker://registry.test", &url, &error));
    options.hosts = hosts;
    g_assert_true(vt_store_open(url, &options, &store, &error));
    return store;
}

static void
assert_manifest(VtStore *store, const char *repository, const char *needle)
{
    VtSource *source = vt_store_source(store);
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;
    const bool ok = source->get_manifest(source, repository, "1", &bytes, &error);

    g_test_message("%s: %s", repository, error ? error->message : "fine");
    g_assert_cmpint(ok, ==, !needle);
    g_assert_true(ok || strstr(error->message, needle));
}

/* One rule lets a host speak plain HTTP; the other one, for the same host, does not. Whichever is
 * used first. */
static void
test_insecure(Fixture *f, gconstpointer data)
{
    static const char rules[] =
        "{\"registry\":["
        "{\"prefix\":\"registry.test/lab\",\"location\":\"" ELSEWHERE ":PORT/good\","
        "\"insecure\":true},"
        "{\"prefix\":\"registry.test/prod\",\"location\":\"" ELSEWHERE ":PORT/good\"}]}";
    static const char *const orders[][3] = {{"lab", "prod", "lab"}, {"prod", "lab", "prod"}};

    for (gsize i = 0; i < G_N_ELEMENTS(orders); i++) {
        g_autoptr(VtStore) store = open_with(f, rules);

        for (gsize j = 0; j < G_N_ELEMENTS(orders[i]); j++)
            assert_manifest(store, orders[i][j],
                            g_str_equal(orders[i][j], "prod") ? "https://" ELSEWHERE : NULL);
    }
}

/* Asking it again would take half a minute, and get the same answer */
static void
test_proxy_refuses(Fixture *f, gconstpointer data)
{
    g_autoptr(VtStore) store =
        open_with(f, "{\"registry\":[],\"https_proxy\":\"http://127.0.0.1:PORT\"}");
    g_autofree char *log = NULL;

    assert_manifest(store, "good", "the proxy refuses to connect, by HTTP 403");
    log = read_file(&f->servers, "log");
    g_assert_nonnull(strstr(log, " CONNECT registry.test:443 "));
    g_assert_true(strstr(log, " CONNECT ") == g_strrstr(log, " CONNECT "));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/mirrored/insecure", Fixture, NULL, setup, test_insecure, teardown);
    g_test_add("/mirrored/proxy-refuses", Fixture, NULL, setup, test_proxy_refuses, teardown);
    return g_test_run();
}
