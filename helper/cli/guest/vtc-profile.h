/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-profile.h: the file of a publisher that says what a template takes */
#pragma once

#include "vt-error.h"

#include <jansson.h>

/**
 * vtc_profile_load:
 * @path: YAML, see virt-template-parameters(5)
 * @ret_profile: (out) (transfer full): members of a config document that a host will accept
 * @error: %VT_ERROR_INVALID naming file and place
 */
bool vtc_profile_load(const char *path, json_t **ret_profile, GError **error);
