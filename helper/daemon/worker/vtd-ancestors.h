/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-ancestors.h: layers on their way to a worker */
#pragma once

#include "vt-chain.h"

/** vtd_ancestors_send: A message for each of @count layers */
bool vtd_ancestors_send(int socket_fd, const VtAncestor *ancestors, uint32_t count, GError **error);

/**
 * vtd_ancestors_receive:
 * @ret_ancestors: (out) (transfer full) (element-type VtAncestor): closes the files when it is
 * freed
 */
bool vtd_ancestors_receive(int socket_fd, uint32_t count, GArray **ret_ancestors, GError **error);

/** vtd_ancestors_new: Returns: (transfer full) (element-type VtAncestor): none yet; it owns what is
 *  added */
GArray *vtd_ancestors_new(void);

/** vtd_index_read: An index blob of @size bytes that was handed over as file */
bool vtd_index_read(int fd, uint64_t size, GBytes **ret_index, GError **error);
