/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-secrets.h: secrets that a guest asks for, and those that are given */
#pragma once

#include "vtc-client.h"
#include "vtc-domain.h"

#include <libvirt/libvirt.h>

/**
 * vtc_guest_secrets_check:
 * @domain: its settings, and the profile of its template, say what it asks for. Without a profile
 *   there may be more
 * @secrets: (nullable): what is given
 * @defaults: (nullable): an object: values of the pool, which count, too; %NULL: not known
 * @error: %VT_ERROR_INVALID: a secret that is missing or that nothing asks for; the message lists
 *   what is asked for, and shows no value
 */
bool vtc_guest_secrets_check(const VtcDomain *domain, const json_t *secrets, const json_t *defaults,
                             GError **error);

/**
 * VtcGuestSecrets: where the secrets of a guest are kept
 * @seed: (nullable): path of its seed; %NULL: it has none, and so no secrets
 * @uuid: of its domain
 * @asks: whether it may have some
 * @helper: who keeps them
 * @is_remote: whether that is on another host
 */
typedef struct {
    char *seed;
    char *uuid;
    bool asks;
    VtcHelperOptions helper;
    bool is_remote;
} VtcGuestSecrets;
void vtc_guest_secrets_clear(VtcGuestSecrets *secrets);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcGuestSecrets, vtc_guest_secrets_clear)

/** vtc_guest_secrets_find: @ret: (out caller-allocates): zeroed; of the domain @name, if there is
 *  one */
void vtc_guest_secrets_find(virConnectPtr connection, const char *name, VtcGuestSecrets *ret);

/** vtc_guest_secrets_forget: Removes them; when that cannot be done here, a note on the standard
 *  error says how */
void vtc_guest_secrets_forget(const VtcGuestSecrets *secrets);
