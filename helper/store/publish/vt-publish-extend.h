/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-publish-extend.h: a version joins the catalog, whoever else publishes at the same time */
#pragma once

#include "vt-catalog.h"
#include "vt-publish.h"

/** vt_publish_lock: Publishers of one layout wait for each other; a registry has no lock to offer.
 * @ret_fd: (out): unlocks when it is closed; -1 for a registry */
bool vt_publish_lock(const VtPublisher *publisher, int *ret_fd, GError **error);

/**
 * vt_publish_extend: Writes a new catalog with @entry, which may be in the current one already
 * @ret_serial: (out): of the catalog that was found to have it, in the end
 * @error: %VT_ERROR_EXISTS: somebody else published this version; %VT_ERROR_BUSY
 */
bool vt_publish_extend(const VtPublisher *publisher, const VtPublishRequest *request,
                       const VtCatalogEntry *entry, uint64_t *ret_serial, GError **error);
