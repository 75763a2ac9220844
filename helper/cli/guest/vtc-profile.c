/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-profile.c: the file of a publisher that says what a template takes */
#include "vtc-profile.h"

#include "vt-fs.h"
#include "vt-hardware.h"
#include "vt-manifest.h"
#include "vt-profile.h"
#include "vt-yaml.h"

#include <fcntl.h>
#include <string.h>

#define CLOUD_CONFIG_MARK "#cloud-config"

/* The text that is read:
 *
 *     parameters:
 *       - {name: admin, type: string, required: true}
 *     user-data: |
 *       #cloud-config
 *       users: [{name: "${admin}"}]
 *     hardware: {memory: 2048}
 */

/* A cloud-config as a block of text is read as what it says */
static bool
read_user_data(json_t *profile, GError **error)
{
    const json_t *user_data = json_object_get(profile, "user-data");
    const char *text = json_string_value(user_data);
    json_t *value = NULL;

    if (!text)
        return true;
    if (!g_str_has_prefix(text, CLOUD_CONFIG_MARK "\n"))
        return vt_throw(error, VT_ERROR_INVALID,
                        "user-data: a template's own is a cloud-config: it begins with "
                        "'" CLOUD_CONFIG_MARK "', or is a mapping");
    if (!vt_yaml_load(text, "user-data", &value, error))
        return false;
    json_object_set_new(profile, "user-data", value);
    return true;
}

static bool
check_hardware(const VtJson *root, GError **error)
{
    const VtJson member = vt_json_member(root, "hardware");
    VtHardware hardware = vt_hardware_default();

    if (!member.value)
        return true;
    return vt_hardware_parse(&member, &hardware, error) && vt_hardware_check(&hardware, error) &&
           (!vt_hardware_has_mac(&hardware) ||
            vt_json_throw(&member, error, "a MAC address belongs to one guest, not to a template"));
}

/* As the host that reads the config will see it, within its limits */
static bool
check_config(const json_t *profile, GError **error)
{
    static const char *const fields[] = {"parameters", "user-data", "hardware", NULL};
    g_autoptr(GBytes) bytes = vt_json_format(profile);
    g_autoptr(VtProfile) parsed = NULL;
    json_auto_t *document = NULL;
    VtJson root;

    if (!vt_json_parse(bytes, "profile", VT_TEMPLATE_CONFIG_MAX / 2, &document, error))
        return false;
    root = vt_json_root(document, "profile");
    return vt_json_exact_fields(&root, fields, error) && vt_profile_parse(&root, &parsed, error) &&
           check_hardware(&root, error);
}

bool
vtc_profile_load(const char *path, json_t **ret_profile, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *text = NULL;
    json_auto_t *profile = NULL;

    if (!vt_fs_read(AT_FDCWD, path, VT_YAML_MAX, &bytes, error))
        return false;
    text = g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (strlen(text) != g_bytes_get_size(bytes))
        return vt_throw(error, VT_ERROR_INVALID, "'%s' has a NUL byte", path);
    if (!vt_yaml_load(text, path, &profile, error))
        return false;
    if (!read_user_data(profile, error) || !check_config(profile, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    *ret_profile = json_incref(profile);
    return true;
}
