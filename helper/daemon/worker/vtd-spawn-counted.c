/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-spawn-counted.c: starts a worker, and counts that */
#include "vtd-spawn.h"

bool
vtd_process_start_counted(const char *program, VtdMonitor *monitor, VtdProcess *ret_process,
                          GError **error)
{
    const bool started = vtd_process_start(program, ret_process, error);

    vtd_monitor_add(monitor, started ? VTD_COUNT_WORKERS : VTD_COUNT_WORKER_FAILURES, 0, 1);
    if (started)
        ret_process->monitor = monitor;
    return started;
}
