/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-metrics.h: what this daemon has counted, and how things are, as OpenMetrics text */
#pragma once

#include "vtd-job.h"

/**
 * VtdMetrics: the disk use of the pools, as it was last measured
 *
 * A directory may be on a server that does not answer, so that is done by a thread for each, one at
 * a time.
 */
typedef struct VtdMetrics VtdMetrics;
VtdMetrics *vtd_metrics_new(void);
/** vtd_metrics_free: Who still waits for an answer gets what is known */
void vtd_metrics_free(VtdMetrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdMetrics, vtd_metrics_free)

/**
 * vtd_metrics_measure:
 * @targets: (transfer full): of the pools
 * @done: called once in the main thread: when they were measured, or after two seconds, or at once
 *   if that was a moment ago
 */
typedef void (*VtdMeasured)(void *user);
void vtd_metrics_measure(VtdMetrics *metrics, GStrv targets, VtdMeasured done, void *user);

/** vtd_metrics_format: @pools: (element-type utf8 VtdPool). Returns: (transfer full): the text */
char *vtd_metrics_format(const VtdMetrics *metrics, VtdMonitor *monitor, VtdJobs *jobs,
                         GHashTable *pools);
