/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-outcome.h: what an error of libcurl means for the request */
#pragma once

#include "vt-http.h"

#include <curl/curl.h>

/** vt_http_outcome: Returns: what @code means, when nothing else is known */
VtHttpOutcome vt_http_outcome(CURLcode code);
