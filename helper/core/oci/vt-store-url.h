/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-store-url.h: where a store is, in the form of containers-transports(5) */
#pragma once

#include "vt-error.h"

typedef enum {
    VT_TRANSPORT_OCI,
    VT_TRANSPORT_DOCKER,
} VtTransport;

/**
 * VtStoreUrl:
 * @transport: which kind of store
 * @path: absolute path of the layout (oci), else %NULL
 * @host: `host[:port]`, IPv6 in brackets (docker), else %NULL
 * @prefix: repository prefix without leading or trailing '/', may be empty (docker)
 */
typedef struct {
    VtTransport transport;
    char *path;
    char *host;
    char *prefix;
} VtStoreUrl;

/**
 * vt_store_url_parse:
 * @text: `oci:/absolute/path` or `docker://host[:port][/prefix]`
 * @ret_url: (out) (transfer full): untouched on failure
 * @error: %VT_ERROR_INVALID
 */
bool vt_store_url_parse(const char *text, VtStoreUrl **ret_url, GError **error);

/** vt_store_host_check: Returns: whether @host is a name, an IPv4 address or an IPv6 address in
 *  brackets, and perhaps a port */
bool vt_store_host_check(const char *host);

/** vt_store_url_format: Returns: (transfer full): the canonical text form of @url */
char *vt_store_url_format(const VtStoreUrl *url);

/**
 * vt_store_url_repository:
 * @url: a store
 * @name: a template name or %VT_CATALOG_NAME
 *
 * Returns: (transfer full): `prefix/NAME` for docker, `NAME` for oci
 */
char *vt_store_url_repository(const VtStoreUrl *url, const char *name);

/**
 * vt_store_url_scope:
 * @url: a store
 * @name: a template name or %VT_CATALOG_NAME
 *
 * Returns: (transfer full): what a policy scope is matched with: `host/prefix/NAME` for docker,
 *   `/path` for oci
 */
char *vt_store_url_scope(const VtStoreUrl *url, const char *name);

/**
 * vt_store_url_identity:
 * @url: a store
 * @name: a template name or %VT_CATALOG_NAME
 *
 * Returns: (transfer full): the docker-reference our signatures carry: `host/prefix/NAME` for
 *   docker, `localhost/<last part of path>/NAME` for oci, which has no name of its own
 */
char *vt_store_url_identity(const VtStoreUrl *url, const char *name);

void vt_store_url_free(VtStoreUrl *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtStoreUrl, vt_store_url_free)
