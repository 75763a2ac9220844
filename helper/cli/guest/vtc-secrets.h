/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-secrets.h: secrets of a guest, on their way from a file to virttemplated */
#pragma once

#include "vtc-client.h"

#include <jansson.h>
#include <stdio.h>

/**
 * vtc_secrets_read:
 * @file: YAML; see vt_secrets_check()
 * @what: it is, for messages
 * @ret_secrets: (out) (transfer full): an object of strings, at least one
 */
bool vtc_secrets_read(FILE *file, const char *what, json_t **ret_secrets, GError **error);

/**
 * vtc_secrets_load: vtc_secrets_read() of the file @path; `-` is the standard input
 * @error: %VT_ERROR_DENIED: a file that is neither the caller's nor root's, or that others can use
 */
bool vtc_secrets_load(const char *path, json_t **ret_secrets, GError **error);

/**
 * vtc_secrets_load_members:
 * @path: as for vtc_secrets_load(): for each of several members of an application its secrets
 * @ret_members: (out) (transfer full): an object of objects of strings
 */
bool vtc_secrets_load_members(const char *path, json_t **ret_members, GError **error);

/**
 * vtc_secrets_send:
 * @path: of the seed
 * @owner: UUID of the domain
 * @secrets: (nullable): they replace those that were there; %NULL: they are removed
 */
bool vtc_secrets_send(VtcClient *client, const char *path, const char *owner, const json_t *secrets,
                      GError **error);
