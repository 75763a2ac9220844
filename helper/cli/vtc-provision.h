/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-provision.h: clones, domains and their addresses, through libvirt's public API */
#pragma once

#include "vtc-domain.h"

#include <stdint.h>

/**
 * VtcProvision: what is asked for
 * @uri: (nullable): of libvirt
 * @template: NAME@VERSION, or NAME for the current version
 * @template_pool: (nullable): %NULL: the only pool that has it
 * @pool: where the clones are made
 * @capacity: bytes; 0: as the template
 * @domain: what all domains have in common; its name, disk and seed are set for each, and its
 *   virt_type if it is %NULL
 */
typedef struct {
    const char *uri;
    const char *template;
    const char *template_pool;
    const char *pool;
    uint64_t capacity;
    VtcDomain domain;
} VtcProvision;

/** VtcSession: a connection, the template and the pool */
typedef struct VtcSession VtcSession;
void vtc_session_free(VtcSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcSession, vtc_session_free)

/** vtc_session_open: @provision: must outlive the session */
bool vtc_session_open(const VtcProvision *provision, VtcSession **ret_session, GError **error);

/** vtc_session_xml: @ret_xml: (out) (transfer full): the domain @name as it would be defined */
bool vtc_session_xml(VtcSession *session, const char *name, char **ret_xml, GError **error);

/**
 * vtc_session_make:
 * @start: and start it
 *
 * Makes clone and domain; on failure neither is left. Any thread.
 */
bool vtc_session_make(VtcSession *session, const char *name, bool start, GError **error);

/** vtc_session_remove: Removes domain and clone, as far as they are there */
void vtc_session_remove(VtcSession *session, const char *name);

/**
 * vtc_session_address:
 * @ret_address: (out) (transfer full): the guest's first address that is not a link's own; %NULL if
 *   none is known yet, by lease, guest agent or ARP
 * @error: the domain does not run any more
 */
bool vtc_session_address(VtcSession *session, const char *name, char **ret_address, GError **error);
