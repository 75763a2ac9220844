/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-secrets.h: values for a guest that do not stand in its domain's XML, which everybody reads */
#pragma once

#include "vt-error.h"

#include <jansson.h>

/* As many as a template has parameters, as long as their names and lines are; a PEM key fits */
#define VT_SECRETS_MAX       100
#define VT_SECRET_KEY_MAX    64
#define VT_SECRET_VALUE_MAX  4096
#define VT_SECRETS_BYTES_MAX (1u << 20)

#define VT_SECRET_KEY_PATTERN "^[a-z][a-z0-9_-]{0,63}$"

/* What a message tells somebody who has a secret to give */
#define VT_SECRETS_ADVICE "give it with 'virt-template instance secrets'"

/**
 * vt_secrets_check:
 * @secrets: an object: strings by their keys
 * @error: %VT_ERROR_INVALID, %VT_ERROR_TOO_LARGE. No value is shown, nor what only stands where a
 *   key should
 */
bool vt_secrets_check(const json_t *secrets, GError **error);

/**
 * vt_secrets_format:
 * @ret_bytes: (out) (transfer full): a YAML mapping, equal for equal secrets. Every character that
 *   is not printable ASCII is escaped, so no value can end its line
 * @error: as vt_secrets_check()
 */
bool vt_secrets_format(const json_t *secrets, GBytes **ret_bytes, GError **error);

/**
 * vt_secrets_load:
 * @bytes: (nullable): a YAML mapping, or nothing
 * @what: it is, for messages
 * @ret_secrets: (out) (transfer full): an object of strings; an empty one for nothing
 * @error: as vt_secrets_check(), and naming the line
 */
bool vt_secrets_load(GBytes *bytes, const char *what, json_t **ret_secrets, GError **error);
