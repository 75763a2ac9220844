/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-event.h: what the daemon tells its operator, in the journal */
#pragma once

#include "vt-digest.h"

#include <stdint.h>

/**
 * VtdEvent: each has a MESSAGE_ID of its own, which never changes: operators search for it. The
 * table is in vtd-event.c; virttemplated(8) and policies/journal/virt-template.catalog name all
 */
typedef enum {
    VTD_EVENT_PULLED,
    VTD_EVENT_REFUSED,
    VTD_EVENT_CLONED,
    VTD_EVENT_EVICTED,
    VTD_EVENT_RECOVERED,
    VTD_EVENT_DAMAGED,
    VTD_EVENT_REPAIRED,
    VTD_EVENT_PEER_REFUSED,
    VTD_EVENT_STORE_AWAY,
    VTD_EVENT_CATALOG_EXPIRED,
    VTD_EVENT_JOB_FAILED,
    VTD_EVENT_JOB_ENDED,
    VTD_EVENT_LAST, /*< skip >*/
} VtdEvent;

/**
 * VtdEventFields: of the journal, VIRT_TEMPLATE_POOL and so on; all (nullable)
 * @pool: target directory
 * @digest: of the manifest; of the index, if it is about a layer
 * @reason: one word, see vtd_event_reason()
 * @method: that a peer called
 * @path: of a clone
 * @bytes: received from the store; damaged
 */
typedef struct {
    const char *pool;
    const char *name;
    const char *version;
    const VtDigest *digest;
    const char *reason;
    const char *method;
    const char *path;
    const uint64_t *job;
    const uint64_t *bytes;
    const uint64_t *requests;
    const uint32_t *peer_uid;
} VtdEventFields;

/** vtd_event_log: @format: a sentence that says all that the fields say which people need. From any
 *  thread */
void vtd_event_log(VtdEvent event, const VtdEventFields *fields, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/** vtd_event_reason: Returns: (transfer none): `untrusted`, `no-space` ... */
const char *vtd_event_reason(const GError *error);

/** vtd_event_is_refusal: Returns: whether @error says that something was found not to be what it
 * has to be, as opposed to something that did not work; @error: (nullable) */
bool vtd_event_is_refusal(const GError *error);

/**
 * vtd_event_write: A #GLogWriterFunc, for all that the daemon logs: to the journal if stderr is its
 * stream, else as one line. Control characters are escaped before: what comes from a store or a
 * peer makes no lines of its own
 */
GLogWriterOutput vtd_event_write(GLogLevelFlags level, const GLogField *fields, gsize count,
                                 gpointer user);
