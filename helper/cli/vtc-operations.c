/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-operations.c: what virt-template prepare does to an image */
#include "vtc-operations.h"

#include <string.h>

static const char *const caches[] = {"/var/cache/man/*",         "/var/cache/fontconfig/*",
                                     "/var/cache/ldconfig/*",    "/var/cache/apparmor/*",
                                     "/var/cache/debconf/*-old", NULL};
static const char *const cloud_init[] = {"/var/lib/cloud/instance",
                                         "/var/lib/cloud/instances/*",
                                         "/var/lib/cloud/data/*",
                                         "/var/lib/cloud/sem/*",
                                         "/var/lib/cloud/handlers/*",
                                         "/var/lib/cloud/scripts/*/*",
                                         "/etc/netplan/50-cloud-init.yaml",
                                         "/etc/network/interfaces.d/50-cloud-init",
                                         "/etc/systemd/network/10-cloud-init-*",
                                         NULL};
static const char *const random_seed[] = {"/var/lib/systemd/credential.secret",
                                          "/var/lib/systemd/random-seed",
                                          "/var/lib/NetworkManager/secret_key",
                                          "/boot/loader/random-seed",
                                          "/boot/efi/loader/random-seed",
                                          "/efi/loader/random-seed",
                                          NULL};
static const char *const package_lists[] = {"/var/lib/apt/lists/*_*", NULL};
static const char *const histories[] = {"/root/.*_history",
                                        "/home/*/.*_history",
                                        "/root/.lesshst",
                                        "/home/*/.lesshst",
                                        "/root/.viminfo",
                                        "/home/*/.viminfo",
                                        NULL};

static const VtcOperation operations[] = {
    {"machine-id", "the machine id; the next boot makes a new one", "machine-id", NULL},
    {"ssh-host-keys", "keys and certificates of the SSH server", "ssh-hostkeys", NULL},
    {"random-seed", "random seeds, and secrets that services make for a host", NULL, random_seed},
    {"cloud-init", "what cloud-init knows of its first instance", NULL, cloud_init},
    {"net-names", "names of interfaces by MAC address", "udev-persistent-net,net-hwaddr,net-nmconn",
     NULL},
    {"dhcp-leases", "leases and identities of DHCP clients", "dhcp-client-state", NULL},
    {"logs", "logs, journal, crash dumps, answers to an installer",
     "logfiles,crash-data,abrt-data,kickstart", NULL},
    {"shell-history", "histories of shells, editors, databases", "bash-history", histories},
    {"tmp-files", "/tmp and /var/tmp", "tmp-files", NULL},
    {"package-caches", "packages and lists of apt, dnf, zypper, pacman, apk",
     "package-manager-cache", package_lists},
    {"caches", "caches that are made again by themselves", NULL, caches},
    {VTC_OPERATION_FREE_SPACE, "zeros free space and swap; the image becomes sparse", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};
G_STATIC_ASSERT(G_N_ELEMENTS(operations) - 1 <= VTC_OPERATIONS_MAX);

const VtcOperation *
vtc_operations(void)
{
    return operations;
}

int
vtc_operations_find(const char *name)
{
    for (int i = 0; operations[i].name; i++) {
        if (strcmp(operations[i].name, name) == 0)
            return i;
    }
    return -1;
}

static bool
throw_unknown(const char *word, GError **error)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (int i = 0; operations[i].name; i++)
        g_string_append_printf(all, "%s%s", i > 0 ? ", " : "", operations[i].name);
    return vt_throw(error, VT_ERROR_INVALID, "there is no operation '%s', but: %s", word, all->str);
}

bool
vtc_operations_select(const char *list, uint32_t *ret_set, GError **error)
{
    const uint32_t all = (UINT32_C(1) << (G_N_ELEMENTS(operations) - 1)) - 1;
    g_auto(GStrv) words = g_strsplit(list ? list : "", ",", 0);
    uint32_t wanted = 0, unwanted = 0;

    for (char **word = words; *word; word++) {
        bool minus = **word == '-';
        int row = vtc_operations_find(*word + minus);

        if (row < 0)
            return throw_unknown(*word, error);
        *(minus ? &unwanted : &wanted) |= UINT32_C(1) << row;
    }
    if ((wanted & unwanted) != 0)
        return vt_throw(error, VT_ERROR_INVALID, "'%s' both has an operation and leaves it out",
                        list);
    if ((list && (wanted | unwanted) == 0) || unwanted == all)
        return vt_throw(error, VT_ERROR_INVALID, "the list of operations leaves nothing to do");
    *ret_set = (wanted ? wanted : all) & ~unwanted;
    return true;
}

char *
vtc_operations_describe(void)
{
    GString *text = g_string_new(NULL);

    for (int i = 0; operations[i].name; i++)
        g_string_append_printf(text, "  %-15s %s\n", operations[i].name, operations[i].summary);
    return g_string_free(text, FALSE);
}
