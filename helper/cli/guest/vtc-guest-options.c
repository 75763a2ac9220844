/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-guest-options.c: the options that say what a guest is to be */
#include "vtc-guest-options.h"

#include "vt-size.h"
#include "vt-yaml.h"
#include "vtc-document.h"

#include <string.h>

void
vtc_guest_options_clear(VtcGuestOptions *options)
{
    g_free(options->uri);
    g_free(options->pool);
    g_free(options->template_pool);
    g_free(options->network);
    g_free(options->virt_type);
    g_free(options->size);
    g_free(options->strategy);
    g_free(options->user_data_file);
    g_free(options->user_data);
    g_free(options->datasource);
    g_strfreev(options->settings);
    g_free(options->hardware_text);
    json_decref(options->hardware);
    g_free(options->memory);
    g_free(options->vcpus);
    g_free(options->machine);
    g_free(options->firmware);
}

GOptionEntry *
vtc_guest_entries(VtcGuestOptions *options, const GOptionEntry *more)
{
    const GOptionEntry entries[] = {
        {"set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &options->settings, "About the guest, see below",
         "KEY=VALUE"},
        {"user-data", 'u', 0, G_OPTION_ARG_FILENAME, &options->user_data_file, "Complete user-data",
         "FILE"},
        {"datasource", 0, 0, G_OPTION_ARG_STRING, &options->datasource,
         "nocloud, configdrive or unattend", "KIND"},
        {"size", 0, 0, G_OPTION_ARG_STRING, &options->size, "Of the disk, to grow it", "SIZE"},
        {"strategy", 0, 0, G_OPTION_ARG_STRING, &options->strategy, "linked, full or instantiate",
         "WORD"},
        {"hardware", 0, 0, G_OPTION_ARG_STRING, &options->hardware_text,
         "FILE, or KEY=VALUE,... see below", "WHAT"},
        {"memory", 'm', 0, G_OPTION_ARG_STRING, &options->memory, "In MiB", "N"},
        {"vcpus", 0, 0, G_OPTION_ARG_STRING, &options->vcpus, "Processors", "N"},
        {"machine", 0, 0, G_OPTION_ARG_STRING, &options->machine, "Machine type", "TYPE"},
        {"virt-type", 0, 0, G_OPTION_ARG_STRING, &options->virt_type,
         "kvm or qemu (kvm if there is one)", "TYPE"},
        {"firmware", 0, 0, G_OPTION_ARG_STRING, &options->firmware, "bios or efi", "KIND"},
        {"network", 'n', 0, G_OPTION_ARG_STRING, &options->network, "Of its one interface",
         "NETWORK"},
        {"no-network", 0, 0, G_OPTION_ARG_NONE, &options->no_network, "No interface", NULL},
        {"pool", 'p', 0, G_OPTION_ARG_STRING, &options->pool, "Of the clone (default)", "POOL"},
        {"template-pool", 0, 0, G_OPTION_ARG_STRING, &options->template_pool,
         "If more than one has the template", "POOL"},
        {"connect", 'c', 0, G_OPTION_ARG_STRING, &options->uri, "libvirt's URI", "URI"},
    };
    GArray *all = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));

    g_array_append_vals(all, entries, G_N_ELEMENTS(entries));
    for (; more->long_name; more++)
        g_array_append_val(all, *more);
    return (GOptionEntry *)(void *)g_array_free(all, FALSE);
}

bool
vtc_guest_size(const char *text, uint64_t *ret, GError **error)
{
    return vt_size_parse(text, ret) || vtc_usage(error, "size %s: not a size such as 20G", text);
}

bool
vtc_guest_strategy(const char *text, VtcStrategy *ret, GError **error)
{
    static const char *const names[] = {[VTC_STRATEGY_INSTANTIATE] = "instantiate",
                                        [VTC_STRATEGY_LINKED] = "linked",
                                        [VTC_STRATEGY_FULL] = "full"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(names[i], text)) {
            *ret = (VtcStrategy)i;
            return true;
        }
    }
    return vtc_usage(error, "strategy %s: not 'linked', 'full' or 'instantiate'", text);
}

