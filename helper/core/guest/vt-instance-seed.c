/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-seed.c: <seed> of an <instance>: where the medium is to be, and for whom */

/* The text that is parsed:
 *
 *     <seed path='/var/lib/libvirt/images/templates/web1-seed.iso' datasource='configdrive'/>
 */
#include "vt-instance-seed.h"

#include "vt-instance-xml.h"
#include "vt-seed.h"

#include <limits.h>
#include <string.h>

static const struct {
    const char *name;
    VtSeedSource source;
} sources[] = {
    {"nocloud", VT_SEED_NOCLOUD},
    {"configdrive", VT_SEED_CONFIG_DRIVE},
    {"unattend", VT_SEED_UNATTEND},
};

static bool
find_source(xmlNode *node, VtSeedSource *ret_source, GError **error)
{
    g_autofree char *name = vt_xml_attribute(node, "datasource"), *shown = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(sources); i++) {
        if (g_str_equal(name ? name : "nocloud", sources[i].name)) {
            *ret_source = sources[i].source;
            return true;
        }
    }
    shown = vt_json_shown(name);
    return vt_xml_throw(node, error,
                        "the datasource '%s' is neither 'nocloud' nor 'configdrive' nor 'unattend'",
                        shown);
}

VtSeedSource
vt_instance_source(xmlNode *instance)
{
    VtSeedSource source = VT_SEED_NOCLOUD;

    for (xmlNode *node = vt_xml_next(instance->children); node; node = vt_xml_next(node->next)) {
        if (vt_xml_is(node, "seed"))
            return find_source(node, &source, NULL) ? source : VT_SEED_NOCLOUD;
    }
    return source;
}

bool
vt_instance_seed(xmlNode *node, VtInstance *instance, GError **error)
{
    instance->seed_path = vt_xml_attribute(node, "path");
    if (!instance->seed_path)
        return vt_xml_throw(node, error, "the attribute 'path' is missing");
    if (strlen(instance->seed_path) >= PATH_MAX)
        return vt_xml_throw(node, error, "the path is longer than %d bytes", PATH_MAX);
    if (!vt_xml_match(node, instance->seed_path, VT_INSTANCE_PATH_PATTERN, "an absolute path",
                      error) ||
        !find_source(node, &instance->source, error))
        return false;
    return instance->source == VT_SEED_UNATTEND ||
           !g_str_has_suffix(instance->seed_path, VT_SEED_FLOPPY_SUFFIX) ||
           vt_xml_throw(node, error,
                        "a floppy (NAME" VT_SEED_FLOPPY_SUFFIX ") is for the datasource 'unattend' "
                        "only: call it NAME" VT_SEED_SUFFIX);
}
