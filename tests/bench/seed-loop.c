/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* seed-loop.c SOCKET COUNT DOMAIN_XML: has the seed of a domain made again and again, and times it
 */
#include <gio/gio.h>
#include <glib/gprintf.h>

/* A host starts its domains with pauses: what is made ready in one of them is not part of the next
 * call */
#define PAUSE_US (50 * 1000)

static int
run(GDBusConnection *connection, guint64 count, const char *xml)
{
    for (guint64 i = 0; i < count; i++) {
        gint64 start = g_get_monotonic_time();
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
            connection, NULL, "/virttemplate/Helper1", "virttemplate.Helper1", "PrepareInstance",
            g_variant_new("(s)", xml), G_VARIANT_TYPE("(s)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL,
            &error);

        if (!reply) {
            g_fprintf(stderr, "seed-loop: %s\n", error->message);
            return 1;
        }
        g_printf("%" G_GINT64_FORMAT "\n", g_get_monotonic_time() - start);
        g_usleep(PAUSE_US);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    g_autofree char *address = NULL, *xml = NULL;
    g_autoptr(GDBusConnection) connection = NULL;
    g_autoptr(GError) error = NULL;

    if (argc != 4) {
        g_fprintf(stderr, "usage: seed-loop SOCKET COUNT DOMAIN_XML\n");
        return 2;
    }
    address = g_strconcat("unix:path=", argv[1], NULL);
    connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &error);
    if (!connection || !g_file_get_contents(argv[3], &xml, NULL, &error)) {
        g_fprintf(stderr, "seed-loop: %s\n", error->message);
        return 1;
    }
    return run(connection, g_ascii_strtoull(argv[2], NULL, 10), xml);
}
