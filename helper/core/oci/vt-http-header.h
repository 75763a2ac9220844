/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-http-header.h: the HTTP header fields that registries answer with */
#pragma once

#include "vt-error.h"

#include <stdint.h>

/* WWW-Authenticate; a hostile registry must not make us parse megabytes */
#define VT_CHALLENGE_MAX 8192

typedef enum {
    VT_AUTH_BASIC,
    VT_AUTH_BEARER,
} VtAuthScheme;

/**
 * VtChallenge: how a registry wants to be authenticated to
 * @realm: for Bearer, the URL of the token server
 * @service: (nullable)
 * @scope: (nullable)
 */
typedef struct {
    VtAuthScheme scheme;
    char *realm;
    char *service;
    char *scope;
} VtChallenge;
void vt_challenge_free(VtChallenge *challenge);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtChallenge, vt_challenge_free)

/**
 * vt_challenge_parse:
 * @values: (array zero-terminated=1): the WWW-Authenticate fields (RFC 9110 11.6.1), each with one
 *   or more challenges
 * @ret_challenge: (out) (transfer full): the first Bearer challenge, else the first Basic one
 * @error: %VT_ERROR_INVALID, or %VT_ERROR_UNSUPPORTED if there are only other schemes
 */
bool vt_challenge_parse(const char *const *values, VtChallenge **ret_challenge, GError **error);

/** vt_content_range_parse: `bytes 0-499/1234`. Returns: false if @text is not exactly that */
bool vt_content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                            uint64_t *ret_total);

/** vt_link_next: Returns: (transfer full) (nullable): URL of `<URL>; rel="next"` (RFC 8288) */
char *vt_link_next(const char *text);

/** vt_retry_after_parse: Returns: seconds; -1 if @text (nullable) is not a number of them */
int vt_retry_after_parse(const char *text);

/** vt_host_is_loopback: Returns: whether @host, `host[:port]`, never leaves this machine */
bool vt_host_is_loopback(const char *host);

/** vt_host_name: Returns: (transfer full): @host, `host[:port]`, without the port, lower case */
char *vt_host_name(const char *host);
