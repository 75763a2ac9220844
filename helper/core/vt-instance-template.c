/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-template.c: what an instance gets from its template */
#include "vt-instance-template.h"

#include "vt-manifest.h"
#include "vt-profile.h"
#include "vt-yaml.h"

#include <string.h>

/* "timezone: Europe/Berlin\n", or nothing but comments */
static bool
load_defaults(GBytes *bytes, json_t **ret_defaults, GError **error)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));

    return vt_yaml_load(text, "defaults of the pool", ret_defaults, error);
}

bool
vt_instance_set_template(VtInstance *instance, GBytes *config, GBytes *defaults, GError **error)
{
    g_autoptr(VtProfile) profile = NULL;
    json_auto_t *document = NULL, *pool = NULL, *values = NULL;
    VtJson root;

    if (!vt_json_parse(config, instance->template, VT_TEMPLATE_CONFIG_MAX, &document, error))
        return false;
    root = vt_json_root(document, instance->template);
    if (!vt_profile_parse(&root, &profile, error) ||
        (defaults && !load_defaults(defaults, &pool, error)) ||
        !vt_profile_values(profile, pool, instance->parameters, &values, error))
        return false;
    json_decref(instance->template_config);
    instance->template_config = vt_profile_expand(profile, values);
    return true;
}
