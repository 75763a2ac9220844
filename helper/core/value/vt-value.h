/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-value.h: what values about a guest look like, for g_regex with G_REGEX_DOLLAR_ENDONLY */
#pragma once

#define VT_MAC_PATTERN "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$"
/* "ssh-ed25519 AAAAC3Nz... comment"; "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com" */
#define VT_SSH_KEY_PATTERN                                                                         \
    "^(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]{16,}={0,2}( "                     \
    "[^[:cntrl:]]{0,255})?$"
/* crypt(5): "$6$salt$hash" */
#define VT_HASH_PATTERN "^\\$[0-9a-z]{1,8}\\$[A-Za-z0-9./$=,-]{8,500}$"
