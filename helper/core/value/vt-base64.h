/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-base64.h: base64 in which one value has one spelling */
#pragma once

#include "vt-error.h"

/**
 * vt_base64_decode:
 * @text: base64 (RFC 4648 section 4) with padding; no white space, no bits set behind the end
 * @what: names it in the error
 * @ret_bytes: (out) (transfer full): at least one byte
 * @error: %VT_ERROR_INVALID
 */
bool vt_base64_decode(const char *text, const char *what, GBytes **ret_bytes, GError **error);

/** vt_base64_decode_any: Also takes the URL-safe alphabet (section 5), as DSSE demands; one text
 *  must keep to one of the two */
bool vt_base64_decode_any(const char *text, const char *what, GBytes **ret_bytes, GError **error);

/** vt_base64_encode: Returns: (transfer full) */
char *vt_base64_encode(GBytes *bytes);
