/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-template.c: what a template says of its guests, and what is asked for */
#include "vtc-template.h"

#include "vt-manifest.h"
#include "vt-name.h"
#include "vtc-client.h"

#include <string.h>

void
vtc_template_clear(VtcTemplate *template)
{
    g_clear_pointer(&template->name, g_free);
    g_clear_pointer(&template->version, g_free);
    g_clear_pointer(&template->os, g_free);
    g_clear_pointer(&template->config, g_bytes_unref);
    g_clear_pointer(&template->profile, vt_profile_free);
    g_clear_pointer(&template->unknown, g_free);
}

/* ---- what is asked for ---- */

/* The one interface that --network asks for, of the model that the guest has drivers for */
static bool
replace_interfaces(const char *network, VtHardware *hardware, GError **error)
{
    json_t *root = json_pack("{s:[{s:s, s:s}]}", "interfaces", "network", network, "model",
                             hardware->interfaces[0].model);
    VtJson object = vt_json_root(root, "--network");
    bool ok = root ? vt_hardware_parse(&object, hardware, error)
                   : vt_throw(error, VT_ERROR_INVALID, "--network: not UTF-8");

    json_decref(root);
    return ok;
}

static bool
apply_wanted(const VtcProvision *provision, VtHardware *hardware, GError **error)
{
    VtJson object = vt_json_root(provision->hardware, "hardware");

    if ((object.value && !vt_hardware_parse(&object, hardware, error)) ||
        (provision->network && !replace_interfaces(provision->network, hardware, error)))
        return false;
    if (provision->no_network)
        hardware->interface_count = 0;
    return true;
}

bool
vtc_template_hardware_wanted(const VtcProvision *provision, VtHardware *ret_hardware,
                             GError **error)
{
    VtHardware hardware = vt_hardware_default();

    if (!apply_wanted(provision, &hardware, error))
        return false;
    *ret_hardware = hardware;
    return true;
}

/* ---- the template's profile ---- */

static bool
get_config(const char *template, const VtcHelperOptions *helper, const char *target,
           GBytes **ret_config, GError **error)
{
    g_autoptr(VtcClient) client = NULL;
    g_autoptr(GVariant) reply = NULL;
    g_autofree char *name = NULL, *version = NULL;
    const char *text;

    if (!target)
        return vt_throw(error, VT_ERROR_NOT_FOUND, "libvirt is on another host");
    if (!vt_reference_parse(template, &name, &version, error) ||
        !vtc_client_open(helper, false, &client, error) ||
        !vtc_client_call(client, "GetConfig",
                         g_variant_new("(sss)", target, name, version ? version : ""), "(s)",
                         &reply, error))
        return false;
    g_variant_get(reply, "(&s)", &text);
    *ret_config = g_bytes_new(text, strlen(text));
    return true;
}

static bool
take_profile(const VtJson *config, VtHardware *hardware, GError **error)
{
    const VtJson profile = vt_json_member(config, "hardware");

    if (!profile.value)
        return true;
    if (!vt_json_is_object(&profile, error) || !vt_hardware_parse(&profile, hardware, error))
        return false;
    return !vt_hardware_has_mac(hardware) ||
           vt_json_throw(&profile, error, "a MAC address belongs to one guest, not to a template");
}

static bool
apply_config(GBytes *bytes, const char *reference, VtcTemplate *template, GError **error)
{
    g_autoptr(VtTemplateConfig) config = NULL;
    json_auto_t *root = NULL;
    VtJson object;

    if (!vt_template_config_parse(bytes, &config, error) ||
        !vt_json_parse(bytes, reference, VT_TEMPLATE_CONFIG_MAX, &root, error))
        return false;
    object = vt_json_root(root, reference);
    g_free(template->name);
    g_free(template->version);
    template->name = g_steal_pointer(&config->name);
    template->version = g_steal_pointer(&config->version);
    template->os = g_steal_pointer(&config->os);
    template->config = g_bytes_ref(bytes);
    return take_profile(&object, &template->hardware, error) &&
           vt_profile_parse(&object, &template->profile, error);
}

/* Reasons for which the template's profile is just not known */
static bool
is_unknown(const GError *error)
{
    return g_error_matches(error, VTC_ERROR, VTC_ERROR_NO_HELPER) ||
           g_error_matches(error, VT_ERROR, VT_ERROR_NOT_FOUND) ||
           g_error_matches(error, VT_ERROR, VT_ERROR_BUSY) ||
           g_error_matches(error, VT_ERROR, VT_ERROR_DENIED);
}

bool
vtc_template_resolve(const VtcProvision *provision, const VtcHelperOptions *helper,
                     const char *target, VtcTemplate *ret_template, GError **error)
{
    g_auto(VtcTemplate) template = {.hardware = vt_hardware_default()};
    g_autoptr(GBytes) config = NULL;
    g_autoptr(GError) local = NULL;

    if (!vt_reference_parse(provision->template, &template.name, &template.version, error))
        return false;
    if (!template.version)
        g_clear_pointer(&template.name, g_free);
    if (get_config(provision->template, helper, target, &config, &local)) {
        if (!apply_config(config, provision->template, &template, error))
            return false;
    } else if (is_unknown(local)) {
        template.unknown = g_strdup(local->message);
    } else {
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    if (!apply_wanted(provision, &template.hardware, error) ||
        !vt_hardware_check(&template.hardware, error))
        return false;
    *ret_template = template;
    template = (VtcTemplate){0};
    return true;
}
