/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-template.h: what a template says of its guests, and what is asked for */
#pragma once

#include "vtc-client.h"
#include "vtc-provision.h"

/**
 * VtcTemplate:
 * @hardware: of its guests
 * @name: (nullable): %NULL: which version it is, is not known
 * @os: (nullable): that runs on it, as @profile
 * @config: (nullable): the document that says all this
 * @profile: (nullable): %NULL: what it takes is not known
 * @unknown: (nullable): why that is so
 */
typedef struct {
    VtHardware hardware;
    char *name;
    char *version;
    char *os;
    GBytes *config;
    VtProfile *profile;
    char *unknown;
} VtcTemplate;
void vtc_template_clear(VtcTemplate *template);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcTemplate, vtc_template_clear)

/** vtc_template_hardware_wanted: Our defaults, then what @provision asks for, each over the one
 *  before; without the template */
bool vtc_template_hardware_wanted(const VtcProvision *provision, VtHardware *ret_hardware,
                                  GError **error);

/**
 * vtc_template_resolve:
 * @helper: that of the libvirt
 * @target: (nullable): path of the directory of the template's pool; %NULL: it is on another host
 *
 * Hardware: our defaults, the template's profile, then what @provision asks for. The profile comes
 * from virttemplated on this host; if it does not know the template (it is away, the template is
 * not here), there is none.
 */
bool vtc_template_resolve(const VtcProvision *provision, const VtcHelperOptions *helper,
                          const char *target, VtcTemplate *ret_template, GError **error);
