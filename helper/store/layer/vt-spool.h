/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-spool.h: room for a blob on its way to or from a registry */
#pragma once

#include "vt-error.h"

/**
 * vt_spool_open:
 * @ret_fd: (out): an unnamed empty file in $TMPDIR or /var/tmp, whose space is given back when it
 *   is closed; in memory where neither directory can be written
 */
bool vt_spool_open(int *ret_fd, GError **error);

/** vt_spool_in_memory: As vt_spool_open(), for a worker, which may open no file to write */
bool vt_spool_in_memory(int *ret_fd, GError **error);
