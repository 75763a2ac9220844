/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-hosts.h: what this machine is told about registries: rules, certificates, proxies */
#pragma once

#include "vt-registries.h"
#include "vt-store-url.h"

/* Bundles of CAs have some hundred KiB */
#define VT_HOSTS_MAX (8u << 20)

/**
 * VtHostTls: PEM of `/etc/containers/certs.d/HOST[:PORT]/`, containers-certs.d(5)
 * @ca: (nullable): all `*.crt`
 * @cert: (nullable): the first `*.cert`; with @key
 * @key: (nullable): the `*.key` of its name
 */
typedef struct {
    char *ca;
    char *cert;
    char *key;
} VtHostTls;

/**
 * VtHosts: never changes
 * @registries: of `/etc/containers/registries.conf` and `registries.conf.d/`, for one store
 * @https_proxy: (nullable): URL; @http_proxy alike
 * @no_proxy: (nullable): hosts that are asked directly
 */
typedef struct {
    VtRegistries *registries;
    GHashTable *tls;
    char *https_proxy;
    char *http_proxy;
    char *no_proxy;
} VtHosts;

/**
 * vt_hosts_read: Reads the files, and the environment variables `https_proxy` (or `HTTPS_PROXY`),
 *   `http_proxy` and `no_proxy` (or `NO_PROXY`)
 * @url: certificates are read for its host and for those that rules for it, or for what is below
 * it, name; other rules are left out
 * @error: names the file
 */
bool vt_hosts_read(const VtStoreUrl *url, VtHosts **ret_hosts, GError **error);

/** vt_hosts_ref: Returns: (transfer full): @hosts */
VtHosts *vt_hosts_ref(const VtHosts *hosts);
void vt_hosts_unref(VtHosts *hosts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtHosts, vt_hosts_unref)

/** vt_hosts_tls: Returns: (transfer none) (nullable): of `host[:port]` */
const VtHostTls *vt_hosts_tls(const VtHosts *hosts, const char *host);

/** vt_hosts_to_bytes: Returns: (transfer full): for a process that may not read the files */
GBytes *vt_hosts_to_bytes(const VtHosts *hosts);
bool vt_hosts_from_bytes(GBytes *bytes, VtHosts **ret_hosts, GError **error);
