/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-network.c: <interface> of an <instance>, as network-config version 2 */
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
 */

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

/* Against all addresses so far: the kernel would answer for one of them on either interface */
static bool
check_subnets(const xmlNode *node, const char *text, const json_t *ethernets, GError **error)
{
    const char *name;
    json_t *ethernet;
    VtAddress address;

    if (!vt_address_parse(text, true, &address))
        return vt_xml_throw(node, error, "'%.64s' is not an address with its prefix: 192.0.2.5/24",
                            text);
    json_object_foreach((json_t *)ethernets, name, ethernet)
    {
        json_t *other;
        size_t i;

        json_array_foreach(json_object_get(ethernet, "addresses"), i, other)
        {
            VtAddress there;

            if (vt_address_parse(json_string_value(other), true, &there) &&
                vt_address_in_one_subnet(&address, &there))
                return vt_xml_throw(node, error, "%s and %s are in one subnet", text,
                                    json_string_value(other));
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
take_plain(xmlNode *node, const char *text, json_t *ethernet, GError **error)
{
    VtAddress address;

    if (!vt_address_parse(text, false, &address))
        return vt_xml_throw(node, error, "'%.64s' is not an address", text);
    if (vt_xml_is(node, "gateway")) {
        json_array_append_new(member_list(ethernet, "routes"),
                              json_pack("{s:s, s:s}", "to",
                                        address.family == AF_INET ? "0.0.0.0/0" : "::/0", "via",
                                        text));
        return true;
    }
    if (!json_object_get(ethernet, "nameservers"))
        json_object_set_new(ethernet, "nameservers", json_object());
    json_array_append_new(member_list(json_object_get(ethernet, "nameservers"), "addresses"),
                          json_string(text));
    return true;
}

static bool
take_child(xmlNode *node, json_t *ethernets, json_t *ethernet, GError **error)
{
    static const char *const none[] = {NULL};
    g_autofree char *text = NULL;

    if (!vt_xml_attributes(node, none, error))
        return false;
    if (vt_xml_is(node, "dhcp")) {
        json_object_set_new(ethernet, "dhcp4", json_true());
        return true;
    }
    if (!vt_xml_is(node, "address") && !vt_xml_is(node, "gateway") && !vt_xml_is(node, "dns"))
        return vt_xml_throw(node, error,
                            "unknown in <interface>; known: dhcp, address, gateway, dns");
    if (!vt_xml_text(node, &text, error))
        return false;
    if (!vt_xml_is(node, "address"))
        return take_plain(node, text, ethernet, error);
    if (!check_subnets(node, text, ethernets, error))
        return false;
    json_array_append_new(member_list(ethernet, "addresses"), json_string(text));
    return true;
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

bool
vt_instance_interface(xmlNode *node, json_t *ethernets, GError **error)
{
    const size_t place = json_object_size(ethernets);
    g_autofree char *mac = NULL, *name = g_strdup_printf("eth%zu", place);
    json_t *ethernet;

    if (!find_mac(node, place, &mac, error))
        return false;
    if (is_named(ethernets, mac))
        return vt_xml_throw(node, error, "the interface %s is there twice", mac);
    /* The guest's own name for it depends on its slot; "eth0" is the same everywhere */
    ethernet = json_pack("{s:{s:s}, s:s}", "match", "macaddress", mac, "set-name", name);
    json_object_set_new(ethernets, name, ethernet);
    for (xmlNode *child = vt_xml_next(node->children); child; child = vt_xml_next(child->next)) {
        if (!take_child(child, ethernets, ethernet, error))
            return false;
    }
    return json_object_get(ethernet, "addresses") || json_object_get(ethernet, "dhcp4") ||
           vt_xml_throw(node, error, "has neither <dhcp/> nor <address>");
}
