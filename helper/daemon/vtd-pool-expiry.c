/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool-expiry.c: a catalog that has expired, and what is still done by it */
#include "vtd-pool.h"

#include "vt-name.h"
#include "vtd-event.h"

/*
 * Theory of operation
 *
 * Who stands between a host and its store can keep new catalogs, and so new versions, from it, but
 * not make an old catalog valid for longer than its publisher said. What is here stays usable
 * whatever happens: guests must start. What is not here is fetched by an expired catalog for some
 * days more, so that a publisher who was late stops nobody, and not after that.
 */

/* Unix time; -1: no catalog is known. One with a time that is none has long expired */
static gint64
expires_at(const VtdPool *pool)
{
    g_autoptr(GDateTime) expires = NULL;

    if (!pool->catalog)
        return -1;
    expires = g_date_time_new_from_iso8601(pool->catalog->expires, NULL);
    return expires ? g_date_time_to_unix(expires) : 0;
}

gint64
vtd_pool_grace_end(const VtdPool *pool)
{
    const gint64 expires = expires_at(pool);

    return expires < 0 ? -1 : expires + (gint64)pool->config->catalog_grace_s;
}

VtdExpiry
vtd_pool_expiry(const VtdPool *pool)
{
    const gint64 now = g_get_real_time() / G_USEC_PER_SEC;

    if (!pool->catalog || now < expires_at(pool))
        return VTD_EXPIRY_VALID;
    return now < vtd_pool_grace_end(pool) ? VTD_EXPIRY_GRACE : VTD_EXPIRY_OVER;
}

char *
vtd_pool_expiry_warning(const VtdPool *pool)
{
    const VtdExpiry expiry = vtd_pool_expiry(pool);
    g_autoptr(GDateTime) end = NULL;
    g_autofree char *until = NULL;

    if (expiry == VTD_EXPIRY_VALID)
        return NULL;
    end = g_date_time_new_from_unix_utc(vtd_pool_grace_end(pool));
    until = end ? g_date_time_format_iso8601(end) : g_strdup("?");
    return g_strdup_printf(
        "the catalog of '%s' for the pool '%s' expired at %s: versions that are not on this host "
        "are %s %s; publish any version to the store, which makes a new catalog, or change "
        "'virttemplated --catalog-grace' (%u hours)",
        pool->settings->store, pool->settings->target, pool->catalog->expires,
        expiry == VTD_EXPIRY_GRACE ? "fetched until" : "not fetched since", until,
        pool->config->catalog_grace_s / VTD_GRACE_UNIT_S);
}

bool
vtd_pool_check_expiry(const VtdPool *pool, GError **error)
{
    g_autofree char *reason = NULL;

    if (vtd_pool_expiry(pool) != VTD_EXPIRY_OVER)
        return true;
    reason = vtd_pool_expiry_warning(pool);
    return vt_throw(error, VT_ERROR_UNTRUSTED, "%s", reason);
}

void
vtd_pool_tell_expiry(VtdPool *pool)
{
    const VtdEventFields fields = {.pool = pool->settings->target,
                                   .name = VT_CATALOG_NAME,
                                   .digest = &pool->manifest,
                                   .reason = "expired"};
    const VtdExpiry expiry = vtd_pool_expiry(pool);
    g_autofree char *warning = NULL;

    if (expiry <= pool->expiry_told)
        return;
    pool->expiry_told = expiry;
    warning = vtd_pool_expiry_warning(pool);
    vtd_event_log(VTD_EVENT_CATALOG_EXPIRED, &fields, "%s", warning);
}
