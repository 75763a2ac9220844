/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-monitor.h: what this daemon has counted since it started; from any thread */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * VtdCounter: a family of counters; each has the labels that its row in vtd-monitor.c lists
 */
typedef enum {
    VTD_COUNT_FETCHED_BYTES,
    VTD_COUNT_REQUESTS,
    VTD_COUNT_RETRIES,
    VTD_COUNT_JOBS,          /* by vtd_monitor_job() */
    VTD_COUNT_REFUSALS,      /* by vtd_monitor_refusal() */
    VTD_COUNT_PEER_REFUSALS, /* VtdPeerRefusal */
    VTD_COUNT_CLONES,        /* VtdCloneKind */
    VTD_COUNT_EVICTIONS,
    VTD_COUNT_VERIFIED_BYTES,
    VTD_COUNT_DAMAGED_PLACES,
    VTD_COUNT_REPAIRED_LAYERS,
    VTD_COUNT_RECOVERIES,
    VTD_COUNT_WORKERS,
    VTD_COUNT_WORKER_FAILURES,
    VTD_COUNT_LAST, /*< skip >*/
} VtdCounter;

/* Labels of VTD_COUNT_PEER_REFUSALS */
typedef enum {
    VTD_PEER_READ_ONLY,
    VTD_PEER_NOT_OWNER,
    VTD_PEER_TOO_MANY,
    VTD_PEER_AUTHENTICATION,
} VtdPeerRefusal;

/* Labels of VTD_COUNT_CLONES: whose overlay is ours, a full copy, an overlay of somebody else */
typedef enum {
    VTD_CLONE_LINKED,
    VTD_CLONE_COPY,
    VTD_CLONE_RECORDED,
} VtdCloneKind;

typedef struct VtdMonitor VtdMonitor;
VtdMonitor *vtd_monitor_new(void);
void vtd_monitor_free(VtdMonitor *monitor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtdMonitor, vtd_monitor_free)

/** vtd_monitor_add: @monitor: (nullable); @label: of the counter; 0 if it has none */
void vtd_monitor_add(VtdMonitor *monitor, VtdCounter counter, unsigned label, uint64_t amount);

/** vtd_monitor_job: @kind: fetch, verify, repair or copy; @outcome: done, failed or cancelled */
void vtd_monitor_job(VtdMonitor *monitor, const char *kind, const char *outcome);

/** vtd_monitor_refusal: @reason: of vtd_event_reason() */
void vtd_monitor_refusal(VtdMonitor *monitor, const char *reason);

/**
 * vtd_monitor_peer_refused: Counts it
 * @ret_unsaid: (out): how many were not logged since the last one that was
 *
 * Returns: whether it is to be logged. Everybody can be refused as often as he likes; what he does
 * must not push other records out of the journal.
 */
bool vtd_monitor_peer_refused(VtdMonitor *monitor, VtdPeerRefusal reason, unsigned *ret_unsaid);

/**
 * VtdFamily: what stands above the samples of one family of OpenMetrics
 * @type: counter, gauge or info
 * @unit: (nullable): the end of the name
 */
typedef struct {
    const char *name;
    const char *type;
    const char *unit;
    const char *help;
} VtdFamily;
/** vtd_family_format: Appends the lines that say what it is */
void vtd_family_format(const VtdFamily *family, GString *text);

/** vtd_monitor_format: Appends the counters as OpenMetrics text */
void vtd_monitor_format(VtdMonitor *monitor, GString *text);
