/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-unattend-write.c: an answer file of Windows Setup, written with libxml2 */

/* The text that is written; each component stands in the pass in which Windows reads it:
 *
 *     <unattend xmlns="urn:schemas-microsoft-com:unattend">
 *       <settings pass="specialize">
 *         <component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" ...>
 *           <ComputerName>WEB1</ComputerName>
 *         </component>
 *       </settings>
 *       <settings pass="oobeSystem">
 *         ...
 */
#include "vt-unattend-write.h"

#include <libxml/tree.h>
#include <string.h>

#define NAMESPACE     "urn:schemas-microsoft-com:unattend"
#define NAMESPACE_WCM "http://schemas.microsoft.com/WMIConfig/2002/State"
/* Of all components that are Microsoft's */
#define PUBLIC_KEY_TOKEN "31bf3856ad364e35"

void
vt_unattend_user_free(gpointer data)
{
    VtUnattendUser *user = data;

    if (!user)
        return;
    g_free(user->name);
    g_free(user->password);
    g_free(user->groups);
    g_free(user);
}

VtUnattend *
vt_unattend_new(void)
{
    VtUnattend *unattend = g_new0(VtUnattend, 1);

    unattend->users = g_ptr_array_new_with_free_func(vt_unattend_user_free);
    unattend->commands = g_ptr_array_new_with_free_func(g_free);
    return unattend;
}

void
vt_unattend_free(VtUnattend *unattend)
{
    if (!unattend)
        return;
    g_free(unattend->computer_name);
    g_free(unattend->dns_domain);
    g_free(unattend->time_zone);
    g_free(unattend->product_key);
    g_free(unattend->locale);
    vt_unattend_user_free(unattend->administrator);
    g_ptr_array_unref(unattend->users);
    g_ptr_array_unref(unattend->commands);
    g_free(unattend);
}

static xmlNode *
add(xmlNode *parent, const char *name, const char *text)
{
    /* Escapes; xmlNewChild() would read entities in the text */
    return xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text);
}

