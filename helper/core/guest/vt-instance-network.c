/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-network.c: the network of an <instance>, as network-config version 2 */
#include "vt-instance-network.h"

#include "vt-address.h"
#include "vt-instance-xml.h"
#include "vt-value.h"

#include <arpa/inet.h>
#include <string.h>

/* The text that is parsed, and what it becomes:
 *
 *     <interface mac='52:54:00:00:00:01'>    "eth0": {"match": {"macaddress": "52:54:00:00:00:01"},
 *       <address>192.0.2.5/24</address>               "set-name": "eth0",
 *       <gateway>192.0.2.1</gateway>                  "addresses": ["192.0.2.5/24"],
 *       <dns>192.0.2.53</dns>                         "routes": [{"to": "0.0.0.0/0", "via": ...}],
 *     </interface>                                    "nameservers": {"addresses": [...]}}
 *     <bond name='bond0' mode='802.3ad'>     "bond0": {"interfaces": ["eth0", "eth1"],
 *       <member>eth0</member> ...                      "parameters": {"mode": "802.3ad"}, ...}
 *     <vlan name='vlan7' id='7' link='bond0'>...       "vlan7": {"id": 7, "link": "bond0", ...}
 */

/* In the network-config, and the order in which they are looked through */
static const char *const sections[] = {"ethernets", "bonds", "vlans"};

/* ip-link(8): IFNAMSIZ is 16 */
#define NAME_PATTERN "^[a-z][a-z0-9._-]{0,14}$"
#define VLAN_ID_MAX  4094
/* bonding.rst of the kernel */
static const char *const bond_modes[] = {"balance-rr", "active-backup", "balance-xor", "broadcast",
                                         "802.3ad",    "balance-tlb",   "balance-alb", NULL};

/* ---- the domain's interfaces ---- */

static xmlNode *
find_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? vt_xml_next(parent->children) : NULL; node;
         node = vt_xml_next(node->next)) {
        if (strcmp((const char *)node->name, name) == 0)
            return node;
    }
    return NULL;
}

/* Returns: (element-type utf8): lower-case MAC addresses, in the domain's order */
static GPtrArray *
list_macs(const xmlDoc *document)
{
    GPtrArray *macs = g_ptr_array_new_with_free_func(g_free);
    const xmlNode *devices = find_child(xmlDocGetRootElement((xmlDoc *)document), "devices");

    for (xmlNode *node = devices ? vt_xml_next(devices->children) : NULL; node;
         node = vt_xml_next(node->next)) {
        xmlNode *mac =
            strcmp((const char *)node->name, "interface") == 0 ? find_child(node, "mac") : NULL;
        g_autofree char *address = mac ? vt_xml_attribute(mac, "address") : NULL;

        if (address)
            g_ptr_array_add(macs, g_ascii_strdown(address, -1));
    }
    return macs;
}

static bool
find_mac(xmlNode *node, size_t place, char **ret_mac, GError **error)
{
    g_autoptr(GPtrArray) macs = list_macs(node->doc);
    g_autofree char *wanted = vt_xml_attribute(node, "mac"), *lower = NULL;

    if (!wanted && place < macs->len) {
        *ret_mac = g_strdup(macs->pdata[place]);
        return true;
    }
    if (!wanted)
        return vt_xml_throw(node, error, "the domain has %u interfaces, this is number %zu",
                            macs->len, place + 1);
    if (!vt_xml_match(node, wanted, VT_MAC_PATTERN, "a MAC address", error))
        return false;
    lower = g_ascii_strdown(wanted, -1);
    if (!g_ptr_array_find_with_equal_func(macs, lower, g_str_equal, NULL))
        return vt_xml_throw(node, error, "the domain has no interface with the MAC address %s",
                            lower);
    *ret_mac = g_steal_pointer(&lower);
    return true;
}

/* ---- addresses ---- */

static bool
check_subnet(const xmlNode *node, const char *text, const json_t *link, GError **error)
{
    VtAddress address, there;
    json_t *other;
    size_t i;

    if (!vt_address_parse(text, true, &address))
        return vt_xml_throw(node, error, "'%.64s' is not an address with its prefix: 192.0.2.5/24",
                            text);
    json_array_foreach(json_object_get(link, "addresses"), i, other)
    {
        if (vt_address_parse(json_string_value(other), true, &there) &&
            vt_address_in_one_subnet(&address, &there))
            return vt_xml_throw(node, error, "%s and %s are in one subnet", text,
                                json_string_value(other));
    }
    return true;
}

