/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-verb.h: the verbs of virt-template, and how they take their arguments */
#pragma once

#include "vtc-exit.h"

/**
 * VtcVerb:
 * @name: one or two words, e.g. `store init`
 * @words: what stands behind the options, for the help; "" for nothing
 * @words_min: how many words at least
 * @words_max: and at most
 * @summary: one line
 * @detail: (nullable): shown below the options
 * @run: @argv: ends with %NULL, starts behind the verb's name
 */
typedef struct VtcVerb VtcVerb;
struct VtcVerb {
    const char *name;
    const char *words;
    unsigned words_min;
    unsigned words_max;
    const char *summary;
    const char *detail;
    bool (*run)(const VtcVerb *self, char **argv, GError **error);
};

extern const VtcVerb vtc_verb_publish;
extern const VtcVerb vtc_verb_list;
extern const VtcVerb vtc_verb_info;
extern const VtcVerb vtc_verb_diff;
extern const VtcVerb vtc_verb_pull;
extern const VtcVerb vtc_verb_verify;
extern const VtcVerb vtc_verb_evict;
extern const VtcVerb vtc_verb_jobs;
extern const VtcVerb vtc_verb_metrics;
extern const VtcVerb vtc_verb_store_init;
extern const VtcVerb vtc_verb_key_generate;
extern const VtcVerb vtc_verb_doctor;
extern const VtcVerb vtc_verb_instance_prepare;
extern const VtcVerb vtc_verb_instance_release;
extern const VtcVerb vtc_verb_instance_secrets;
extern const VtcVerb vtc_verb_provision;
extern const VtcVerb vtc_verb_domain_xml;
extern const VtcVerb vtc_verb_prepare;
extern const VtcVerb vtc_verb_application_up;
extern const VtcVerb vtc_verb_application_down;
extern const VtcVerb vtc_verb_application_list;

/**
 * vtc_verb_parse:
 * @entries: (array zero-terminated=1): options of this verb; `--help` comes by itself and ends the
 *   process
 * @ret_words: (out) (transfer full): as many as the verb wants
 * @error: %VTC_ERROR_USAGE
 */
bool vtc_verb_parse(const VtcVerb *verb, char **argv, const GOptionEntry *entries,
                    char ***ret_words, GError **error);

/**
 * vtc_verb_exec: Becomes a program in the libexec folder, where verbs are that need libraries which
 *   no other verb does
 * @name: of the program; its arguments are the verb's name and @argv
 *
 * Returns: only if that fails
 */
bool vtc_verb_exec(const char *name, const VtcVerb *verb, char **argv, GError **error);
