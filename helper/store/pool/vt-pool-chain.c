/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool-chain.c: layers over layers in the directory of a pool
 *
 * A layer is needed as long as a version is a link to it, or a layer that is here has it as its
 * parent; the kept indexes tell.
 */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-index.h"
#include "vt-name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

const char *
vt_pool_file(const VtDigest *digest, const char *suffix, char buffer[VT_POOL_FILE_MAX])
{
    vt_digest_hex(digest, buffer);
    g_strlcat(buffer, suffix, VT_POOL_FILE_MAX);
    return buffer;
}

bool
vt_pool_parse_file(const char *name, const char *suffix, VtDigest *ret_digest)
{
    g_autofree char *text = NULL;

    if (strlen(name) != 2 * VT_DIGEST_BYTES + strlen(suffix) || !g_str_has_suffix(name, suffix))
        return false;
    text = g_strdup_printf(VT_DIGEST_PREFIX "%.*s", 2 * VT_DIGEST_BYTES, name);
    return vt_digest_parse(text, ret_digest, NULL);
}

bool
vt_pool_open_layer(VtPool *pool, const VtDigest *index, int *ret_fd, GError **error)
{
    char file[VT_POOL_FILE_MAX];
    vt_autofd fd = -1;

    if (!vt_pool_dirs(pool, false, error))
        return false;
    fd = openat(pool->layers_fd, vt_pool_file(index, VT_VOLUME_SUFFIX, file),
                O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open the layer '%s'", file);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* Of the kept index @file; @ret_has: whether it has one */
static bool
read_parent(VtPool *pool, const char *file, bool *ret_has, VtDigest *ret_parent, GError **error)
{
    vt_autofd fd = openat(pool->layers_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    uint8_t head[VT_INDEX_HEAD_SIZE];

    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open the kept index '%s'", file);
    if (!vt_fs_pread_all(fd, head, sizeof(head), 0, file, error))
        return false;
    *ret_has = vt_index_peek_parent(head, ret_parent);
    return true;
}

bool
vt_pool_read_parent(VtPool *pool, const VtDigest *layer, bool *ret_has, VtDigest *ret_parent,
                    GError **error)
{
    char file[VT_POOL_FILE_MAX];

    return read_parent(pool, vt_pool_file(layer, VT_POOL_INDEX, file), ret_has, ret_parent, error);
}

bool
vt_pool_chain(VtPool *pool, const VtDigest *top, GArray **ret_layers, GError **error)
{
    g_autoptr(GArray) layers = g_array_new(FALSE, FALSE, sizeof(VtDigest));
    VtDigest at = *top;
    bool has = true;

    if (!vt_pool_dirs(pool, false, error))
        return false;
    while (has) {
        char file[VT_POOL_FILE_MAX];

        /* more are only there if somebody changed the kept files */
        if (layers->len > VT_INDEX_ANCESTORS_MAX)
            return vt_throw(error, VT_ERROR_CORRUPT, "a chain of more than %u layers",
                            VT_INDEX_ANCESTORS_MAX + 1);
        g_array_append_val(layers, at);
        if (!read_parent(pool, vt_pool_file(&at, VT_POOL_INDEX, file), &has, &at, error))
            return false;
    }
    *ret_layers = g_steal_pointer(&layers);
    return true;
}

/* @known: (element-type VtDigest gpointer): gets what is found out. Returns: (nullable): the mark
 * of @layer, or of the first below it that has one */
static gpointer
find_mark(VtPool *pool, const VtDigest *layer, GHashTable *known)
{
    VtDigest path[VT_INDEX_ANCESTORS_MAX + 1];
    VtDigest at = *layer;
    gpointer mark = NULL;
    guint depth = 0;
    bool has = true;

    while (has && depth < G_N_ELEMENTS(path) &&
           !g_hash_table_lookup_extended(known, &at, NULL, &mark)) {
        path[depth++] = at;
        has = vt_pool_read_parent(pool, &at, &has, &at, NULL) && has;
    }
    while (depth > 0)
        g_hash_table_insert(known, g_memdup2(&path[--depth], sizeof(*path)), mark);
    return mark;
}

bool
vt_pool_mark(VtPool *pool, GHashTable *marks, GHashTable **ret_inodes, GError **error)
{
    g_autoptr(GHashTable) inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_autoptr(GHashTable) known =
        g_hash_table_new_full(vt_digest_hash, vt_digest_same, g_free, NULL);
    const struct dirent *entry;
    GHashTableIter iter;
    gpointer digest, mark;
    DIR *dir;

    g_hash_table_iter_init(&iter, marks);
    while (g_hash_table_iter_next(&iter, &digest, &mark))
        g_hash_table_insert(known, g_memdup2(digest, sizeof(VtDigest)), mark);
    if (!vt_pool_dirs(pool, false, error))
        return false;
    dir = vt_fs_read_dir(pool->layers_fd);
    if (!dir)
        return vt_throw_errno(error, errno, "cannot list the layers of '%s'", pool->target);
    while ((entry = readdir(dir))) {
        const guint64 inode = entry->d_ino;
        VtDigest layer;

        mark = vt_pool_parse_file(entry->d_name, VT_VOLUME_SUFFIX, &layer)
                   ? find_mark(pool, &layer, known)
                   : NULL;
        if (mark)
            g_hash_table_insert(inodes, g_memdup2(&inode, sizeof(inode)), mark);
    }
    closedir(dir);
    *ret_inodes = g_steal_pointer(&inodes);
    return true;
}

/* @ret_names: whether the kept index @file belongs to a layer that is here, and names @parent. One
 * that is damaged may do so: then nothing is removed. */
static bool
names_parent(VtPool *pool, const char *file, const VtDigest *parent, bool *ret_names,
             GError **error)
{
    g_autofree char *stem = g_strndup(file, strlen(file) - strlen(VT_POOL_INDEX));
    g_autofree char *layer = g_strconcat(stem, VT_VOLUME_SUFFIX, NULL);
    g_autoptr(GError) local = NULL;
    VtDigest named;
    bool has = false;

    *ret_names = faccessat(pool->layers_fd, layer, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*ret_names)
        return true;
    if (read_parent(pool, file, &has, &named, &local)) {
        *ret_names = has && vt_digest_equal(&named, parent);
        return true;
    }
    if (g_error_matches(local, VT_ERROR, VT_ERROR_CORRUPT)) {
        g_warning("'%s': %s; layers below it are kept", pool->target, local->message);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

static bool
has_child(VtPool *pool, const VtDigest *index, bool *ret_has, GError **error)
{
    DIR *dir = vt_fs_read_dir(pool->layers_fd);
    const struct dirent *entry;
    bool found = false, ok = true;

    if (!dir)
        return vt_throw_errno(error, errno, "cannot list the layers of '%s'", pool->target);
    while (ok && !found && (entry = readdir(dir))) {
        if (g_str_has_suffix(entry->d_name, VT_POOL_INDEX))
            ok = names_parent(pool, entry->d_name, index, &found, error);
    }
    closedir(dir);
    *ret_has = found;
    return ok;
}

/* @links: names that do not count; @ret_dropped: whether it was not needed, or is not here */
static bool
drop_layer(VtPool *pool, const VtDigest *index, nlink_t links, bool *ret_dropped, GError **error)
{
    char file[VT_POOL_FILE_MAX];
    vt_autofd fd = -1;
    bool needed = false;
    struct stat st;

    *ret_dropped = !vt_pool_has_layer(pool, index);
    if (*ret_dropped)
        return true;
    if (!vt_pool_open_layer(pool, index, &fd, error))
        return false;
    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    needed = st.st_nlink > 1 + links;
    if (!needed && !has_child(pool, index, &needed, error))
        return false;
    *ret_dropped = !needed;
    if (needed)
        return true;
    if (!vt_seal_open(fd, pool->manager, error))
        return false;
    if (unlinkat(pool->layers_fd, vt_pool_file(index, VT_VOLUME_SUFFIX, file), 0) < 0)
        return vt_throw_errno(error, errno, "cannot remove the layer '%s'", file);
    return true;
}

static bool
drop_index(VtPool *pool, const VtDigest *index, GError **error)
{
    char file[VT_POOL_FILE_MAX];

    if (unlinkat(pool->layers_fd, vt_pool_file(index, VT_POOL_INDEX, file), 0) < 0 &&
        errno != ENOENT)
        return vt_throw_errno(error, errno, "cannot remove the index '%s'", file);
    return true;
}

/* @ret_has: whether @layer has one. Without its index, what is below is not known */
static bool
find_parent(VtPool *pool, const VtDigest *layer, bool *ret_has, VtDigest *ret_parent,
            GError **error)
{
    g_autoptr(GError) local = NULL;

    *ret_has = false;
    if (vt_pool_read_parent(pool, layer, ret_has, ret_parent, &local) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_NOT_FOUND) ||
        g_error_matches(local, VT_ERROR, VT_ERROR_CORRUPT))
        return true;
    g_propagate_error(error, g_steal_pointer(&local));
    return false;
}

bool
vt_pool_drop_layers(VtPool *pool, const VtDigest *index, nlink_t links, GError **error)
{
    g_autoptr(GArray) dropped = g_array_new(FALSE, FALSE, sizeof(VtDigest));
    VtDigest at = *index;
    bool has = true;

    while (has) {
        bool drop = false;
        VtDigest parent;

        if (!find_parent(pool, &at, &has, &parent, error) ||
            !drop_layer(pool, &at, links, &drop, error))
            return false;
        if (drop)
            g_array_append_val(dropped, at);
        has = has && drop;
        links = 0;
        if (has)
            at = parent;
    }
    for (guint i = dropped->len; i > 0; i--) {
        if (!drop_index(pool, &g_array_index(dropped, VtDigest, i - 1), error))
            return false;
    }
    return true;
}
