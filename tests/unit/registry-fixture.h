/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* registry-fixture.h: Debian's docker-registry on 127.0.0.1, in the ways people run it */
#pragma once

#include "server-fixture.h"

typedef enum {
    REGISTRY_PLAIN,
    REGISTRY_TLS,
    REGISTRY_BASIC,
    REGISTRY_BEARER,
} RegistryMode;

/** start_token_server: Returns: its port */
static inline unsigned
start_token_server(Servers *servers)
{
    g_autofree char *script = g_test_build_filename(G_TEST_DIST, "tools", "token-server.py", NULL);
    g_autofree char *command = g_strconcat("/usr/bin/python3 ", script, " ", servers->dir, NULL);
    g_autofree char *port = NULL;

    start_server(servers, command);
    port = wait_for_file(servers, "token.port");
    return (unsigned)g_ascii_strtoull(port, NULL, 10);
}

static inline void
make_certificate(Servers *servers)
{
    g_autofree char *command =
        g_strdup_printf("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=vt-test "
                        "-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem",
                        servers->dir, servers->dir);

    g_free(run_command(command));
}

static inline void
make_password_file(Servers *servers)
{
    g_autofree char *command =
        g_strdup_printf("htpasswd -Bbc %s/htpasswd alice secret", servers->dir);

    g_free(run_command(command));
}

/* The part of the configuration that makes the mode */
static inline char *
mode_config(Servers *servers, RegistryMode mode)
{
    switch (mode) {
    case REGISTRY_TLS:
        return g_strdup_printf("  tls:\n    certificate: %s/cert.pem\n    key: %s/key.pem\n",
                               servers->dir, servers->dir);
    case REGISTRY_BASIC:
        make_password_file(servers);
        return g_strdup_printf("auth:\n  htpasswd:\n    realm: vt\n    path: %s/htpasswd\n",
                               servers->dir);
    case REGISTRY_BEARER:
        return g_strdup_printf("auth:\n  token:\n    realm: http://127.0.0.1:%u/token\n"
                               "    service: vt-test\n    issuer: vt-test\n"
                               "    rootcertbundle: %s/cert.pem\n",
                               start_token_server(servers), servers->dir);
    case REGISTRY_PLAIN:
    default:
        return g_strdup("");
    }
}

/** start_registry: Returns: its port */
static inline unsigned
start_registry(Servers *servers, RegistryMode mode)
{
    unsigned port = free_port();
    g_autofree char *special = NULL, *config = NULL, *command = NULL;

    if (mode == REGISTRY_TLS || mode == REGISTRY_BEARER)
        make_certificate(servers);
    special = mode_config(servers, mode);
    config = g_strdup_printf("version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n"
                             "    rootdirectory: %s/data\nhttp:\n  addr: 127.0.0.1:%u\n%s",
                             servers->dir, port, special);
    write_file(servers, "config.yml", config);
    command = g_strdup_printf("docker-registry serve %s/config.yml", servers->dir);
    start_server(servers, command);
    wait_for_port(port);
    return port;
}

/** write_auth: DIR/NAME with @entry for the registry. Returns: (transfer full): its path */
static inline char *
write_auth(Servers *servers, const char *name, unsigned port, const char *entry)
{
    g_autofree char *text = g_strdup_printf("{\"auths\":{\"127.0.0.1:%u\":{%s}}}", port, entry);

    write_file(servers, name, text);
    return server_file(servers, name);
}
