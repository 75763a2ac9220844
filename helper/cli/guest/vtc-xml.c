/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-xml.c: trees of XML that libvirt is to read */
#include "vtc-xml.h"

#include <glib.h>

xmlNode *
vtc_xml_child(xmlNode *parent, const char *name, const char *text)
{
    return xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text);
}

xmlNode *
vtc_xml_attribute(xmlNode *node, const char *name, const char *value)
{
    xmlNewProp(node, (const xmlChar *)name, (const xmlChar *)value);
    return node;
}

xmlNode *
vtc_xml_number(xmlNode *parent, const char *name, unsigned value)
{
    g_autofree char *text = g_strdup_printf("%u", value);

    return vtc_xml_child(parent, name, text);
}

char *
vtc_xml_format(xmlNode *root)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *text;

    xmlNodeDump(buffer, root->doc, root, 0, 1);
    text = g_strconcat((const char *)xmlBufferContent(buffer), "\n", NULL);
    xmlBufferFree(buffer);
    return text;
}
