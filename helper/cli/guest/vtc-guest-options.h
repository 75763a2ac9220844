/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-options.h: the options that say what a guest is to be */
#pragma once

#include "vtc-exit.h"
#include "vtc-provision.h"

/** VtcGuestOptions: to be zeroed, then filled by vtc_guest_entries() and vtc_guest_complete() */
typedef struct {
    VtcProvision provision;
    char *uri;
    char *pool;
    char *template_pool;
    char *network;
    char *virt_type;
    char *size;
    char *strategy;
    char *user_data_file;
    char *user_data;
    char *datasource;
    char **settings;
    char *hardware_text;
    json_t *hardware;

    char *memory;
    char *vcpus;
    char *machine;
    char *firmware;
    gboolean no_network;
} VtcGuestOptions;
void vtc_guest_options_clear(VtcGuestOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtcGuestOptions, vtc_guest_options_clear)

/**
 * vtc_guest_entries:
 * @more: (array zero-terminated=1): what this verb has beside them
 *
 * Returns: (transfer full): for vtc_verb_parse()
 */
GOptionEntry *vtc_guest_entries(VtcGuestOptions *options, const GOptionEntry *more);

/**
 * vtc_guest_complete: Fills @options->provision, which points into @options
 * @template: NAME[@VERSION]
 * @count: of guests
 * @error: %VTC_ERROR_USAGE, %VT_ERROR_INVALID
 */
bool vtc_guest_complete(VtcGuestOptions *options, const char *template, unsigned count,
                        GError **error);

/** vtc_guest_size: "20G", in binary units. @ret: bytes */
bool vtc_guest_size(const char *text, uint64_t *ret, GError **error);

/** vtc_guest_datasource: Refuses what is not the name of one. @text: (nullable) */
bool vtc_guest_datasource(const char *text, GError **error);

/** vtc_guest_strategy: linked, full or instantiate */
bool vtc_guest_strategy(const char *text, VtcStrategy *ret, GError **error);
