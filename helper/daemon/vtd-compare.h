/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-compare.h: what differs between two versions */
#pragma once

#include "vtd-document.h"

/**
 * VtdCompare: all that a thread may look at
 * @versions: from, and to
 * @read: whether the layers of both may be read, if they are here
 */
typedef struct {
    VtdReader reader;
    VtdVersion *versions[2];
    bool read;
} VtdCompare;
void vtd_compare_free(VtdCompare *compare);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdCompare, vtd_compare_free)

/**
 * vtd_compare_run: Blocks; changes nothing, and asks the store for manifests, signatures and
 * indexes
 * @ret_reply: (out) (transfer full): the `difference` of Compare in xml/virttemplate.Helper1.xml
 */
bool vtd_compare_run(VtdCompare *compare, GVariant **ret_reply, GError **error);
