/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-confine.h: the daemon gives up what neither it nor its workers need */
#pragma once

#include "vt-error.h"

/**
 * vtd_confine: At the start, before anybody is served
 *
 * Capabilities outside of a short list go, from the bounding set too; no_new_privs; it cannot be
 * dumped or traced by its own user; system calls that open the kernel fail, see
 * vtd_seccomp_deny(). A daemon that is not root's has no capability and loses none.
 *
 * @error: %VT_ERROR_DENIED
 */
bool vtd_confine(GError **error);
