/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-auth-file.h: finding a registry's credentials in a containers-auth.json(5) document */
#pragma once

#include "vt-error.h"

/* Dozens of registries with tokens of some KiB */
#define VT_AUTH_FILE_MAX (1u << 20)

/**
 * VtCredentials:
 * @user: may be empty with an identity token
 * @identity_token: (nullable): an OAuth2 refresh token, used in place of the password
 */
typedef struct {
    char *user;
    char *password;
    char *identity_token;
} VtCredentials;
void vt_credentials_free(VtCredentials *credentials);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtCredentials, vt_credentials_free)

/**
 * vt_auth_file_find:
 * @bytes: the document
 * @host: `host[:port]`
 * @repository: e.g. `golden/debian-12`
 * @ret_credentials: (out) (nullable) (transfer full): those of the most specific key:
 *   `host/golden/debian-12`, `host/golden`, `host`; %NULL if there is none
 *
 * Credential helpers are never run: an entry that one keeps is %VT_ERROR_INVALID. No password gets
 * into an error.
 */
bool vt_auth_file_find(GBytes *bytes, const char *host, const char *repository,
                       VtCredentials **ret_credentials, GError **error);

/**
 * vt_auth_file_for:
 * @hosts: `host[:port]`
 *
 * Returns: (transfer full): a document in which vt_auth_file_find() finds the same for @hosts, and
 *   nothing for others; @bytes itself if it is none, for whoever needs a password to say so
 */
GBytes *vt_auth_file_for(GBytes *bytes, const char *const *hosts);
