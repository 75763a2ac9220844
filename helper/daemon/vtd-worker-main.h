/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-worker-main.h: the main functions of the worker processes */
#pragma once

/** vtd_worker_fetch: Serves the daemon on fd VTD_WORKER_FD until it closes it. Returns: exit status
 */
int vtd_worker_fetch(void);

/** vtd_worker_unpack: Unpacks one layer. Returns: exit status */
int vtd_worker_unpack(void);
