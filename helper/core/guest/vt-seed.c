/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed.c: the files of a seed: NoCloud, OpenStack's config drive, Windows' answer file */
#include "vt-seed.h"

#include "vt-seed-network.h"

#include <string.h>

/*
 * All documents are written as JSON, which is YAML: no value can break out of its quotes.
 *
 *     #cloud-config
 *     {"hostname": "web1", "users": [...]}
 */
#define CONFIG_MARK  "#cloud-config\n"
#define ARCHIVE_MARK "#cloud-config-archive\n"

/*
 * An image that was made without removing its machine-id gives the same one to all its clones, and
 * with it the same DHCP client identifier. What is older than this boot is the image's. A boothook
 * is the earliest that cloud-init runs, whatever user-data says.
 */
#define VENDOR_DATA                                                                                \
    "#cloud-boothook\n"                                                                            \
    "#!/bin/sh\n"                                                                                  \
    "cloud-init-per instance virt-template-machine-id /bin/sh -c '\n"                              \
    "booted=$(sed -n \"s/^btime //p\" /proc/stat)\n"                                               \
    "[ \"$(stat -c %Y /etc/machine-id)\" -lt \"$booted\" ] || exit 0\n"                            \
    "rm -f /etc/machine-id\n"                                                                      \
    "[ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id\n"                          \
    "systemd-machine-id-setup'\n"

static void
seed_file_free(gpointer data)
{
    VtSeedFile *file = data;

    g_free(file->path);
    g_bytes_unref(file->bytes);
    g_free(file);
}

static void
add_text(GPtrArray *files, const char *path, const char *text)
{
    VtSeedFile *file = g_new(VtSeedFile, 1);

    *file = (VtSeedFile){g_strdup(path), g_bytes_new(text, strlen(text))};
    g_ptr_array_add(files, file);
}

/* Members in the order in which they were set, which is fixed */
static char *
format(const json_t *value, const char *mark)
{
    char *json = json_dumps(value, JSON_COMPACT);
    char *text = g_strconcat(mark, json, "\n", NULL);

    free(json);
    return text;
}

static void
add_json(GPtrArray *files, const char *path, const json_t *value)
{
    g_autofree char *text = format(value, "");

    add_text(files, path, text);
}

const char *
vt_seed_label(VtSeedSource source)
{
    static const char *const labels[] = {[VT_SEED_NOCLOUD] = "CIDATA",
                                         [VT_SEED_CONFIG_DRIVE] = "config-2",
                                         [VT_SEED_UNATTEND] = "UNATTEND"};

    return labels[source];
}

bool
vt_seed_is_floppy(const VtInstance *instance)
{
    return instance->source == VT_SEED_UNATTEND &&
           g_str_has_suffix(instance->seed_path, VT_SEED_FLOPPY_SUFFIX);
}

/* Lists are joined, the later items behind; of anything else the later one counts */
static void
merge(json_t *config, const json_t *later)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)later, key, value)
    {
        json_t *there = json_object_get(config, key);

        if (json_is_array(there) && json_is_array(value))
            json_array_extend(there, value);
        else if (json_is_object(there) && json_is_object(value))
            merge(there, value);
        else
            json_object_set(config, key, value);
    }
}

/* The template's, what every instance gets (its name, and randomness for the first keys that it
 * makes), and the instance's own */
static char *
format_config(const VtInstance *instance, const uint8_t random[VT_SEED_RANDOM])
{
    const bool has_domain = strchr(instance->hostname, '.') != NULL;
    g_autofree char *encoded = g_base64_encode(random, VT_SEED_RANDOM);
    g_autofree char *host = g_strndup(instance->hostname, strcspn(instance->hostname, "."));
    json_auto_t *config = json_pack("{s:s, s:b}", "hostname", host, "manage_etc_hosts", 1);
    json_auto_t *identity =
        json_pack("{s:s, s:{s:s, s:s, s:s}}", "hostname", host, "random_seed", "file",
                  "/dev/urandom", "encoding", "base64", "data", encoded);

    merge(config, instance->template_config);
    if (has_domain)
        json_object_set_new(identity, "fqdn", json_string(instance->hostname));
    json_object_update(config, identity);
    merge(config, instance->config);
    return format(config, CONFIG_MARK);
}

/* One document, or both as parts of an archive; the later one counts where both say something */
static char *
format_user_data(const VtInstance *instance, const uint8_t random[VT_SEED_RANDOM])
{
    g_autofree char *config = format_config(instance, random);
    json_t *archive;
    char *text;

    if (!instance->user_data)
        return g_steal_pointer(&config);
    archive = json_pack("[{s:s, s:s}, {s:s}]", "type", "text/cloud-config", "content", config,
                        "content", instance->user_data);
    text = format(archive, ARCHIVE_MARK);
    json_decref(archive);
    return text;
}

static void
add_nocloud(GPtrArray *files, const VtInstance *instance, const char *user_data)
{
    json_auto_t *meta = json_pack("{s:s, s:s}", "instance-id", instance->uuid, "local-hostname",
                                  instance->hostname);

    add_json(files, "meta-data", meta);
    add_text(files, "user-data", user_data);
    add_text(files, "vendor-data", VENDOR_DATA);
    if (instance->network_text)
        add_text(files, "network-config", instance->network_text);
    else if (instance->network)
        add_json(files, "network-config", instance->network);
}

/* docs.openstack.org, "Metadata": also what cloudbase-init reads */
static void
add_config_drive(GPtrArray *files, const VtInstance *instance, const char *user_data)
{
    json_auto_t *meta = json_pack("{s:s, s:s, s:s}", "uuid", instance->uuid, "name",
                                  instance->domain, "hostname", instance->hostname);
    json_auto_t *vendor = json_pack("{s:s}", "cloud-init", VENDOR_DATA);

    add_json(files, "openstack/latest/meta_data.json", meta);
    add_text(files, "openstack/latest/user_data", user_data);
    add_json(files, "openstack/latest/vendor_data.json", vendor);
    if (instance->network) {
        json_auto_t *network = vt_seed_network_data(instance->network);

        add_json(files, "openstack/latest/network_data.json", network);
    }
}

GPtrArray *
vt_seed_files(const VtInstance *instance, const uint8_t random[VT_SEED_RANDOM])
{
    GPtrArray *files = g_ptr_array_new_with_free_func(seed_file_free);
    g_autofree char *user_data = NULL;

    if (instance->source == VT_SEED_UNATTEND) {
        /* The name that Windows Setup looks for in the root of removable media */
        add_text(files, "Unattend.xml", instance->answer);
        return files;
    }
    user_data = format_user_data(instance, random);
    if (instance->source == VT_SEED_NOCLOUD)
        add_nocloud(files, instance, user_data);
    else
        add_config_drive(files, instance, user_data);
    return files;
}
