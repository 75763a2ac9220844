/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-hardware.h: the hardware of a guest: what its template says, and what is asked for */
#pragma once

#include "vtc-provision.h"

/**
 * vtc_guest_hardware_wanted: Our defaults, then what @provision asks for, each over the one before;
 *  without the template
 */
bool vtc_guest_hardware_wanted(const VtcProvision *provision, VtHardware *ret_hardware,
                               GError **error);

/**
 * vtc_guest_hardware:
 * @target: (nullable): path of the directory of the template's pool; %NULL: it is on another host
 *
 * Our defaults, the template's profile, then what @provision asks for. The profile comes from
 * virttemplated on this host; if it does not know the template (it is away, the template is not
 * here), there is a note on the standard error and no profile.
 */
bool vtc_guest_hardware(const VtcProvision *provision, const char *target, VtHardware *ret_hardware,
                        GError **error);
