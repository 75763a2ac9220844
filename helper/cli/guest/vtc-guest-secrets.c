/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-secrets.c: secrets that a guest asks for, and those that are given */
#include "vtc-guest-secrets.h"

#include "vt-instance-template.h"
#include "vt-secrets.h"
#include "vtc-host.h"
#include "vtc-secrets.h"

#include <string.h>

#define ADVICE "give it with --secrets FILE"

/* "anna, hash; parameters of the template: token (secret, required)" */
static char *
describe(const VtcDomain *domain, const GPtrArray *keys)
{
    g_autofree char *parameters =
        domain->profile ? vt_profile_describe(domain->profile) : g_strdup("not known");
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < keys->len; i++)
        g_string_append_printf(text, "%s%s", i ? ", " : "", (const char *)keys->pdata[i]);
    return g_strdup_printf("%s; parameters of the template: %s",
                           keys->len ? text->str : "none by --set", parameters);
}

static bool
is_asked_for(const VtcDomain *domain, const GPtrArray *keys, const char *key)
{
    for (guint i = 0; i < keys->len; i++) {
        if (g_str_equal(keys->pdata[i], key))
            return true;
    }
    return domain->profile ? vt_profile_find(domain->profile, key) != NULL
                           : domain->template_name != NULL;
}

static bool
check_wanted(const VtcDomain *domain, const GPtrArray *keys, const json_t *secrets, GError **error)
{
    g_autofree char *asked = describe(domain, keys);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)secrets, key, value)
    {
        if (!is_asked_for(domain, keys, key))
            return vt_throw(error, VT_ERROR_INVALID,
                            "nothing asks for the secret '%s'; asked for: %s", key, asked);
    }
    return true;
}

static bool
check_parameters(const VtcDomain *domain, const json_t *secrets, const json_t *defaults,
                 GError **error)
{
    const GPtrArray *parameters = domain->profile->parameters;

    for (guint i = 0; i < parameters->len; i++) {
        const VtParameter *parameter = parameters->pdata[i];
        g_autofree char *declared = vt_profile_describe(domain->profile);

        if (parameter->type == VT_PARAMETER_SECRET && parameter->required &&
            !json_object_get(secrets, parameter->name) &&
            !json_object_get(defaults, parameter->name))
            return vt_throw(error, VT_ERROR_INVALID,
                            "the parameter '%s' has no value, and is a secret: " ADVICE
                            "; the template has: %s",
                            parameter->name, declared);
    }
    return true;
}

static bool
check_keys(const GPtrArray *keys, const json_t *secrets, GError **error)
{
    for (guint i = 0; i < keys->len; i++) {
        const char *key = keys->pdata[i];

        /* Not shown: it may be the secret itself */
        if (!g_regex_match_simple(VT_SECRET_KEY_PATTERN, key, G_REGEX_DOLLAR_ENDONLY, 0))
            return vt_throw(error, VT_ERROR_INVALID,
                            "--set ...-secret does not name a secret by its key (small letters, "
                            "digits, '-' and '_', with a letter in front)");
        if (!json_object_get(secrets, key))
            return vt_throw(error, VT_ERROR_INVALID, "--set: there is no secret '%s': " ADVICE,
                            key);
    }
    return true;
}

bool
vtc_guest_secrets_check(const VtcDomain *domain, const json_t *secrets, const json_t *defaults,
                        GError **error)
{
    g_autoptr(GPtrArray) keys = vtc_domain_secrets(domain);

    if (!check_keys(keys, secrets, error))
        return false;
    return check_wanted(domain, keys, secrets, error) &&
           (!domain->profile || !defaults || check_parameters(domain, secrets, defaults, error));
}

/* ---- where they are ---- */

void
vtc_guest_secrets_clear(VtcGuestSecrets *secrets)
{
    g_clear_pointer(&secrets->seed, g_free);
    g_clear_pointer(&secrets->uuid, g_free);
    vtc_helper_options_clear(&secrets->helper);
}

void
vtc_guest_secrets_find(virConnectPtr connection, const char *name, VtcGuestSecrets *ret)
{
    virDomainPtr domain = virDomainLookupByName(connection, name);
    char *xml = domain ? virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE) : NULL;
    g_autoptr(GBytes) bytes = xml ? g_bytes_new_with_free_func(xml, strlen(xml), free, xml) : NULL;
    g_autoptr(VtInstance) instance = NULL;

    if (bytes && vt_instance_parse(bytes, &instance, NULL) && instance)
        *ret = (VtcGuestSecrets){.seed = g_steal_pointer(&instance->seed_path),
                                 .uuid = g_steal_pointer(&instance->uuid),
                                 .asks = vt_instance_asks(instance),
                                 .helper = vtc_host_helper(connection),
                                 .is_remote = vtc_host_is_remote(connection)};
    if (domain)
        virDomainFree(domain);
}

static bool
forget(const VtcGuestSecrets *secrets, GError **error)
{
    g_autoptr(VtcClient) client = NULL;

    if (secrets->is_remote)
        return vt_throw(error, VT_ERROR_UNSUPPORTED, "libvirt is on another host");
    return vtc_client_open(&secrets->helper, true, &client, error) &&
           vtc_secrets_send(client, secrets->seed, secrets->uuid, NULL, error);
}

void
vtc_guest_secrets_forget(const VtcGuestSecrets *secrets)
{
    g_autoptr(GError) error = NULL;

    if (!secrets->seed || forget(secrets, &error) || !secrets->asks)
        return;
    g_printerr("virt-template: if the guest had secrets, they are still kept (%s): "
               "'virt-template instance secrets %s %s --remove' removes them\n",
               error->message, secrets->seed, secrets->uuid);
}
