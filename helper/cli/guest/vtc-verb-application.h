/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-verb-application.h: the verbs application up, down and list, for provision.c */
#pragma once

#include "vtc-verb.h"

bool vtc_verb_application_run_up(const VtcVerb *self, char **argv, GError **error);
bool vtc_verb_application_run_down(const VtcVerb *self, char **argv, GError **error);
bool vtc_verb_application_run_list(const VtcVerb *self, char **argv, GError **error);