/* Against all addresses so far: the kernel would answer for one of them on either interface */
static bool
check_subnets(const xmlNode *node, const char *text, const json_t *network, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
        const char *name;
        json_t *link;

        json_object_foreach(json_object_get(network, sections[i]), name, link)
        {
            if (!check_subnet(node, text, link, error))
                return false;
        }
    }
    return true;
}

static json_t *
member_list(json_t *object, const char *key)
{
    json_t *list = json_object_get(object, key);

    if (list)
        return list;
    list = json_array();
    json_object_set_new(object, key, list);
    return list;
}

static bool
take_plain(xmlNode *node, const char *text, json_t *link, GError **error)
{
    VtAddress address;

    if (!vt_address_parse(text, false, &address))
        return vt_xml_throw(node, error, "'%.64s' is not an address", text);
    if (vt_xml_is(node, "gateway")) {
        json_array_append_new(member_list(link, "routes"),
                              json_pack("{s:s, s:s}", "to",
                                        address.family == AF_INET ? "0.0.0.0/0" : "::/0", "via",
                                        text));
        return true;
    }
    if (!json_object_get(link, "nameservers"))
        json_object_set_new(link, "nameservers", json_object());
    json_array_append_new(member_list(json_object_get(link, "nameservers"), "addresses"),
                          json_string(text));
    return true;
}

/* What is said of a @link of any kind */
static bool
take_setting(xmlNode *node, const json_t *network, json_t *link, GError **error)
{
    static const char *const none[] = {NULL};
    g_autofree char *text = NULL;

    if (!vt_xml_attributes(node, none, error))
        return false;
    if (vt_xml_is(node, "dhcp")) {
        json_object_set_new(link, "dhcp4", json_true());
        /* not of the machine-id, which may be the image's at the very first boot */
        json_object_set_new(link, "dhcp-identifier", json_string("mac"));
        return true;
    }
    if (!vt_xml_is(node, "address") && !vt_xml_is(node, "gateway") && !vt_xml_is(node, "dns"))
        return vt_xml_throw(node, error, "unknown in <%s>; known: dhcp, address, gateway, dns%s",
                            (const char *)node->parent->name,
                            vt_xml_is(node->parent, "bond") ? ", member" : "");
    if (!vt_xml_text(node, &text, error))
        return false;
    if (!vt_xml_is(node, "address"))
        return take_plain(node, text, link, error);
    if (!check_subnets(node, text, network, error))
        return false;
    json_array_append_new(member_list(link, "addresses"), json_string(text));
    return true;
}

/* ---- the three kinds ---- */

static json_t *
section(json_t **network, const char *kind)
{
    json_t *links;

    if (!*network)
        *network = json_pack("{s:i, s:{}}", "version", 2, "ethernets");
    links = json_object_get(*network, kind);
    if (!links) {
        links = json_object();
        json_object_set_new(*network, kind, links);
    }
    return links;
}

static json_t *
find_link(const json_t *network, const char *name)
{
    json_t *link = NULL;

    for (size_t i = 0; !link && i < G_N_ELEMENTS(sections); i++)
        link = json_object_get(json_object_get(network, sections[i]), name);
    return link;
}

static bool
is_named(const json_t *ethernets, const char *mac)
{
    const char *name;
    json_t *ethernet;

    json_object_foreach((json_t *)ethernets, name, ethernet)
    {
        const json_t *match = json_object_get(ethernet, "match");

        if (strcmp(json_string_value(json_object_get(match, "macaddress")), mac) == 0)
            return true;
    }
    return false;
}

/* Whether it is in a bond, or below a VLAN */
static bool
is_used(const json_t *network, const char *name)
{
    const char *key;
    json_t *link, *member;
    size_t i;

    json_object_foreach(json_object_get(network, "bonds"), key, link)
    {
        json_array_foreach(json_object_get(link, "interfaces"), i, member)
        {
            if (strcmp(json_string_value(member), name) == 0)
                return true;
        }
    }
    json_object_foreach(json_object_get(network, "vlans"), key, link)
    {
        if (strcmp(json_string_value(json_object_get(link, "link")), name) == 0)
            return true;
    }
    return false;
}

static bool
take_settings(xmlNode *node, const json_t *network, json_t *link, GError **error)
{
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        /* vt_instance_bond() has read its members */
        if (!(vt_xml_is(node, "bond") && vt_xml_is(child, "member")) &&
            !take_setting(child, network, link, error))
            return false;
    }
    return true;
}

