/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-provision.h: clones, domains and their addresses, through libvirt's public API */
#pragma once

#include "vtc-domain.h"

#include <libvirt/libvirt.h>
#include <stdint.h>

/** VtcStrategy: @VTC_STRATEGY_INSTANTIATE: what the pool of the template says */
typedef enum {
    VTC_STRATEGY_INSTANTIATE,
    VTC_STRATEGY_LINKED,
    VTC_STRATEGY_FULL,
} VtcStrategy;

/**
 * VtcProvision: what is asked for
 * @uri: (nullable): of libvirt
 * @template: NAME@VERSION, or NAME for the current version
 * @template_pool: (nullable): %NULL: the only pool that has it
 * @pool: where the clones are made
 * @capacity: bytes; 0: as the template
 * @virt_type: (nullable): `kvm` or `qemu`; %NULL: `kvm` if the host has it
 * @hardware: (nullable): for vt_hardware_parse(), over what the template says
 * @network: (nullable): libvirt's network that a single interface is connected to, over @hardware
 * @no_network: no interface
 * @settings: (nullable) (array zero-terminated=1): see vtc_domain_keys()
 * @user_data: (nullable): complete user-data
 * @datasource: (nullable): see VtcDomain; %NULL: what fits the template
 * @secrets: (nullable): an object of strings, for each of the guests
 * @application: (nullable): that the guests belong to, as its @instance
 */
typedef struct {
    const char *uri;
    const char *template;
    const char *template_pool;
    const char *pool;
    uint64_t capacity;
    VtcStrategy strategy;
    const char *virt_type;
    json_t *hardware;
    const char *network;
    bool no_network;
    char **settings;
    const char *user_data;
    const char *datasource;
    const json_t *secrets;
    const char *application;
    const char *instance;
} VtcProvision;

/** VtcSession: a connection, the template and the pool */
typedef struct VtcSession VtcSession;
void vtc_session_free(VtcSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtcSession, vtc_session_free)

/** vtc_session_open: @provision: must outlive the session */
bool vtc_session_open(const VtcProvision *provision, VtcSession **ret_session, GError **error);

/**
 * vtc_session_check:
 * @name: of a domain that is to be made
 *
 * Finds what is wrong before anything is made, as far as the template is here and known.
 */
bool vtc_session_check(VtcSession *session, const char *name, GError **error);

/** vtc_session_xml: @ret_xml: (out) (transfer full): the domain @name as it would be defined */
bool vtc_session_xml(VtcSession *session, const char *name, char **ret_xml, GError **error);

/**
 * vtc_session_make:
 * @start: and start it
 *
 * Makes clone and domain, and gives it the secrets; on failure none of them is left. Any thread.
 */
bool vtc_session_make(VtcSession *session, const char *name, bool start, GError **error);

/** vtc_session_remove: Removes domain, secrets and clone, as far as they are there */
void vtc_session_remove(VtcSession *session, const char *name);

/** vtc_session_connection: Returns: (transfer none) */
virConnectPtr vtc_session_connection(VtcSession *session);
