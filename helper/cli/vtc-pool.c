/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtc-pool.c: which pool, and which template in it */
#include "vtc-pool.h"

#include "vt-name.h"

#include <string.h>

void
vtc_pool_free(VtcPool *pool)
{
    if (!pool)
        return;
    g_free(pool->target);
    g_free(pool->name);
    g_free(pool->store);
    g_free(pool->policy);
    g_free(pool);
}

static char *
dup_setting(GVariant *settings, const char *key)
{
    const char *text = "";

    g_variant_lookup(settings, key, "&s", &text);
    return g_strdup(text);
}

bool
vtc_pool_list(VtcClient *client, GPtrArray **ret_pools, GError **error)
{
    g_autoptr(GPtrArray) pools = g_ptr_array_new_with_free_func((GDestroyNotify)vtc_pool_free);
    g_autoptr(GVariant) reply = NULL, list = NULL;
    GVariantIter iter;
    const char *target;
    GVariant *settings;

    if (!vtc_client_call(client, "ListPools", NULL, "(a(sa{sv}))", &reply, error))
        return false;
    list = g_variant_get_child_value(reply, 0);
    g_variant_iter_init(&iter, list);
    while (g_variant_iter_loop(&iter, "(&s@a{sv})", &target, &settings)) {
        VtcPool *pool = g_new0(VtcPool, 1);

        pool->target = g_strdup(target);
        pool->name = dup_setting(settings, "name");
        pool->store = dup_setting(settings, "store");
        pool->policy = dup_setting(settings, "policy");
        g_ptr_array_add(pools, pool);
    }
    *ret_pools = g_steal_pointer(&pools);
    return true;
}

/* "templates (/var/lib/libvirt/images/templates), other (/srv/other)" */
static char *
describe_pools(const GPtrArray *pools)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < pools->len; i++) {
        const VtcPool *pool = pools->pdata[i];

        g_string_append_printf(text, "%s%s (%s)", i > 0 ? ", " : "", pool->name, pool->target);
    }
    return g_string_free(text, FALSE);
}

bool
vtc_pool_choose(const GPtrArray *pools, const char *wanted, const VtcPool **ret_pool,
                GError **error)
{
    g_autofree char *known = describe_pools(pools);

    if (pools->len == 0)
        return vt_throw(error, VT_ERROR_NOT_FOUND,
                        "virttemplated knows no pool; define and start one, see "
                        "virt-template-pool(5)");
    if (!wanted && pools->len > 1)
        return vtc_usage(error, "which pool? Use --pool with one of %s", known);
    for (unsigned i = 0; i < pools->len; i++) {
        const VtcPool *pool = pools->pdata[i];

        if (!wanted || strcmp(pool->name, wanted) == 0 || strcmp(pool->target, wanted) == 0) {
            *ret_pool = pool;
            return true;
        }
    }
    return vt_throw(error, VT_ERROR_NOT_FOUND,
                    "virttemplated knows no pool '%s' (started pools: %s)", wanted, known);
}

/* ---- one template ---- */

void
vtc_target_clear(VtcTarget *target)
{
    g_clear_pointer(&target->client, vtc_client_free);
    g_clear_pointer(&target->pools, g_ptr_array_unref);
    g_clear_pointer(&target->name, g_free);
    g_clear_pointer(&target->version, g_free);
}

bool
vtc_reference_parse(const char *reference, char **ret_name, char **ret_version, GError **error)
{
    bool is_volume = g_str_has_suffix(reference, VT_VOLUME_SUFFIX);
    char *version = NULL;

    if (is_volume ? !vt_volume_name_parse(reference, ret_name, &version, error)
                  : !vt_reference_parse(reference, ret_name, &version, error))
        return false;
    *ret_version = version ? version : g_strdup("");
    return true;
}

bool
vtc_target_open(const VtcHelperOptions *options, bool writable, const char *reference,
                VtcTarget *ret_target, GError **error)
{
    return (!reference ||
            vtc_reference_parse(reference, &ret_target->name, &ret_target->version, error)) &&
           vtc_client_open(options, writable, &ret_target->client, error) &&
           vtc_pool_list(ret_target->client, &ret_target->pools, error) &&
           vtc_pool_choose(ret_target->pools, options->pool, &ret_target->pool, error);
}

bool
vtc_target_call(const VtcTarget *target, const char *method, const char *reply_type,
                GVariant **ret_reply, GError **error)
{
    return vtc_client_call(
        target->client, method,
        g_variant_new("(sss)", target->pool->target, target->name, target->version), reply_type,
        ret_reply, error);
}