bool
vt_instance_interface(xmlNode *node, json_t **network, GError **error)
{
    json_t *ethernets = section(network, "ethernets"), *ethernet;
    const size_t place = json_object_size(ethernets);
    g_autofree char *mac = NULL, *name = g_strdup_printf("eth%zu", place);

    if (!find_mac(node, place, &mac, error))
        return false;
    if (is_named(ethernets, mac))
        return vt_xml_throw(node, error, "the interface %s is there twice", mac);
    if (find_link(*network, name))
        return vt_xml_throw(node, error, "comes behind something that is called '%s' as it is",
                            name);
    /* The guest's own name for it depends on its slot; "eth0" is the same everywhere */
    ethernet = json_pack("{s:{s:s}, s:s}", "match", "macaddress", mac, "set-name", name);
    json_object_set_new(ethernets, name, ethernet);
    return take_settings(node, *network, ethernet, error);
}

/* A new link called as @node says */
static bool
add_link(xmlNode *node, json_t **network, const char *kind, json_t **ret_link, GError **error)
{
    g_autofree char *name = vt_xml_attribute(node, "name");

    if (!name)
        return vt_xml_throw(node, error, "the attribute 'name' is missing");
    if (!vt_xml_match(node, name, NAME_PATTERN, "the name of an interface: bond0", error))
        return false;
    if (find_link(*network, name))
        return vt_xml_throw(node, error, "'%s' is there twice", name);
    *ret_link = json_object();
    json_object_set_new(section(network, kind), name, *ret_link);
    return true;
}

static bool
take_member(xmlNode *node, const json_t *network, json_t *bond, GError **error)
{
    g_autofree char *name = NULL;
    json_t *ethernet;

    if (!vt_xml_text(node, &name, error))
        return false;
    ethernet = json_object_get(json_object_get(network, "ethernets"), name);
    if (!ethernet)
        return vt_xml_throw(node, error,
                            "no <interface> before it is called '%.20s' (eth0, eth1, ...)", name);
    if (json_object_get(ethernet, "addresses") || json_object_get(ethernet, "dhcp4"))
        return vt_xml_throw(node, error, "'%s' has addresses; they belong to the bond", name);
    if (is_used(network, name))
        return vt_xml_throw(node, error, "'%s' is in a bond already", name);
    json_array_append_new(json_object_get(bond, "interfaces"), json_string(name));
    return true;
}

bool
vt_instance_bond(xmlNode *node, json_t **network, GError **error)
{
    g_autofree char *mode = vt_xml_attribute(node, "mode");
    json_t *bond, *members = json_array();

    if (!add_link(node, network, "bonds", &bond, error)) {
        json_decref(members);
        return false;
    }
    json_object_set_new(bond, "interfaces", members);
    if (mode && !g_strv_contains(bond_modes, mode)) {
        g_autofree char *known = g_strjoinv(", ", (char **)(uintptr_t)bond_modes);

        return vt_xml_throw(node, error, "mode='%.20s' is none of: %s", mode, known);
    }
    json_object_set_new(bond, "parameters",
                        json_pack("{s:s}", "mode", mode ? mode : "active-backup"));
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        if (vt_xml_is(child, "member") && !take_member(child, *network, bond, error))
            return false;
    }
    if (json_array_size(members) == 0)
        return vt_xml_throw(node, error, "has no <member>");
    return take_settings(node, *network, bond, error);
}

bool
vt_instance_vlan(xmlNode *node, json_t **network, GError **error)
{
    g_autofree char *id = vt_xml_attribute(node, "id"), *below = vt_xml_attribute(node, "link");
    guint64 number = 0;
    json_t *vlan;

    if (!id || !below)
        return vt_xml_throw(node, error, "the attributes 'id' and 'link' are needed");
    if (!g_ascii_string_to_unsigned(id, 10, 1, VLAN_ID_MAX, &number, NULL))
        return vt_xml_throw(node, error, "id='%.20s' is not a number from 1 to %d", id,
                            VLAN_ID_MAX);
    if (!find_link(*network, below))
        return vt_xml_throw(node, error,
                            "link='%.20s': no <interface> or <bond> before it is called so", below);
    if (!add_link(node, network, "vlans", &vlan, error))
        return false;
    json_object_set_new(vlan, "id", json_integer((json_int_t)number));
    json_object_set_new(vlan, "link", json_string(below));
    return take_settings(node, *network, vlan, error);
}

bool
vt_instance_network_check(const xmlNode *node, json_t *network, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
        const char *name;
        json_t *link;

        json_object_foreach(json_object_get(network, sections[i]), name, link)
        {
            if (!json_object_get(link, "addresses") && !json_object_get(link, "dhcp4") &&
                !is_used(network, name))
                return vt_xml_throw(node, error, "%s has neither <dhcp/> nor <address>", name);
        }
    }
    return true;
}
