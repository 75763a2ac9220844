/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-xml.h: trees of XML that libvirt is to read */
#pragma once

#include <libxml/tree.h>

/** vtc_xml_child: @text: (nullable): becomes a text node. Returns: (transfer none): of @parent */
xmlNode *vtc_xml_child(xmlNode *parent, const char *name, const char *text);

/** vtc_xml_attribute: Returns: @node, so that more can follow */
xmlNode *vtc_xml_attribute(xmlNode *node, const char *name, const char *value);

/** vtc_xml_number: vtc_xml_child() with a number as its text */
xmlNode *vtc_xml_number(xmlNode *parent, const char *name, unsigned value);

/** vtc_xml_format: Returns: (transfer full): @root, indented, ends with a line feed */
char *vtc_xml_format(xmlNode *root);
