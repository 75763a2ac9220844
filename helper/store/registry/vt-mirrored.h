/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-mirrored.h: a registry for which rules of registries.conf name other hosts */
#pragma once

#include "vt-http.h"
#include "vt-store-ops.h"

/** vt_mirrored_open: As vt_registry_open(); @options have hosts */
bool vt_mirrored_open(const VtStoreUrl *url, const VtStoreOptions *options, VtStore **ret_store,
                      GError **error);
