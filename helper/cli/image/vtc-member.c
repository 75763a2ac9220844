/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-member.c: which application a domain belongs to, in its metadata */
#include "vtc-member.h"

#include <libxml/parser.h>
#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} attributes[] = {
    {"name", offsetof(VtcMember, application)},
    {"instance", offsetof(VtcMember, instance)},
    {"pool", offsetof(VtcMember, pool)},
    {"volume", offsetof(VtcMember, volume)},
};

static char **
place_of(const VtcMember *member, size_t i)
{
    return (char **)(void *)((char *)(uintptr_t)member + attributes[i].offset);
}

void
vtc_member_clear(VtcMember *member)
{
    for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
        g_clear_pointer(place_of(member, i), g_free);
}

void
vtc_member_add(const VtcMember *member, const char *uuid, xmlNode *metadata)
{
    xmlNode *node = vtc_xml_child(metadata, "application", NULL);

    xmlSetNs(node, xmlNewNs(node, (const xmlChar *)VTC_MEMBER_NAMESPACE, (const xmlChar *)"vta"));
    vtc_xml_attribute(node, "domain", uuid);
    for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
        vtc_xml_attribute(node, attributes[i].name, *place_of(member, i));
}

static char *
attribute_of(xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp(node, (const xmlChar *)name);
    char *text = g_strdup((const char *)value);

    xmlFree(value);
    return text;
}

static bool
read_element(xmlNode *node, const char *uuid, VtcMember *ret_member)
{
    g_autofree char *domain = attribute_of(node, "domain");
    bool complete = true;

    if (g_strcmp0(domain, uuid) != 0)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++) {
        *place_of(ret_member, i) = attribute_of(node, attributes[i].name);
        complete = complete && *place_of(ret_member, i);
    }
    return complete;
}

bool
vtc_member_read(virDomainPtr domain, VtcMember *ret_member)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    char *text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, VTC_MEMBER_NAMESPACE,
                                      VIR_DOMAIN_AFFECT_CONFIG);
    xmlDoc *document =
        text ? xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET) : NULL;
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    bool ok = false;

    if (root && virDomainGetUUIDString(domain, uuid) == 0)
        ok = read_element(root, uuid, ret_member);
    xmlFreeDoc(document);
    free(text);
    return ok;
}
