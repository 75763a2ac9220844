/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-address.c: IP addresses as people write them */
#include "vt-address.h"

#include <arpa/inet.h>
#include <string.h>

bool
vt_address_parse(const char *text, bool with_prefix, VtAddress *ret)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 3);
    VtAddress address = {0};
    guint64 prefix = 0;

    if (g_strv_length(parts) != (with_prefix ? 2 : 1))
        return false;
    address.family = strchr(parts[0], ':') ? AF_INET6 : AF_INET;
    address.bits = address.family == AF_INET6 ? 128 : 32;
    if (inet_pton(address.family, parts[0], address.bytes) != 1)
        return false;
    if (with_prefix && !g_ascii_string_to_unsigned(parts[1], 10, 1, address.bits, &prefix, NULL))
        return false;
    address.prefix = (unsigned)prefix;
    *ret = address;
    return true;
}

bool
vt_address_in_one_subnet(const VtAddress *a, const VtAddress *b)
{
    unsigned bits = MIN(a->prefix, b->prefix);

    if (a->family != b->family || memcmp(a->bytes, b->bytes, bits / 8) != 0)
        return false;
    return bits % 8 == 0 || (a->bytes[bits / 8] ^ b->bytes[bits / 8]) >> (8 - bits % 8) == 0;
}
