/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-catalog.h: asks a store for its catalog, and verifies it */
#pragma once

#include "vt-catalog.h"
#include "vtd-verdict.h"
#include "vtd-worker.h"

/**
 * VtdCatalogQuery:
 * @policy: path of the policy
 * @known: (nullable): digest of the catalog's manifest that is known and trusted
 */
typedef struct {
    const VtdWorkerConfig *workers;
    VtStoreUrl *url;
    char *policy;
    VtDigest *known;
} VtdCatalogQuery;
void vtd_catalog_query_free(VtdCatalogQuery *query);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdCatalogQuery, vtd_catalog_query_free)

/**
 * VtdCatalogAnswer:
 * @catalog: (nullable): %NULL if the known one is the current one
 */
typedef struct {
    VtCatalog *catalog;
    VtDigest manifest;
    GBytes *document;
    GBytes *proofs;
    VtdVerdict *verdict;
} VtdCatalogAnswer;
void vtd_catalog_answer_free(VtdCatalogAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdCatalogAnswer, vtd_catalog_answer_free)

/**
 * vtd_catalog_ask:
 *
 * Blocks; for a thread. One request when nothing has changed.
 *
 * @error: %VT_ERROR_NETWORK, %VT_ERROR_UNTRUSTED, %VT_ERROR_POLICY, %VT_ERROR_CORRUPT,
 *   %VT_ERROR_INVALID; %VT_ERROR_NOT_FOUND if the store has no catalog
 */
bool vtd_catalog_ask(const VtdCatalogQuery *query, GCancellable *cancellable,
                     VtdCatalogAnswer **ret_answer, GError **error);
