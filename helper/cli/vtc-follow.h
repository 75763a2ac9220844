/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-follow.h: shows jobs while they go on */
#pragma once

#include "vtc-client.h"

#include <stdint.h>

/**
 * vtc_follow:
 * @job: the one to show, until it has ended; 0: all that the caller may see, for good
 * @json: print a JSON document in each line
 * @error: why @job failed; %VTC_ERROR_NO_HELPER when the helper went away
 */
bool vtc_follow(VtcClient *client, uint64_t job, bool json, GError **error);
