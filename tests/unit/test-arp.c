/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vtc-arp.h"

#include <stdint.h>

#define HEAD "IP address       HW type     Flags       HW address            Mask     Device\n"
#define MINE "52:54:00:00:00:08"
#define ALSO "52:54:00:00:00:09"

/* What is found for MINE and ALSO, joined by blanks */
static const struct {
    const char *table;
    const char *found;
} cases[] = {
    {"", ""},
    {HEAD, ""},
    {HEAD "192.0.2.8        0x1         0x2         " MINE "     *        lan\n", "192.0.2.8"},
    /* manual ones and those that are being asked again */
    {HEAD "192.0.2.8        0x1         0x6         " MINE "     *        lan\n", "192.0.2.8"},
    {HEAD "192.0.2.8        0x1         0x2         " MINE "     *        lan\n"
          "192.0.2.7        0x1         0x2         52:54:00:00:00:07     *        lan\n"
          "198.51.100.9     0x1         0x2         " ALSO "     *        dmz\n",
     "192.0.2.8 198.51.100.9"},
    /* nobody has answered; others; what is no table */
    {HEAD "192.0.2.8        0x1         0x0         " MINE "     *        lan\n", ""},
    {HEAD "192.0.2.8        0x1         0x0         00:00:00:00:00:00     *        lan\n", ""},
    {HEAD "192.0.2.7        0x1         0x2         52:54:00:00:00:07     *        lan\n", ""},
    {HEAD "192.0.2.8        0x1         0x2         " MINE "0    *        lan\n", ""},
    {"192.0.2.8 0x1 0x2\n" MINE, ""},
    {"192.0.2.8 0x1 two " MINE " * lan\n", ""},
    {"\n\n \n", ""},
};

static void
test_find(void)
{
    static const char *const own[] = {MINE, ALSO};
    g_autoptr(GPtrArray) macs = g_ptr_array_new(), none = g_ptr_array_new();

    for (size_t i = 0; i < G_N_ELEMENTS(own); i++)
        g_ptr_array_add(macs, (gpointer)(uintptr_t)own[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) found = vtc_arp_find(cases[i].table, macs);
        g_autoptr(GPtrArray) nobodys = vtc_arp_find(cases[i].table, none);
        g_autofree char *joined = NULL;

        g_ptr_array_add(found, NULL);
        joined = g_strjoinv(" ", (char **)found->pdata);
        g_assert_cmpstr(joined, ==, cases[i].found);
        g_assert_cmpuint(nobodys->len, ==, 0);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arp/find", test_find);
    return g_test_run();
}
