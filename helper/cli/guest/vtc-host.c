/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-host.c: a connection to libvirt, and what is asked of domains and volumes by name */
#include "vtc-host.h"

#include "vtc-arp.h"

#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <string.h>

static void
ignore_error(void *user, virErrorPtr error)
{
    /* Each error is reported where it matters */
}

bool
vtc_host_throw(GError **error, VtError code, const char *what, const char *name)
{
    const virError *last = virGetLastError();

    return vt_throw(error, code, "%s '%s': %s", what, name,
                    last && last->message ? last->message : "unknown error");
}

bool
vtc_host_open(const char *uri, virConnectPtr *ret_connection, GError **error)
{
    virSetErrorFunc(NULL, ignore_error);
    *ret_connection = virConnectOpen(uri);
    return *ret_connection || vtc_host_throw(error, VT_ERROR_FAILED, "cannot connect to libvirt",
                                             uri ? uri : "default");
}

/* "qemu+ssh://host/system", not "qemu:///system" */
bool
vtc_host_is_remote(virConnectPtr connection)
{
    char *uri = virConnectGetURI(connection);
    g_autoptr(GUri) parsed = uri ? g_uri_parse(uri, G_URI_FLAGS_NONE, NULL) : NULL;
    const char *host = parsed ? g_uri_get_host(parsed) : NULL;

    free(uri);
    return !parsed || (host && *host);
}

/* $VIRT_TEMPLATE_SOCKET comes before what libvirt says of itself */
VtcHelperOptions
vtc_host_helper(virConnectPtr connection)
{
    char *uri = g_getenv("VIRT_TEMPLATE_SOCKET") ? NULL : virConnectGetURI(connection);
    VtcHelperOptions helper = {.uri = uri && vtc_helper_has_uri(uri) ? g_strdup(uri) : NULL};

    free(uri);
    return helper;
}

const char *
vtc_host_virt_type(virConnectPtr connection)
{
    char *capabilities = virConnectGetDomainCapabilities(connection, NULL, NULL, NULL, "kvm", 0);
    const bool kvm = capabilities != NULL;

    free(capabilities);
    return kvm ? "kvm" : "qemu";
}

static const xmlNode *
child_of(const xmlNode *parent, const char *name)
{
    for (const xmlNode *node = parent ? parent->children : NULL; node; node = node->next) {
        if (strcmp((const char *)node->name, name) == 0)
            return node;
    }
    return NULL;
}

/* For xmlFreeDoc() */
static xmlDoc *
read_pool(virStoragePoolPtr pool)
{
    char *xml = virStoragePoolGetXMLDesc(pool, 0);
    xmlDoc *document =
        xml ? xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET) : NULL;

    free(xml);
    return document;
}

/* <pool>...<target><path>/x</path></target></pool> */
char *
vtc_host_pool_target(virStoragePoolPtr pool)
{
    xmlDoc *document = read_pool(pool);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    const xmlNode *path = child_of(child_of(root, "target"), "path");
    char *text = path && path->children ? g_strdup((const char *)path->children->content) : NULL;

    xmlFreeDoc(document);
    return text;
}

/* <pool>...<template:instance defaults='/etc/virt-template/defaults.yaml'/></pool> */
char *
vtc_host_pool_defaults(virStoragePoolPtr pool)
{
    xmlDoc *document = read_pool(pool);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    const xmlNode *instance = child_of(root, "instance");
    xmlChar *path = instance ? xmlGetNoNsProp(instance, (const xmlChar *)"defaults") : NULL;
    char *text = g_strdup((const char *)path);

    xmlFree(path);
    xmlFreeDoc(document);
    return text;
}

/* ---- domains and volumes ---- */

bool
vtc_host_runs(virConnectPtr connection, const char *name)
{
    virDomainPtr domain = virDomainLookupByName(connection, name);
    const bool active = domain && virDomainIsActive(domain) == 1;

    if (domain)
        virDomainFree(domain);
    return active;
}

bool
vtc_host_start(virConnectPtr connection, const char *name, GError **error)
{
    virDomainPtr domain = virDomainLookupByName(connection, name);
    bool ok = domain && virDomainCreate(domain) == 0;

    if (!ok)
        vtc_host_throw(error, VT_ERROR_FAILED, "cannot start the domain", name);
    if (domain)
        virDomainFree(domain);
    return ok;
}

