/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-key.h: the publisher's key, and what it means for trust */
#pragma once

#include "vt-key.h"
#include "vt-store-url.h"

/** vtc_key_load: @path: file with an unencrypted PKCS#8 private key; warns on stderr when others
 *  can read it */
bool vtc_key_load(const char *path, VtKey **ret_key, GError **error);

/** vtc_key_write_pair: Writes PREFIX.key (0600) and PREFIX.pub; never replaces a file */
bool vtc_key_write_pair(const char *prefix, GBytes *private_pem, GBytes *public_pem,
                        GError **error);

/**
 * vtc_key_policy_text:
 * @scope: where it is trusted
 *
 * Returns: (transfer full): policy.json, indented: what is signed with @key is accepted in
 * @scope of @transport, all else is rejected
 */
char *vtc_key_policy_text(const VtKey *key, VtTransport transport, const char *scope);
