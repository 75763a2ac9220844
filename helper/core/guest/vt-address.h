/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-address.h: IP addresses as people write them */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * VtAddress:
 * @family: AF_INET or AF_INET6
 * @bytes: in network byte order; 4 or 16 of them
 * @bits: of @family: 32 or 128
 * @prefix: length of the prefix in bits; 0 without one
 */
typedef struct {
    int family;
    uint8_t bytes[16];
    unsigned bits;
    unsigned prefix;
} VtAddress;

/** vt_address_parse: "192.0.2.5" or "2001:db8::5", with "/24" behind it if @with_prefix */
bool vt_address_parse(const char *text, bool with_prefix, VtAddress *ret);

/** vt_address_in_one_subnet: Whether the shorter of the two prefixes is common to both */
bool vt_address_in_one_subnet(const VtAddress *a, const VtAddress *b);
