/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-policy-file.h: the trust policy of a host, from its file */
#pragma once

#include "vt-policy.h"

/* containers' own /etc/containers/policy.json is the business of other tools */
#define VT_POLICY_DEFAULT_PATH "/etc/virt-template/policy.json"

/**
 * vt_policy_load:
 * @path: the policy, a regular file
 * @ret_policy: (out) (transfer full): untouched on failure
 * @error: %VT_ERROR_POLICY: there is none, and so everything is rejected: the message shows one to
 *   write; or it cannot be read, or is not valid
 */
bool vt_policy_load(const char *path, VtPolicy **ret_policy, GError **error);
