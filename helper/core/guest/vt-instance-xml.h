/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-xml.h: elements of an <instance>, and what their values may be */
#pragma once

#include "vt-error.h"

#include <libxml/tree.h>

#define VT_INSTANCE_HOST_PART "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#define VT_INSTANCE_HOSTNAME_PATTERN                                                               \
    "^(?=.{1,253}$)" VT_INSTANCE_HOST_PART "(\\." VT_INSTANCE_HOST_PART ")*$"
#define VT_INSTANCE_PATH_PATTERN "^(/[^/[:cntrl:]]+)+$"

/** vt_xml_where: Returns: (transfer full): `<instance>: line N: <element>` */
char *vt_xml_where(const xmlNode *node);

/** vt_xml_throw: Sets %VT_ERROR_INVALID `<instance>: line N: <element>: text`. Returns: false */
bool vt_xml_throw(const xmlNode *node, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

/** vt_xml_is: Whether @node is the element @name of the instance namespace */
bool vt_xml_is(const xmlNode *node, const char *name);

/** vt_xml_next: Returns: (nullable): @node, or the first element behind it */
xmlNode *vt_xml_next(xmlNode *node);

/** vt_xml_attributes: Refuses attributes that are not in @known (%NULL-terminated) */
bool vt_xml_attributes(const xmlNode *node, const char *const *known, GError **error);

/** vt_xml_attribute: Returns: (transfer full) (nullable) */
char *vt_xml_attribute(xmlNode *node, const char *name);

/** vt_xml_text: @ret_text: (out) (transfer full): the text in @node, which must not be empty and
 *  must not hold elements */
bool vt_xml_text(xmlNode *node, char **ret_text, GError **error);

/** vt_xml_match: Refuses @text of @node unless it matches @pattern; @expected says so in words */
bool vt_xml_match(const xmlNode *node, const char *text, const char *pattern, const char *expected,
                  GError **error);
