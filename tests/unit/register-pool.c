/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* register-pool.c SOCKET TARGET NAME STORE POLICY: what the module in libvirtd does for a pool */
#include <gio/gio.h>

int
main(int argc, char **argv)
{
    g_autofree char *address = NULL;
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GVariant) reply = NULL;
    g_autoptr(GError) error = NULL;
    GVariantBuilder settings;

    g_assert_cmpint(argc, ==, 6);
    address = g_strconcat("unix:path=", argv[1], NULL);
    connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &error);
    g_assert_no_error(error);
    g_variant_builder_init(&settings, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&settings, "{sv}", "name", g_variant_new_string(argv[3]));
    g_variant_builder_add(&settings, "{sv}", "store", g_variant_new_string(argv[4]));
    g_variant_builder_add(&settings, "{sv}", "policy", g_variant_new_string(argv[5]));
    reply = g_dbus_connection_call_sync(connection, NULL, "/virttemplate/Helper1",
                                        "virttemplate.Helper1", "RegisterPool",
                                        g_variant_new("(sa{sv})", argv[2], &settings), NULL,
                                        G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
    g_assert_no_error(error);
    return 0;
}
