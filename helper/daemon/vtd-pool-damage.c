/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool-damage.c: layers that verification found damaged */
#include "vtd-pool.h"

static void
add_mark(GHashTable *damaged, const VtDigest *index, const char *reason)
{
    g_hash_table_insert(damaged, g_memdup2(index, sizeof(*index)), g_strdup(reason));
}

void
vtd_pool_load_damage(VtdPool *pool)
{
    g_autoptr(GPtrArray) rows = NULL;
    g_autoptr(GError) error = NULL;

    if (!vt_db_list_damage(pool->db, pool->settings->target, &rows, &error)) {
        g_warning("damaged layers of '%s': %s", pool->settings->target, error->message);
        return;
    }
    for (guint i = 0; i < rows->len; i++) {
        const VtDbDamage *damage = rows->pdata[i];

        add_mark(pool->damaged, &damage->index, damage->reason);
    }
}

GHashTable *
vtd_damage_changed(GHashTable *damaged, const VtDigest *index, const char *reason)
{
    GHashTable *changed = g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, g_free);
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, damaged);
    while (g_hash_table_iter_next(&iter, &key, &value))
        add_mark(changed, key, value);
    if (reason)
        add_mark(changed, index, reason);
    else
        g_hash_table_remove(changed, index);
    return changed;
}

void
vtd_pool_damage(VtdPool *pool, const VtDigest *index, const char *reason)
{
    g_autoptr(GHashTable) before = NULL;
    g_autoptr(GError) error = NULL;

    if (!reason && !g_hash_table_contains(pool->damaged, index))
        return;
    if (!vt_db_put_damage(pool->db, pool->settings->target, index, reason, &error))
        g_warning("damage in '%s' is not kept: %s", pool->settings->target, error->message);
    before = pool->damaged;
    pool->damaged = vtd_damage_changed(before, index, reason);
}

bool
vtd_pool_throw_damage(const char *name, const char *version, const char *reason, GError **error)
{
    return vt_throw(error, VT_ERROR_CORRUPT,
                    "the copy of %s@%s on this host is damaged: 'virt-template verify --repair "
                    "%s@%s' mends it; clones that need it read the damaged data until then (%s)",
                    name, version, name, version, reason);
}
