/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-application.h: all guests of an application, made and removed as one */
#pragma once

#include "vt-application.h"
#include "vtc-interrupt.h"

#include <libvirt/libvirt.h>

/**
 * VtcApplicationWish: how an application is made
 * @uri: (nullable): of libvirt
 * @virt_type: (nullable): `kvm` or `qemu`; %NULL: `kvm` if the host has it
 * @start: and start it: what others need first
 * @wait_s: above 0: wait at most so long until each guest of a wave has an address, before the
 *   next wave starts
 * @secrets: (nullable): by instances, objects of strings
 */
typedef struct {
    const char *uri;
    const char *virt_type;
    bool start;
    int wait_s;
    const json_t *secrets;
    VtcInterrupt *interrupt;
} VtcApplicationWish;

/**
 * vtc_application_up: Makes what is missing, prints what it does
 * @error: nothing of what was made is left
 */
bool vtc_application_up(const VtApplication *application, const VtcApplicationWish *wish,
                        GError **error);

/** vtc_application_down: Removes all domains that say they belong to @application, with their
 *  clones; those that others need last. Goes on behind a failure, ends between two guests when it
 *  is interrupted. @error: the first; a domain whose clone cannot be reached stays */
bool vtc_application_down(virConnectPtr connection, const VtApplication *application,
                          VtcInterrupt *interrupt, GError **error);

/** vtc_application_list: @ret_rows: (out) (transfer full): an array of objects: domain, instance,
 *  state, and address if one is known */
bool vtc_application_list(virConnectPtr connection, const VtApplication *application,
                          json_t **ret_rows, GError **error);
