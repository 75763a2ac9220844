/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-xml.c: elements of an <instance>, and what their values may be */
#include "vt-instance-xml.h"

#include "vt-instance.h"

#include <string.h>

char *
vt_xml_where(const xmlNode *node)
{
    return g_strdup_printf("<instance>: line %ld: <%s>", xmlGetLineNo(node),
                           (const char *)node->name);
}

bool
vt_xml_throw(const xmlNode *node, GError **error, const char *format, ...)
{
    g_autofree char *text = NULL, *where = vt_xml_where(node);
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return vt_throw(error, VT_ERROR_INVALID, "%s: %s", where, text);
}

bool
vt_xml_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns &&
           strcmp((const char *)node->ns->href, VT_INSTANCE_NAMESPACE) == 0 &&
           strcmp((const char *)node->name, name) == 0;
}

xmlNode *
vt_xml_next(xmlNode *node)
{
    while (node && node->type != XML_ELEMENT_NODE)
        node = node->next;
    return node;
}

bool
vt_xml_attributes(const xmlNode *node, const char *const *known, GError **error)
{
    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next) {
        if (!g_strv_contains(known, (const char *)attribute->name))
            return vt_xml_throw(node, error, "unknown attribute '%s'",
                                (const char *)attribute->name);
    }
    return true;
}

/* libxml2's memory may not be GLib's */
static char *
take_string(xmlChar *text)
{
    char *copy = g_strdup((const char *)text);

    xmlFree(text);
    return copy;
}

char *
vt_xml_attribute(xmlNode *node, const char *name)
{
    return take_string(xmlGetNoNsProp(node, (const xmlChar *)name));
}

bool
vt_xml_text(xmlNode *node, char **ret_text, GError **error)
{
    g_autofree char *text = NULL;

    if (vt_xml_next(node->children))
        return vt_xml_throw(node, error, "holds <%s>, but should hold text only",
                            (const char *)vt_xml_next(node->children)->name);
    text = take_string(xmlNodeGetContent(node));
    if (!text || !*text)
        return vt_xml_throw(node, error, "is empty");
    *ret_text = g_steal_pointer(&text);
    return true;
}

bool
vt_xml_match(const xmlNode *node, const char *text, const char *pattern, const char *expected,
             GError **error)
{
    g_autofree char *shown = NULL;

    if (g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0))
        return true;
    shown = vt_json_shown(text);
    return vt_xml_throw(node, error, "'%s' is not %s", shown, expected);
}
