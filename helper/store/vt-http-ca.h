/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-ca.h: which certification authorities a registry's certificate may come from */
#pragma once

#include "vt-error.h"

/**
 * vt_http_ca_read:
 * @system: (nullable): PEM file of the system's CAs
 * @host: `host[:port]`; adds `/etc/containers/certs.d/HOST[:PORT]/` `*.crt` (containers-certs.d(5))
 * @ca_file: (nullable): adds this PEM file
 * @ret_pem: (out) (nullable) (transfer full): all of them, %NULL if there are only the system's
 */
bool vt_http_ca_read(const char *system, const char *host, const char *ca_file, GBytes **ret_pem,
                     GError **error);