bool
vtc_host_remove_domain(virConnectPtr connection, const char *name, GError **error)
{
    const unsigned all = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                         VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM;
    virDomainPtr domain = virDomainLookupByName(connection, name);
    bool ok;

    if (!domain)
        return true;
    ok = (virDomainIsActive(domain) != 1 || virDomainDestroy(domain) == 0) &&
         virDomainUndefineFlags(domain, all) == 0;
    if (!ok)
        vtc_host_throw(error, VT_ERROR_FAILED, "cannot remove the domain", name);
    virDomainFree(domain);
    return ok;
}

bool
vtc_host_remove_volume(virStoragePoolPtr pool, const char *volume, GError **error)
{
    virStorageVolPtr there = virStorageVolLookupByName(pool, volume);
    bool ok;

    if (!there && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL)
        return true;
    if (!there)
        return vtc_host_throw(error, VT_ERROR_FAILED, "cannot look up the volume", volume);
    ok = virStorageVolDelete(there, 0) == 0 ||
         vtc_host_throw(error, VT_ERROR_FAILED, "cannot remove the volume", volume);
    virStorageVolFree(there);
    return ok;
}

/* ---- addresses ---- */

/* Loopback and link-local are no use to anybody else */
static bool
is_of_use(const char *address)
{
    return !g_str_has_prefix(address, "127.") && strcmp(address, "::1") != 0 &&
           !g_str_has_prefix(address, "fe80:") && !g_str_has_prefix(address, "169.254.");
}

static char *
pick_address(virDomainInterfacePtr *interfaces, int count)
{
    char *found = NULL;

    for (int i = 0; i < count; i++) {
        for (unsigned j = 0; j < interfaces[i]->naddrs && !found; j++) {
            if (is_of_use(interfaces[i]->addrs[j].addr))
                found = g_strdup(interfaces[i]->addrs[j].addr);
        }
        virDomainInterfaceFree(interfaces[i]);
    }
    free(interfaces);
    return found;
}

/* <domain>...<devices><interface type='network'><mac address='52:54:00:00:00:08'/> */
static GPtrArray *
list_macs(virDomainPtr domain)
{
    GPtrArray *macs = g_ptr_array_new_with_free_func(g_free);
    char *xml = virDomainGetXMLDesc(domain, 0);
    xmlDoc *document =
        xml ? xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, XML_PARSE_NONET) : NULL;
    const xmlNode *devices = child_of(document ? xmlDocGetRootElement(document) : NULL, "devices");

    for (const xmlNode *node = devices ? devices->children : NULL; node; node = node->next) {
        const xmlNode *mac =
            strcmp((const char *)node->name, "interface") == 0 ? child_of(node, "mac") : NULL;
        xmlChar *address = mac ? xmlGetNoNsProp(mac, (const xmlChar *)"address") : NULL;

        if (address)
            g_ptr_array_add(macs, g_ascii_strdown((const char *)address, -1));
        xmlFree(address);
    }
    xmlFreeDoc(document);
    free(xml);
    return macs;
}

/* For a libvirt that cannot read the table */
static char *
pick_arp(virConnectPtr connection, virDomainPtr domain)
{
    g_autofree char *table = NULL;
    g_autoptr(GPtrArray) macs = NULL, found = NULL;

    if (vtc_host_is_remote(connection) || !g_file_get_contents(VTC_ARP_TABLE, &table, NULL, NULL))
        return NULL;
    macs = list_macs(domain);
    found = vtc_arp_find(table, macs);
    for (guint i = 0; i < found->len; i++) {
        if (is_of_use(found->pdata[i]))
            return g_strdup(found->pdata[i]);
    }
    return NULL;
}

bool
vtc_host_address(virConnectPtr connection, const char *name, char **ret_address, GError **error)
{
    static const unsigned sources[] = {VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
                                       VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
                                       VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP};
    virDomainPtr domain = virDomainLookupByName(connection, name);
    const bool active = domain && virDomainIsActive(domain) == 1;

    for (gsize i = 0; active && !*ret_address && i < G_N_ELEMENTS(sources); i++) {
        virDomainInterfacePtr *interfaces = NULL;
        int count = virDomainInterfaceAddresses(domain, &interfaces, sources[i], 0);

        if (count >= 0)
            *ret_address = pick_address(interfaces, count);
        else if (sources[i] == VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
            *ret_address = pick_arp(connection, domain);
    }
    if (domain)
        virDomainFree(domain);
    return active || vt_throw(error, VT_ERROR_FAILED, "the domain '%s' has stopped", name);
}
