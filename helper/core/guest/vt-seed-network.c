/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed-network.c: a network in the words of OpenStack's config drive */
#include "vt-seed-network.h"

#include "vt-address.h"

#include <arpa/inet.h>
#include <string.h>

/*
 *     {"links": [{"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}],
 *      "networks": [{"id": "eth0-0", "link": "eth0", "type": "ipv4", "ip_address": "192.0.2.5",
 *                    "netmask": "255.255.255.0",
 *                    "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": ...}]}],
 *      "services": [{"type": "dns", "address": "192.0.2.53"}]}
 */

/* 24 -> "255.255.255.0", or "ffff:ffff:ffff:ffff::" */
static json_t *
format_mask(const VtAddress *address)
{
    uint8_t mask[16] = {0};
    char text[INET6_ADDRSTRLEN];

    for (unsigned bit = 0; bit < address->prefix; bit++)
        mask[bit / 8] |= (uint8_t)(0x80u >> (bit % 8));
    return json_string(inet_ntop(address->family, mask, text, sizeof(text)));
}

static json_t *
add_network(json_t *networks, const char *link, const char *type)
{
    g_autofree char *id = g_strdup_printf("%s-%zu", link, json_array_size(networks));
    json_t *network = json_pack("{s:s, s:s, s:s}", "id", id, "link", link, "type", type);

    json_array_append_new(networks, network);
    return network;
}

/* The gateways of @link of one family */
static void
add_routes(json_t *network, const json_t *link, int family)
{
    json_t *route, *routes = json_array();
    size_t i;

    json_array_foreach(json_object_get(link, "routes"), i, route)
    {
        const char *via = json_string_value(json_object_get(route, "via"));
        VtAddress address;

        if (vt_address_parse(via, false, &address) && address.family == family)
            json_array_append_new(routes,
                                  json_pack("{s:s, s:s, s:s}", "network",
                                            family == AF_INET ? "0.0.0.0" : "::", "netmask",
                                            family == AF_INET ? "0.0.0.0" : "::", "gateway", via));
    }
    if (json_array_size(routes) > 0)
        json_object_set(network, "routes", routes);
    json_decref(routes);
}

static void
add_networks(json_t *networks, const char *name, const json_t *link)
{
    bool routed[2] = {false, false}; /* IPv4, IPv6 */
    json_t *item;
    size_t i;

    if (json_object_get(link, "dhcp4"))
        add_network(networks, name, "ipv4_dhcp");
    json_array_foreach(json_object_get(link, "addresses"), i, item)
    {
        const char *text = json_string_value(item);
        g_autofree char *plain = g_strndup(text, strcspn(text, "/"));
        VtAddress address;
        json_t *network;
        bool six;

        if (!vt_address_parse(text, true, &address))
            continue;
        six = address.family == AF_INET6;
        network = add_network(networks, name, six ? "ipv6" : "ipv4");
        json_object_set_new(network, "ip_address", json_string(plain));
        json_object_set_new(network, "netmask", format_mask(&address));
        /* once for each link, with the first address that could use it */
        if (!routed[six])
            add_routes(network, link, address.family);
        routed[six] = true;
    }
}

/* The address of an interface, of the first one in a bond, or of what a VLAN is on */
static const char *
find_mac(const json_t *network, const char *name)
{
    const json_t *link = json_object_get(json_object_get(network, "ethernets"), name);

    if (link)
        return json_string_value(json_object_get(json_object_get(link, "match"), "macaddress"));
    link = json_object_get(json_object_get(network, "bonds"), name);
    if (link)
        return find_mac(network,
                        json_string_value(json_array_get(json_object_get(link, "interfaces"), 0)));
    link = json_object_get(json_object_get(network, "vlans"), name);
    return find_mac(network, json_string_value(json_object_get(link, "link")));
}

static json_t *
format_link(const json_t *network, const char *kind, const char *name, const json_t *link)
{
    const char *mac = find_mac(network, name);

    if (strcmp(kind, "ethernets") == 0)
        return json_pack("{s:s, s:s, s:s}", "id", name, "type", "phy", "ethernet_mac_address", mac);
    if (strcmp(kind, "bonds") == 0)
        return json_pack("{s:s, s:s, s:s, s:O, s:O}", "id", name, "type", "bond",
                         "ethernet_mac_address", mac, "bond_links",
                         json_object_get(link, "interfaces"), "bond_mode",
                         json_object_get(json_object_get(link, "parameters"), "mode"));
    return json_pack("{s:s, s:s, s:s, s:O, s:O}", "id", name, "type", "vlan", "vlan_mac_address",
                     mac, "vlan_link", json_object_get(link, "link"), "vlan_id",
                     json_object_get(link, "id"));
}

static void
add_services(json_t *services, const json_t *link)
{
    json_t *address;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(link, "nameservers"), "addresses"), i,
                       address)
        json_array_append_new(services, json_pack("{s:s, s:O}", "type", "dns", "address", address));
}

json_t *
vt_seed_network_data(const json_t *network)
{
    static const char *const kinds[] = {"ethernets", "bonds", "vlans"};
    json_t *links = json_array(), *networks = json_array(), *services = json_array();

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *name;
        json_t *link;

        json_object_foreach(json_object_get(network, kinds[i]), name, link)
        {
            json_array_append_new(links, format_link(network, kinds[i], name, link));
            add_networks(networks, name, link);
            add_services(services, link);
        }
    }
    return json_pack("{s:o, s:o, s:o}", "links", links, "networks", networks, "services", services);
}
