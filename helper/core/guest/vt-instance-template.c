/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-instance-template.c: what an instance gets from its template, and its secrets */
#include "vt-instance-template.h"

#include "vt-instance-secret.h"
#include "vt-manifest.h"
#include "vt-profile.h"
#include "vt-secrets.h"
#include "vt-yaml.h"

#include <string.h>

/* "timezone: Europe/Berlin\n", or nothing but comments */
static bool
load_defaults(GBytes *bytes, json_t **ret_defaults, GError **error)
{
    g_autofree char *text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));

    return vt_yaml_load(text, "defaults of the pool", ret_defaults, error);
}

/* ---- secrets ---- */

/* A parameter that the XML does not give takes the secret of its name */
static void
add_secrets(VtInstance *instance, const VtProfile *profile, const json_t *secrets)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)secrets, key, value)
    {
        GPtrArray *texts;

        if (!vt_profile_find(profile, key) || g_hash_table_contains(instance->parameters, key))
            continue;
        texts = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(texts, g_strdup(json_string_value(value)));
        g_ptr_array_add(texts, NULL);
        g_hash_table_insert(instance->parameters, g_strdup(key), texts);
    }
}

/* A key that nothing asks for is one that was spelt wrong */
static bool
check_wanted(const VtInstance *instance, const VtProfile *profile, const json_t *secrets,
             GError **error)
{
    g_autofree char *declared = profile ? vt_profile_describe(profile) : g_strdup("none");
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)secrets, key, value)
    {
        if ((!profile || !vt_profile_find(profile, key)) && !vt_secrets_refers(instance, key))
            return vt_throw(error, VT_ERROR_INVALID,
                            "nothing asks for the secret '%s': no element refers to it, and the "
                            "parameters are: %s",
                            key, declared);
    }
    return true;
}

/* ---- the whole ---- */

static bool
take_profile(VtInstance *instance, const VtInstanceDocuments *documents, VtProfile **ret_profile,
             GError **error)
{
    json_auto_t *document = NULL;
    VtJson root;

    if (!instance->template)
        return true;
    if (!documents->config)
        return vt_throw(error, VT_ERROR_FAILED, "%s has no config", instance->template);
    if (!vt_json_parse(documents->config, instance->template, VT_TEMPLATE_CONFIG_MAX, &document,
                       error))
        return false;
    root = vt_json_root(document, instance->template);
    return vt_profile_parse(&root, ret_profile, error) &&
           vt_profile_check_open(*ret_profile, instance->parameters, error);
}

static bool
expand_template(VtInstance *instance, const VtProfile *profile, GBytes *defaults, GError **error)
{
    json_auto_t *pool = NULL, *values = NULL;
    json_t *config = NULL;

    if ((defaults && !load_defaults(defaults, &pool, error)) ||
        !vt_profile_values(profile, pool, instance->parameters, &values, error) ||
        !vt_profile_expand(profile, values, &config, error))
        return false;
    json_decref(instance->template_config);
    instance->template_config = config;
    return true;
}

bool
vt_instance_asks(const VtInstance *instance)
{
    return instance->template || instance->secrets->len > 0;
}

bool
vt_instance_complete(VtInstance *instance, const VtInstanceDocuments *documents, GError **error)
{
    g_autoptr(VtProfile) profile = NULL;
    json_auto_t *secrets = NULL;

    if (!vt_secrets_load(documents->secrets, "secrets of the domain", &secrets, error) ||
        !take_profile(instance, documents, &profile, error) ||
        !check_wanted(instance, profile, secrets, error))
        return false;
    if (profile) {
        add_secrets(instance, profile, secrets);
        if (!expand_template(instance, profile, documents->defaults, error))
            return false;
    }
    if (!vt_secrets_resolve(instance, secrets, error))
        return false;
    if (instance->source == VT_SEED_UNATTEND && !instance->answer)
        instance->answer = vt_unattend_write(instance->unattend);
    return true;
}
