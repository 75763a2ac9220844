/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template_pool_conf.c: the settings of a template pool in its XML */

/* The text that is parsed, children of <pool type='dir'>:
 *
 *     <template:store url='docker://registry.example/golden'/>
 *     <template:trust policy='/etc/virt-template/policy.json'/>
 *     <template:clone strategy='linked'/>
 *     <template:instance defaults='/etc/virt-template/defaults.yaml'/>
 *     <template:cache max='200' unit='GiB'/>
 *
 * xml/pool-template.rng says the same; the patterns are equal in both. A table is used here and not
 * libxml2's validator, because its message does not name the attribute that is wrong.
 */
#include "template_pool_conf.h"

#include <stddef.h>

/* Every URI of this project's pools; a later version must not be taken for no settings at all */
#define NAMESPACE_FAMILY "urn:virt-template:pool:"
/* As long as a path may be */
#define VALUE_MAX 4096
/* Characters of a value in a message */
#define SHOWN_MAX 200

/* A part of a path that is neither empty nor "." nor ".."; a ':' would end the path in a URL */
#define PART                                                                                       \
    "([^./:[:cntrl:]][^/:[:cntrl:]]*|\\.[^./:[:cntrl:]][^/:[:cntrl:]]*|\\.\\.[^/:[:cntrl:]]+)"
#define PREFIX_PART      "([a-z0-9_-][a-z0-9._-]*)"
#define HOST             "([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?"
#define STORE_PATTERN    "^(oci:(/" PART ")+/?|docker://" HOST "((/" PREFIX_PART ")+/?)?)$"
#define PATH_PATTERN     "^(/" PART ")+$"
#define STRATEGY_PATTERN "^(linked|full)$"
#define MAX_PATTERN      "^[1-9][0-9]{0,18}$"
#define UNIT_PATTERN     "^(bytes|B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)$"

typedef struct {
    const char *element;
    const char *attribute;
    bool required;
    const char *pattern;
    const char *expected;
    size_t offset;
} virStorageTemplateField;

static const virStorageTemplateField fields[] = {
    {"store", "url", true, STORE_PATTERN, "oci:/absolute/path or docker://host[:port]/prefix",
     offsetof(virStorageTemplatePoolConf, store)},
    {"trust", "policy", true, PATH_PATTERN, "an absolute path",
     offsetof(virStorageTemplatePoolConf, policy)},
    {"clone", "strategy", true, STRATEGY_PATTERN, "'linked' or 'full'",
     offsetof(virStorageTemplatePoolConf, strategy)},
    {"instance", "defaults", true, PATH_PATTERN, "an absolute path",
     offsetof(virStorageTemplatePoolConf, defaults)},
    {"cache", "max", true, MAX_PATTERN, "a whole number above 0",
     offsetof(virStorageTemplatePoolConf, cacheMax)},
    {"cache", "unit", false, UNIT_PATTERN, "one of bytes, B, KB, KiB, MB, MiB, GB, GiB, TB, TiB",
     offsetof(virStorageTemplatePoolConf, cacheUnit)},
};

static char **
virStorageTemplateFieldIn(const virStorageTemplateField *field, virStorageTemplatePoolConf *conf)
{
    return (char **)((char *)conf + field->offset);
}

static const virStorageTemplateField *
virStorageTemplateFieldFind(const char *element, const char *attribute)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (STREQ(fields[i].element, element) &&
            (!attribute || STREQ(fields[i].attribute, attribute)))
            return &fields[i];
    }
    return NULL;
}

/* Bytes of what a message shows of @value: whole characters */
static int
virStorageTemplateShown(const char *value)
{
    const glong length = g_utf8_strlen(value, -1);

    return (int)(g_utf8_offset_to_pointer(value, MIN(length, SHOWN_MAX)) - value);
}

static int
virStorageTemplateFieldParse(const virStorageTemplateField *field, xmlNodePtr node,
                             virStorageTemplatePoolConf *conf)
{
    g_autofree char *value = virXMLPropString(node, field->attribute);

    if (!value && field->required) {
        virReportError(VIR_ERR_XML_ERROR, "element 'template:%s' has no attribute '%s': give %s",
                       field->element, field->attribute, field->expected);
        return -1;
    }
    if (!value)
        return 0;
    if (strlen(value) > VALUE_MAX ||
        !g_regex_match_simple(field->pattern, value, G_REGEX_DOLLAR_ENDONLY, 0)) {
        virReportError(VIR_ERR_XML_ERROR,
                       "attribute '%s' of element 'template:%s' is '%.*s', but must be %s",
                       field->attribute, field->element, virStorageTemplateShown(value), value,
                       field->expected);
        return -1;
    }
    *virStorageTemplateFieldIn(field, conf) = g_steal_pointer(&value);
    return 0;
}

/* Nothing but the attributes of the table may be in an element */
static int
virStorageTemplateElementCheck(xmlNodePtr node)
{
    const char *name = (const char *)node->name;

    for (xmlAttrPtr attr = node->properties; attr; attr = attr->next) {
        if (attr->ns || !virStorageTemplateFieldFind(name, (const char *)attr->name)) {
            virReportError(VIR_ERR_XML_ERROR, "element 'template:%s' has no attribute '%s%s%s'",
                           name, attr->ns && attr->ns->prefix ? (const char *)attr->ns->prefix : "",
                           attr->ns ? ":" : "", (const char *)attr->name);
            return -1;
        }
    }
    for (xmlNodePtr child = node->children; child; child = child->next) {
        if (child->type == XML_COMMENT_NODE || xmlIsBlankNode(child))
            continue;
        virReportError(VIR_ERR_XML_ERROR, "element 'template:%s' must be empty, but has '%s'", name,
                       (const char *)child->name);
        return -1;
    }
    return 0;
}

