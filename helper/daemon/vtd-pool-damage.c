/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vtd-pool-damage.c: layers that verification found damaged */
#include "vtd-pool.h"

#include <fcntl.h>
#include <unistd.h>

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

        g_hash_table_insert(pool->damaged, g_memdup2(&damage->index, sizeof(VtDigest)),
                            g_strdup(damage->reason));
    }
}

const char *
vtd_pool_find_damage(const VtdPool *pool, const GArray *layers)
{
    const char *damage = NULL;

    for (guint i = 0; !damage && i < layers->len; i++)
        damage = g_hash_table_lookup(pool->damaged, &g_array_index(layers, VtDigest, i));
    return damage;
}

void
vtd_pool_damage(VtdPool *pool, const VtDigest *index, const char *reason)
{
    g_autoptr(GError) error = NULL;

    if (!reason && !g_hash_table_contains(pool->damaged, index))
        return;
    if (!vt_db_put_damage(pool->db, pool->settings->target, index, reason, &error))
        g_warning("damage in '%s' is not kept: %s", pool->settings->target, error->message);
    if (reason)
        g_hash_table_insert(pool->damaged, g_memdup2(index, sizeof(*index)), g_strdup(reason));
    else
        g_hash_table_remove(pool->damaged, index);
}

const char *
vtd_pool_damage_of(VtdPool *pool, VtPool *files, const char *name, const char *version)
{
    g_autoptr(GArray) layers = NULL;
    VtDigest index;

    if (g_hash_table_size(pool->damaged) == 0 ||
        !vt_pool_find_layer(files, name, version, &index, NULL) ||
        !vt_pool_chain(files, &index, &layers, NULL))
        return NULL;
    return vtd_pool_find_damage(pool, layers);
}

GHashTable *
vtd_pool_damaged_files(const VtdPool *pool, VtPool *files)
{
    g_autoptr(GError) error = NULL;
    GHashTable *inodes = NULL;

    if (g_hash_table_size(pool->damaged) == 0)
        return NULL;
    if (!vt_pool_mark(files, pool->damaged, &inodes, &error))
        g_info("what is damaged in '%s' is not listed: %s", pool->settings->target, error->message);
    return inodes;
}

bool
vtd_pool_throw_damage(const char *name, const char *version, const char *reason, GError **error)
{
    return vt_throw(error, VT_ERROR_CORRUPT,
                    "the copy of %s@%s on this host is damaged: 'virt-template verify --repair "
                    "%s@%s' mends it; clones that need it read the damaged data until then (%s)",
                    name, version, name, version, reason);
}

void
vtd_pool_prune_damage(VtdPool *pool, VtPool *files)
{
    g_autoptr(GList) layers = g_hash_table_get_keys(pool->damaged);

    /* A directory that is not mounted now has lost no layer */
    if (!layers || faccessat(vt_pool_dir_fd(files), VT_POOL_LAYERS, F_OK, 0) < 0)
        return;
    for (GList *item = layers; item; item = item->next) {
        const VtDigest index = *(const VtDigest *)item->data;

        if (!vt_pool_has_layer(files, &index))
            vtd_pool_damage(pool, &index, NULL);
    }
}
