/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-tidy.c: what was left in the directory of a pool by somebody who was interrupted
 *
 * Theory of operation
 *
 * A fetch is committed in this order: documents, layers, the version's name, seals; an eviction
 * goes the other way. So whatever is found under the lock on .layers tells how far somebody came:
 *
 *     .X.tmp                             a document that was being written: removed
 *     .partial/<hex>.gone                an eviction: is brought to its end
 *     layer below no version, no mode    did not get a version: is a partial download again, of
 *                                        which nothing is fetched twice
 *     layer below a version, no mode     stays: it gets its mode and its seal with all that have
 *                                        lost theirs (vt_pool_reseal())
 *     index without layer, manifest without version: removed
 *
 * A layer that is below no version and has its mode had one, which somebody has removed by hand: it
 * stays. Whether it is sealed says nothing: mounts go with a reboot, and not all can be sealed.
 */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-manifest.h"
#include "vt-name.h"
#include "vt-seed-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

/* ---- names that tell by themselves ---- */

static void
remove_new(VtPool *pool)
{
    DIR *dir = vt_fs_read_dir(pool->partial_fd);
    const struct dirent *entry;
    VtDigest index;

    while (dir && (entry = readdir(dir))) {
        if (vt_pool_parse_file(entry->d_name, VT_POOL_NEW, &index))
            unlinkat(pool->partial_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* Ends what <hex>SUFFIX in .partial tells of. Returns: how many */
static guint
end_all(VtPool *pool, const char *suffix,
        bool (*end)(VtPool *pool, const VtDigest *index, GError **error), const char *what)
{
    DIR *dir = vt_fs_read_dir(pool->partial_fd);
    const struct dirent *entry;
    guint count = 0;

    while (dir && (entry = readdir(dir))) {
        g_autoptr(GError) error = NULL;
        VtDigest index;

        if (!vt_pool_parse_file(entry->d_name, suffix, &index))
            continue;
        if (end(pool, &index, &error))
            count++;
        else
            g_warning("an interrupted %s in '%s': %s", what, pool->target, error->message);
    }
    if (dir)
        closedir(dir);
    return count;
}

/* ---- layers ---- */

/* A name that a committed layer still has among the downloads, because a rename that is a link and
 * its unlink was cut off: it would look like that of a version */
static bool
drop_second_name(VtPool *pool, const VtDigest *index, const struct stat *layer)
{
    char partial[VT_POOL_FILE_MAX];
    struct stat other;

    vt_pool_file(index, "", partial);
    return fstatat(pool->partial_fd, partial, &other, AT_SYMLINK_NOFOLLOW) == 0 &&
           other.st_dev == layer->st_dev && other.st_ino == layer->st_ino &&
           unlinkat(pool->partial_fd, partial, 0) == 0;
}

typedef struct {
    VtDigest index;
    VtDigest parent;
    bool has_parent;
    bool known; /* its kept index could be read */
    bool needed;
    bool committed;
} Layer;

/* @layers: (element-type utf8 Layer): gets all that are here, by their digests */
static void
find_layers(VtPool *pool, GHashTable *layers)
{
    DIR *dir = vt_fs_read_dir(pool->layers_fd);
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        char text[VT_DIGEST_STRING_MAX];
        Layer layer = {0};
        struct stat st;
        Layer *found;

        if (!vt_pool_parse_file(entry->d_name, VT_VOLUME_SUFFIX, &layer.index) ||
            fstatat(pool->layers_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (st.st_nlink > 1 && drop_second_name(pool, &layer.index, &st))
            st.st_nlink--;
        layer.known =
            vt_pool_read_parent(pool, &layer.index, &layer.has_parent, &layer.parent, NULL);
        layer.needed = st.st_nlink > 1;
        layer.committed = vt_pool_is_committed(&st);
        found = g_memdup2(&layer, sizeof(layer));
        g_hash_table_replace(layers, g_strdup(vt_digest_format(&layer.index, text)), found);
    }
    if (dir)
        closedir(dir);
}

/* Marks what is below a version. Returns: whether that is known of all of them */
static bool
mark_needed(GHashTable *layers)
{
    bool known = true;
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, layers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Layer *layer = value;

        while (layer && layer->needed && layer->known && layer->has_parent) {
            char text[VT_DIGEST_STRING_MAX];
            Layer *parent = g_hash_table_lookup(layers, vt_digest_format(&layer->parent, text));

            if (!parent || parent->needed)
                break;
            parent->needed = true;
            layer = parent;
        }
        known = known && (!layer || !layer->needed || layer->known);
    }
    return known;
}

static void
make_partial(VtPool *pool, const Layer *layer)
{
    char partial[VT_POOL_FILE_MAX], file[VT_POOL_FILE_MAX];
    vt_autofd fd = -1;

    vt_pool_file(&layer->index, "", partial);
    vt_pool_file(&layer->index, VT_VOLUME_SUFFIX, file);
    if (vt_pool_open_layer(pool, &layer->index, &fd, NULL) && fchmod(fd, 0600) == 0 &&
        vt_fs_rename_new(pool->layers_fd, file, pool->partial_fd, partial))
        g_info("'%s' of '%s' has no version: a download that was cut off", file, pool->target);
}

static void
settle_layers(VtPool *pool)
{
    g_autoptr(GHashTable) layers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    GHashTableIter iter;
    gpointer value;
    bool known;

    find_layers(pool, layers);
    known = mark_needed(layers);
    g_hash_table_iter_init(&iter, layers);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Layer *layer = value;

        if (known && !layer->needed && !layer->committed)
            make_partial(pool, layer);
    }
}

/* ---- documents ---- */

static void
remove_indexes(VtPool *pool)
{
    DIR *dir = vt_fs_read_dir(pool->layers_fd);
    const struct dirent *entry;
    VtDigest index;

    while (dir && (entry = readdir(dir))) {
        if (vt_pool_parse_file(entry->d_name, VT_POOL_INDEX, &index) &&
            !vt_pool_has_layer(pool, &index))
            unlinkat(pool->layers_fd, entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

/* Whether the version that the kept config is of is here, committed or not. One that cannot be read
 * tells nothing. */
static bool
has_version(VtPool *pool, const VtDigest *manifest)
{
    g_autoptr(VtTemplateConfig) config = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autofree char *volume = NULL;

    if (!vt_pool_read_config(pool, manifest, &bytes, NULL) ||
        !vt_template_config_parse(bytes, &config, NULL))
        return true;
    volume = vt_volume_name(config->name, config->version);
    return faccessat(pool->target_fd, volume, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
has_config(VtPool *pool, const VtDigest *manifest)
{
    char file[VT_POOL_FILE_MAX];

    return faccessat(pool->manifests_fd, vt_pool_file(manifest, ".config", file), F_OK,
                     AT_SYMLINK_NOFOLLOW) == 0;
}

/* Without its config, a manifest was not complete, or not removed completely */
static bool
is_left(VtPool *pool, const char *file, VtDigest *ret_manifest)
{
    if (vt_pool_parse_file(file, ".config", ret_manifest))
        return !has_version(pool, ret_manifest);
    return (vt_pool_parse_file(file, ".json", ret_manifest) ||
            vt_pool_parse_file(file, ".proofs", ret_manifest)) &&
           !has_config(pool, ret_manifest);
}

static void
remove_manifests(VtPool *pool)
{
    DIR *dir = vt_fs_read_dir(pool->manifests_fd);
    const struct dirent *entry;
    VtDigest manifest;

    while (dir && (entry = readdir(dir))) {
        if (is_left(pool, entry->d_name, &manifest))
            vt_pool_drop_manifest(pool, &manifest);
    }
    if (dir)
        closedir(dir);
}

void
vt_pool_drop_manifest(VtPool *pool, const VtDigest *manifest)
{
    /* The config goes last: it tells that the others are to go */
    static const char *const suffixes[] = {".json", ".proofs", ".config"};

    for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        char file[VT_POOL_FILE_MAX];

        unlinkat(pool->manifests_fd, vt_pool_file(manifest, suffixes[i], file), 0);
    }
}

/* ---- */

/* Whether a repair or an eviction could not be brought to its end, or nobody knows */
static bool
has_unended(VtPool *pool)
{
    DIR *dir = vt_fs_read_dir(pool->partial_fd);
    const struct dirent *entry;
    bool found = !dir;
    VtDigest index;

    while (!found && (entry = readdir(dir)))
        found = vt_pool_parse_file(entry->d_name, VT_POOL_OLD, &index) ||
                vt_pool_parse_file(entry->d_name, VT_POOL_GONE, &index);
    if (dir)
        closedir(dir);
    return found;
}

guint
vt_pool_end_repairs(VtPool *pool)
{
    return end_all(pool, VT_POOL_OLD, vt_pool_end_replace, "repair");
}

guint
vt_pool_tidy(VtPool *pool)
{
    guint count = vt_pool_end_repairs(pool);

    vt_fs_sweep(pool->layers_fd);
    vt_fs_sweep(pool->manifests_fd);
    remove_new(pool);
    count += end_all(pool, VT_POOL_GONE, vt_pool_end_evict, "eviction");
    remove_manifests(pool);
    /* Who ends it the next time needs the repaired layer, which has no version yet, and the indexes
     * of the layers that were removed, which tell what is below them */
    if (has_unended(pool))
        return count;
    settle_layers(pool);
    remove_indexes(pool);
    return count;
}

/* Secrets, of which nobody knows any more */
static void
tidy_records(VtPool *pool)
{
    vt_autofd fd = openat(pool->target_fd, VT_SEED_RECORDS_DIR,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        vt_fs_sweep(fd);
}

guint
vt_pool_recover(VtPool *pool)
{
    vt_autofd lock = -1;

    tidy_records(pool);
    if (!vt_pool_dirs(pool, false, NULL) || !vt_pool_lock(pool, false, &lock, NULL))
        return 0;
    return vt_pool_tidy(pool);
}
