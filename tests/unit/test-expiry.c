/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-expiry.c: what is done by a catalog that has expired, before and after the grace */
#include "vtd-event.h"
#include "vtd-pool.h"

#include <string.h>

#define GRACE_S 3600u
/* From the moment that a test chooses to the one when it is looked at, on a loaded machine */
#define SLACK_S 300

typedef struct {
    VtdConfig config;
    VtPoolSettings settings;
    VtdPool pool;
} World;

static guint records;

static GLogWriterOutput
count_record(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer user)
{
    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, "VIRT_TEMPLATE_REASON") &&
            g_str_equal(fields[i].value, "expired"))
            records++;
    }
    return G_LOG_WRITER_HANDLED;
}

static VtCatalog *
catalog_until(gint64 seconds)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autoptr(GDateTime) then = g_date_time_add_seconds(now, (double)seconds);
    VtCatalog *catalog = vt_catalog_new("6f1c1d2e-0f7a-4b57-9a3c-0123456789ab");

    catalog->expires = g_date_time_format_iso8601(then);
    return catalog;
}

static void
set_up(World *world, gconstpointer data)
{
    world->config.catalog_grace_s = GRACE_S;
    world->settings.target = (char *)"/srv/pool";
    world->settings.store = (char *)"oci:/srv/store";
    world->pool.config = &world->config;
    world->pool.settings = &world->settings;
    records = 0;
}

static void
tear_down(World *world, gconstpointer data)
{
    vt_catalog_free(world->pool.catalog);
}

static void
change_catalog(World *world, gint64 seconds)
{
    vt_catalog_free(world->pool.catalog);
    world->pool.catalog = catalog_until(seconds);
}

static void
assert_refused(const World *world)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(vtd_pool_check_expiry(&world->pool, &error));
    g_assert_error(error, VT_ERROR, VT_ERROR_UNTRUSTED);
    for (gsize i = 0; i < 4; i++) {
        const char *const parts[] = {"'oci:/srv/store'", "'/srv/pool'",
                                     world->pool.catalog->expires, "publish"};

        g_assert_nonnull(strstr(error->message, parts[i]));
    }
}

static void
test_states(World *world, gconstpointer data)
{
    static const struct {
        gint64 seconds;
        VtdExpiry expiry;
    } cases[] = {
        {365 * 24 * 3600, VTD_EXPIRY_VALID},
        {SLACK_S, VTD_EXPIRY_VALID},
        {0, VTD_EXPIRY_GRACE},
        {-(gint64)GRACE_S + SLACK_S, VTD_EXPIRY_GRACE},
        {-(gint64)GRACE_S, VTD_EXPIRY_OVER},
        {-(gint64)100 * 365 * 24 * 3600, VTD_EXPIRY_OVER},
    };

    /* Of a store that was never asked nothing has expired; nothing is fetched from it either */
    g_assert_cmpint(vtd_pool_expiry(&world->pool), ==, VTD_EXPIRY_VALID);
    g_assert_cmpint(vtd_pool_grace_end(&world->pool), ==, -1);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *warning = NULL;

        change_catalog(world, cases[i].seconds);
        g_assert_cmpint(vtd_pool_expiry(&world->pool), ==, cases[i].expiry);
        warning = vtd_pool_expiry_warning(&world->pool);
        g_assert_true((warning != NULL) == (cases[i].expiry != VTD_EXPIRY_VALID));
        if (cases[i].expiry == VTD_EXPIRY_OVER)
            assert_refused(world);
        else
            g_assert_true(vtd_pool_check_expiry(&world->pool, NULL));
    }
}

static void
test_no_grace(World *world, gconstpointer data)
{
    world->config.catalog_grace_s = 0;
    change_catalog(world, SLACK_S);
    g_assert_true(vtd_pool_check_expiry(&world->pool, NULL));
    change_catalog(world, 0);
    assert_refused(world);
}

/* No reader of catalogs accepts it; if one ever did, it would not be valid for ever */
static void
test_no_time(World *world, gconstpointer data)
{
    change_catalog(world, SLACK_S);
    g_free(world->pool.catalog->expires);
    world->pool.catalog->expires = g_strdup("never");
    assert_refused(world);
}

static void
test_told_once(World *world, gconstpointer data)
{
    change_catalog(world, SLACK_S);
    vtd_pool_tell_expiry(&world->pool);
    g_assert_cmpuint(records, ==, 0);
    change_catalog(world, 0);
    for (guint i = 0; i < 3; i++)
        vtd_pool_tell_expiry(&world->pool);
    g_assert_cmpuint(records, ==, 1);
    change_catalog(world, -(gint64)GRACE_S);
    for (guint i = 0; i < 3; i++)
        vtd_pool_tell_expiry(&world->pool);
    g_assert_cmpuint(records, ==, 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_log_set_writer_func(count_record, NULL, NULL);
#define ADD(path, function) g_test_add(path, World, NULL, set_up, function, tear_down)
    ADD("/expiry/states", test_states);
    ADD("/expiry/no-grace", test_no_grace);
    ADD("/expiry/no-time", test_no_time);
    ADD("/expiry/told-once", test_told_once);
    return g_test_run();
}