static void
set(xmlNode *node, const char *name, const char *value)
{
    xmlNewProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

/* A member of a list; @key counts from 1, 0 is for lists whose members have a key inside */
static xmlNode *
add_item(xmlNode *parent, const char *name, const char *text, unsigned key)
{
    xmlNode *node = add(parent, name, text);
    xmlNs *ns = xmlSearchNs(parent->doc, parent, (const xmlChar *)"wcm");
    char number[16];

    xmlNewNsProp(node, ns, (const xmlChar *)"action", (const xmlChar *)"add");
    g_snprintf(number, sizeof(number), "%u", key);
    if (key > 0)
        xmlNewNsProp(node, ns, (const xmlChar *)"keyValue", (const xmlChar *)number);
    return node;
}

static xmlNode *
add_pass(xmlNode *root, const char *name)
{
    xmlNode *settings = add(root, "settings", NULL);

    set(settings, "pass", name);
    return settings;
}

static xmlNode *
add_component(xmlNode *settings, const char *name, const VtUnattend *unattend)
{
    xmlNode *component = add(settings, "component", NULL);

    xmlNewNs(component, (const xmlChar *)NAMESPACE_WCM, (const xmlChar *)"wcm");
    set(component, "name", name);
    set(component, "processorArchitecture", unattend->architecture);
    set(component, "publicKeyToken", PUBLIC_KEY_TOKEN);
    set(component, "language", "neutral");
    set(component, "versionScope", "nonSxS");
    return component;
}

/* ---- the pass specialize: the machine ---- */

static void
write_deployment(xmlNode *settings, const VtUnattend *unattend)
{
    xmlNode *component = add_component(settings, "Microsoft-Windows-Deployment", unattend), *list;

    add(add(component, "ExtendOSPartition", NULL), "Extend", "true");
    if (unattend->commands->len == 0)
        return;
    list = add(component, "RunSynchronous", NULL);
    for (guint i = 0; i < unattend->commands->len; i++) {
        xmlNode *command = add_item(list, "RunSynchronousCommand", NULL, 0);
        char order[16];

        g_snprintf(order, sizeof(order), "%u", i + 1);
        add(command, "Order", order);
        add(command, "Path", unattend->commands->pdata[i]);
    }
}

/* "52:54:00:00:00:0a" is called "52-54-00-00-00-0A" */
static char *
identifier_of(const json_t *ethernet)
{
    const json_t *match = json_object_get(ethernet, "match");
    char *identifier = g_ascii_strup(json_string_value(json_object_get(match, "macaddress")), -1);

    return g_strdelimit(identifier, ":", '-');
}

static void
write_dns_interfaces(xmlNode *component, const VtUnattend *unattend)
{
    xmlNode *list = NULL;
    const char *name;
    json_t *ethernet;

    json_object_foreach((json_t *)unattend->ethernets, name, ethernet)
    {
        const json_t *servers =
            json_object_get(json_object_get(ethernet, "nameservers"), "addresses");
        g_autofree char *identifier = identifier_of(ethernet);
        xmlNode *interface, *order;
        json_t *server;
        size_t i;

        if (!servers)
            continue;
        list = list ? list : add(component, "Interfaces", NULL);
        interface = add_item(list, "Interface", NULL, 0);
        add(interface, "Identifier", identifier);
        order = add(interface, "DNSServerSearchOrder", NULL);
        json_array_foreach(servers, i, server)
            add_item(order, "IpAddress", json_string_value(server), (unsigned)i + 1);
    }
}

static bool
has_dns(const VtUnattend *unattend)
{
    const char *name;
    json_t *ethernet;

    json_object_foreach((json_t *)unattend->ethernets, name, ethernet)
    {
        if (json_object_get(ethernet, "nameservers"))
            return true;
    }
    return unattend->dns_domain != NULL;
}

static void
write_dns(xmlNode *settings, const VtUnattend *unattend)
{
    xmlNode *component;

    if (!has_dns(unattend))
        return;
    component = add_component(settings, "Microsoft-Windows-DNS-Client", unattend);
    if (unattend->dns_domain)
        add(component, "DNSDomain", unattend->dns_domain);
    write_dns_interfaces(component, unattend);
}

static void
write_machine(xmlNode *settings, const VtUnattend *unattend)
{
    xmlNode *component = add_component(settings, "Microsoft-Windows-Shell-Setup", unattend);

    add(component, "ComputerName", unattend->computer_name);
    if (unattend->product_key)
        add(component, "ProductKey", unattend->product_key);
    if (unattend->time_zone)
        add(component, "TimeZone", unattend->time_zone);
}

static bool
has_ipv6(const json_t *addresses)
{
    json_t *address;
    size_t i;

    json_array_foreach((json_t *)addresses, i, address)
    {
        if (strchr(json_string_value(address), ':'))
            return true;
    }
    return false;
}

static void
write_routes(xmlNode *interface, const json_t *routes)
{
    xmlNode *list = routes ? add(interface, "Routes", NULL) : NULL;
    json_t *route;
    size_t i;

    json_array_foreach((json_t *)routes, i, route)
    {
        xmlNode *node = add_item(list, "Route", NULL, 0);
        char number[16];

        g_snprintf(number, sizeof(number), "%zu", i + 1);
        add(node, "Identifier", number);
        add(node, "NextHopAddress", json_string_value(json_object_get(route, "via")));
        add(node, "Prefix", json_string_value(json_object_get(route, "to")));
    }
}

/* The order of the elements in <Interface> counts, says the reference */
static void
write_interface(xmlNode *list, const json_t *ethernet)
{
    const json_t *addresses = json_object_get(ethernet, "addresses");
    g_autofree char *identifier = identifier_of(ethernet);
    xmlNode *interface = add_item(list, "Interface", NULL, 0), *unicast;
    json_t *address;
    size_t i;

    add(add(interface, "Ipv4Settings", NULL), "DhcpEnabled",
        json_object_get(ethernet, "dhcp4") ? "true" : "false");
    if (has_ipv6(addresses))
        add(add(interface, "Ipv6Settings", NULL), "DhcpEnabled", "false");
    add(interface, "Identifier", identifier);
    if (addresses) {
        unicast = add(interface, "UnicastIpAddresses", NULL);
        json_array_foreach((json_t *)addresses, i, address)
            add_item(unicast, "IpAddress", json_string_value(address), (unsigned)i + 1);
    }
    write_routes(interface, json_object_get(ethernet, "routes"));
}

static void
write_tcpip(xmlNode *settings, const VtUnattend *unattend)
{
    xmlNode *list;
    const char *name;
    json_t *ethernet;

    if (!unattend->ethernets)
        return;
    list = add(add_component(settings, "Microsoft-Windows-TCPIP", unattend), "Interfaces", NULL);
    json_object_foreach((json_t *)unattend->ethernets, name, ethernet)
        write_interface(list, ethernet);
}

/* ---- the pass oobeSystem: who uses it ---- */

static void
write_international(xmlNode *settings, const VtUnattend *unattend)
{
    static const char *const names[] = {"InputLocale", "SystemLocale", "UILanguage", "UserLocale"};
    xmlNode *component;

    if (!unattend->locale)
        return;
    component = add_component(settings, "Microsoft-Windows-International-Core", unattend);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        add(component, names[i], unattend->locale);
}

/* The form in which Windows System Image Manager hides passwords: UTF-16, little endian, of the
 * password and the element's name behind it, in base64. It hides them from a glance only. */
static void
write_password(xmlNode *parent, const char *element, const char *password)
{
    g_autofree char *text = g_strconcat(password, element, NULL), *encoded = NULL;
    xmlNode *node = add(parent, element, NULL);
    glong length;
    g_autofree gunichar2 *units = g_utf8_to_utf16(text, -1, NULL, &length, NULL);

    for (glong i = 0; i < length; i++)
        units[i] = GUINT16_TO_LE(units[i]);
    encoded = g_base64_encode((const guchar *)units, (gsize)length * sizeof(*units));
    add(node, "Value", encoded);
    add(node, "PlainText", "false");
}

static void
write_accounts(xmlNode *component, const VtUnattend *unattend)
{
    xmlNode *accounts, *list;

    if (!unattend->administrator && unattend->users->len == 0)
        return;
    accounts = add(component, "UserAccounts", NULL);
    if (unattend->administrator)
        write_password(accounts, "AdministratorPassword", unattend->administrator->password);
    if (unattend->users->len == 0)
        return;
    list = add(accounts, "LocalAccounts", NULL);
    for (guint i = 0; i < unattend->users->len; i++) {
        const VtUnattendUser *user = unattend->users->pdata[i];
        xmlNode *node = add_item(list, "LocalAccount", NULL, 0);

        write_password(node, "Password", user->password);
        add(node, "Group", user->groups);
        add(node, "Name", user->name);
    }
}

static void
write_first_run(xmlNode *settings, const VtUnattend *unattend)
{
    xmlNode *component = add_component(settings, "Microsoft-Windows-Shell-Setup", unattend);
    xmlNode *oobe = add(component, "OOBE", NULL);

    add(oobe, "HideEULAPage", "true");
    /* Where nobody has an account yet, the person at the screen must be able to make one */
    if (unattend->administrator)
        add(oobe, "HideLocalAccountScreen", "true");
    add(oobe, "HideOEMRegistrationScreen", "true");
    if (unattend->administrator || unattend->users->len > 0)
        add(oobe, "HideOnlineAccountScreens", "true");
    add(oobe, "HideWirelessSetupInOOBE", "true");
    /* Updates are as the image has them: 3 does not ask, and does not switch anything on */
    add(oobe, "ProtectYourPC", "3");
    write_accounts(component, unattend);
}

char *
vt_unattend_write(const VtUnattend *unattend)
{
    xmlDoc *document = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *root = xmlNewDocNode(document, NULL, (const xmlChar *)"unattend", NULL), *settings;
    xmlChar *memory = NULL;
    int size = 0;
    char *text;

    xmlDocSetRootElement(document, root);
    xmlSetNs(root, xmlNewNs(root, (const xmlChar *)NAMESPACE, NULL));
    settings = add_pass(root, "specialize");
    write_deployment(settings, unattend);
    write_dns(settings, unattend);
    write_machine(settings, unattend);
    write_tcpip(settings, unattend);
    settings = add_pass(root, "oobeSystem");
    write_international(settings, unattend);
    write_first_run(settings, unattend);
    xmlDocDumpFormatMemoryEnc(document, &memory, &size, "utf-8", 1);
    text = g_strndup((const char *)memory, (gsize)size);
    xmlFree(memory);
    xmlFreeDoc(document);
    return text;
}
