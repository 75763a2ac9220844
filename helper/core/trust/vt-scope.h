/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-scope.h: the scopes of a trust policy: their grammar, and which ones cover a thing */
#pragma once

#include "vt-store-url.h"

/**
 * vt_scope_problem:
 * @scope: a key below `transports.docker` or `transports.oci`; "" covers the whole transport
 *
 * Returns: (transfer none) (nullable): why @scope can never match anything, %NULL if it can
 */
const char *vt_scope_problem(VtTransport transport, const char *scope);

/**
 * vt_scope_candidates:
 * @scope: from vt_store_url_scope()
 * @tag: (nullable)
 *
 * Returns: (transfer full) (array zero-terminated=1): the scopes that cover @scope, most specific
 *   first; the last one is ""
 */
char **vt_scope_candidates(VtTransport transport, const char *scope, const char *tag);
