/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-user-data.h: user-data of the owner's own */
#pragma once

#include "vt-error.h"

/**
 * vt_user_data_check:
 * @text: what cloud-init tells apart by the first line; a cloud-config is checked as YAML
 * @what: what it is, for messages
 * @error: %VT_ERROR_INVALID, %VT_ERROR_TOO_LARGE
 */
bool vt_user_data_check(const char *text, const char *what, GError **error);