static int
virStorageTemplateElementParse(xmlNodePtr node, virStorageTemplatePoolConf *conf)
{
    const char *name = (const char *)node->name;
    const virStorageTemplateField *first = virStorageTemplateFieldFind(name, NULL);

    if (!first) {
        virReportError(VIR_ERR_XML_ERROR,
                       "unknown element 'template:%s': there are store, trust, clone, instance and "
                       "cache",
                       name);
        return -1;
    }
    if (*virStorageTemplateFieldIn(first, conf)) {
        virReportError(VIR_ERR_XML_ERROR, "element 'template:%s' is there twice", name);
        return -1;
    }
    if (virStorageTemplateElementCheck(node) < 0)
        return -1;
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (STREQ(fields[i].element, name) &&
            virStorageTemplateFieldParse(&fields[i], node, conf) < 0)
            return -1;
    }
    return 0;
}

/* Our elements in a place where nobody would read them, or of a later version */
static int
virStorageTemplateStrayCheck(xmlXPathContextPtr ctxt)
{
    g_autofree xmlNodePtr *nodes = NULL;
    int count = virXPathNodeSet(".//*[starts-with(namespace-uri(), '" NAMESPACE_FAMILY "') and "
                                "(not(parent::pool) or namespace-uri() != "
                                "'" VIR_STORAGE_TEMPLATE_NAMESPACE_URI "')]",
                                ctxt, &nodes);

    if (count < 0)
        return -1;
    if (count == 0)
        return 0;
    if (STRNEQ((const char *)nodes[0]->ns->href, VIR_STORAGE_TEMPLATE_NAMESPACE_URI))
        virReportError(VIR_ERR_CONFIG_UNSUPPORTED,
                       "element '%s' is in the namespace '%s'; this version knows '%s'",
                       (const char *)nodes[0]->name, (const char *)nodes[0]->ns->href,
                       VIR_STORAGE_TEMPLATE_NAMESPACE_URI);
    else
        virReportError(VIR_ERR_XML_ERROR, "element 'template:%s' must be a child of <pool>",
                       (const char *)nodes[0]->name);
    return -1;
}

static int
virStorageTemplateCacheScale(virStorageTemplatePoolConf *conf)
{
    if (!conf->cacheMax)
        return 0;
    conf->cacheBytes = g_ascii_strtoull(conf->cacheMax, NULL, 10);
    if (virScaleInteger(&conf->cacheBytes, conf->cacheUnit, 1, LLONG_MAX) < 0) {
        virReportError(VIR_ERR_XML_ERROR,
                       "attribute 'max' of element 'template:cache' is too large: %s %s",
                       conf->cacheMax, conf->cacheUnit ? conf->cacheUnit : "bytes");
        return -1;
    }
    return 0;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStorageTemplatePoolConf, virStorageTemplatePoolConfFree)

int
virStorageTemplatePoolConfParse(xmlXPathContextPtr ctxt, void **data)
{
    g_autoptr(virStorageTemplatePoolConf) conf = NULL;
    g_autofree xmlNodePtr *nodes = NULL;
    int count;

    if (virStorageTemplateStrayCheck(ctxt) < 0)
        return -1;
    count = virXPathNodeSet("./*[namespace-uri()='" VIR_STORAGE_TEMPLATE_NAMESPACE_URI "']", ctxt,
                            &nodes);
    if (count <= 0)
        return count;

    conf = g_new0(virStorageTemplatePoolConf, 1);
    for (int i = 0; i < count; i++) {
        if (virStorageTemplateElementParse(nodes[i], conf) < 0)
            return -1;
    }
    if (!conf->store) {
        virReportError(
            VIR_ERR_XML_ERROR, "%s",
            "a template pool needs an element 'template:store' with the attribute 'url'");
        return -1;
    }
    if (virStorageTemplateCacheScale(conf) < 0)
        return -1;
    *data = g_steal_pointer(&conf);
    return 0;
}

int
virStorageTemplatePoolConfFormat(virBuffer *buf, void *data)
{
    virStorageTemplatePoolConf *conf = data;

    virBufferEscapeString(buf, "<template:store url='%s'/>\n", conf->store);
    virBufferEscapeString(buf, "<template:trust policy='%s'/>\n", conf->policy);
    virBufferEscapeString(buf, "<template:clone strategy='%s'/>\n", conf->strategy);
    virBufferEscapeString(buf, "<template:instance defaults='%s'/>\n", conf->defaults);
    if (conf->cacheMax) {
        virBufferEscapeString(buf, "<template:cache max='%s'", conf->cacheMax);
        virBufferEscapeString(buf, " unit='%s'", conf->cacheUnit);
        virBufferAddLit(buf, "/>\n");
    }
    return 0;
}

void
virStorageTemplatePoolConfFree(void *data)
{
    virStorageTemplatePoolConf *conf = data;

    if (!conf)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        g_free(*virStorageTemplateFieldIn(&fields[i], conf));
    g_free(conf);
}

bool
virStorageTemplatePoolConfIsFull(const virStorageTemplatePoolConf *conf)
{
    return STREQ_NULLABLE(conf->strategy, "full");
}

const virXMLNamespace virStorageTemplatePoolNamespace = {
    .parse = virStorageTemplatePoolConfParse,
    .free = virStorageTemplatePoolConfFree,
    .format = virStorageTemplatePoolConfFormat,
    .prefix = "template",
    .uri = VIR_STORAGE_TEMPLATE_NAMESPACE_URI,
};
