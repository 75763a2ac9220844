/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-operations.c: what virt-template prepare does to an image */
#include "vtc-operations.h"

#include <string.h>

#define FREE_SPACE "free-space"

static const VtcOperation operations[] = {
    {"machine-id", "the machine id; the next boot makes a new one"},
    {"ssh-host-keys", "keys and certificates of the SSH server"},
    {"random-seed", "random seeds, and secrets that services make for a host"},
    {"cloud-init", "what cloud-init knows of its first instance"},
    {"net-names", "names of interfaces by MAC address"},
    {"dhcp-leases", "leases and identities of DHCP clients"},
    {"logs", "logs, journal, crash dumps, answers to an installer"},
    {"shell-history", "histories of shells, editors, databases"},
    {"tmp-files", "/tmp and /var/tmp"},
    {"package-caches", "packages and lists of apt, dnf, zypper, pacman, apk"},
    {"caches", "caches that are made again by themselves"},
    {FREE_SPACE, "zeros free space and swap; the image becomes sparse"},
    {NULL, NULL},
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

uint32_t
vtc_operations_free_space(void)
{
    return UINT32_C(1) << vtc_operations_find(FREE_SPACE);
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