bool
vtc_guest_datasource(const char *text, GError **error)
{
    static const char *const names[] = {"nocloud", "configdrive", "unattend", NULL};

    return !text || g_strv_contains(names, text) ||
           vtc_usage(error, "datasource %s: not 'nocloud', 'configdrive' or 'unattend'", text);
}

static bool
check_virt_type(const char *value, GError **error)
{
    return !value || g_str_equal(value, "kvm") || g_str_equal(value, "qemu") ||
           vtc_usage(error, "--virt-type %s: neither 'kvm' nor 'qemu'", value);
}

static bool
read_user_data(VtcGuestOptions *options, GError **error)
{
    const char *file = options->user_data_file;
    g_autoptr(GError) local = NULL;
    gsize length = 0;

    if (!file)
        return true;
    if (!g_file_get_contents(file, &options->user_data, &length, &local))
        return vtc_usage(error, "--user-data: %s", local->message);
    if (length > VT_YAML_MAX)
        return vtc_usage(error, "--user-data %s: has %zu bytes, at most %u are allowed", file,
                         length, VT_YAML_MAX);
    return g_utf8_validate(options->user_data, (gssize)length, NULL) ||
           vtc_usage(error, "--user-data %s: not UTF-8, or with a NUL byte", file);
}

/* ---- hardware ---- */

/* "memory=4096,disk.bus=scsi", or the name of a file; "./a=b" is one, too */
static bool
read_hardware(VtcGuestOptions *options, GError **error)
{
    const char *text = options->hardware_text;

    if (!text) {
        options->hardware = json_object();
        return true;
    }
    if (strchr(text, '=') && *text != '/' && *text != '.')
        return vt_hardware_from_text(text, &options->hardware, error);
    return vtc_document_load(text, &options->hardware, error);
}

static bool
add_number(json_t *hardware, const char *key, const char *text, GError **error)
{
    guint64 value = 0;

    if (!text)
        return true;
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &value, NULL))
        return vtc_usage(error, "--%s %s: not a number", key, text);
    vt_json_set_uint(hardware, key, value);
    return true;
}

static void
add_word(json_t *hardware, const char *key, const char *text)
{
    if (text)
        vt_json_set_string(hardware, key, text);
}

/* An error shall be the user's before anything is asked of libvirt */
static bool
check_hardware(const VtcGuestOptions *options, unsigned count, GError **error)
{
    VtHardware hardware = vt_hardware_default();
    VtJson object = vt_json_root(options->hardware, "hardware");

    if (!vt_hardware_parse(&object, &hardware, error))
        return false;
    return count == 1 || !vt_hardware_has_mac(&hardware) ||
           vtc_usage(error, "--hardware: a MAC address is for one guest, not for %u", count);
}

static bool
complete_hardware(VtcGuestOptions *options, unsigned count, GError **error)
{
    if (!read_hardware(options, error) ||
        !add_number(options->hardware, "memory", options->memory, error) ||
        !add_number(options->hardware, "vcpus", options->vcpus, error))
        return false;
    add_word(options->hardware, "machine", options->machine);
    add_word(options->hardware, "firmware", options->firmware);
    return check_hardware(options, count, error);
}

bool
vtc_guest_complete(VtcGuestOptions *options, const char *template, unsigned count, GError **error)
{
    VtcProvision *provision = &options->provision;

    if (!check_virt_type(options->virt_type, error) ||
        !vtc_guest_datasource(options->datasource, error) || !read_user_data(options, error) ||
        !complete_hardware(options, count, error) ||
        (options->size && !vtc_guest_size(options->size, &provision->capacity, error)) ||
        (options->strategy && !vtc_guest_strategy(options->strategy, &provision->strategy, error)))
        return false;
    provision->uri = options->uri;
    provision->template = template;
    provision->template_pool = options->template_pool;
    provision->pool = options->pool ? options->pool : "default";
    provision->virt_type = options->virt_type;
    provision->hardware = options->hardware;
    provision->network = options->network;
    provision->no_network = options->no_network;
    provision->settings = options->settings;
    provision->user_data = options->user_data;
    provision->datasource = options->datasource;
    return true;
}
