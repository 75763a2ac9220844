/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-clones.c: which files have a version of a pool in their backing chain */
#include "vt-clones.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-pool-dirs.h"
#include "vt-qcow2.h"
#include "vt-sha256.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * Theory of operation
 *
 * A record is a hint where to look; whether a file is a clone is read from its own header. So a
 * lost record costs nothing as long as the file is in a directory that is looked into, and a stale
 * one disappears at the next look.
 *
 * A record is a symbolic link to the path of the clone, with "/./" where the file system begins
 * that the clone is on: "/srv/vms/./web.qcow2". While nothing is mounted there, a clone that is not
 * seen may still exist.
 */

/* Hex digits of the path's SHA-256 in the name of a record */
#define RECORD_HEX 16
/* A chain of overlays over one another; libvirt itself stops at 200 */
#define CHAIN_MAX 200
/* Stands in a record between the root of a file system and what is on it */
#define MARK "/./"

typedef struct {
    char *target; /* without symbolic links */
    char *version_path;
    char *layer_path;
    /* Paths found, and directories looked into: sets */
    GHashTable *paths;
    GHashTable *dirs;
    GHashTable *elsewhere; /* (nullable): belongs to the query */
    bool prune;
} Search;

static void
search_clear(Search *search)
{
    g_free(search->target);
    g_free(search->version_path);
    g_free(search->layer_path);
    g_clear_pointer(&search->paths, g_hash_table_unref);
    g_clear_pointer(&search->dirs, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Search, search_clear)

/* Whether another file system begins at @dir than the one around it. A bind mount of a directory
 * into its own file system is none: services get those, and others when their unit changes. */
static bool
is_file_system_root(const char *dir)
{
    g_autofree char *around = g_path_get_dirname(dir);
    struct stat here, above;

    return stat(dir, &here) == 0 && stat(around, &above) == 0 && here.st_dev != above.st_dev;
}

/* "/srv/vms/./web.qcow2" for "/srv/vms/web.qcow2" if /srv/vms is a file system of its own */
static char *
mark_file_system(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);

    while (!is_file_system_root(dir)) {
        g_autofree char *around = g_path_get_dirname(dir);

        if (g_str_equal(around, dir))
            return g_strdup(path);
        g_free(dir);
        dir = g_steal_pointer(&around);
    }
    return g_strconcat(dir, MARK, path + strlen(dir) + 1, NULL);
}

bool
vt_clones_record(VtPool *pool, const char *name, const char *version, const char *path,
                 GError **error)
{
    g_autofree char *canonical = g_canonicalize_filename(path, "/");
    g_autofree char *marked = mark_file_system(canonical);
    g_autofree char *record = NULL;
    VtDigest digest;
    char hex[65];

    if (!vt_pool_dirs(pool, true, error))
        return false;
    vt_sha256_data(canonical, strlen(canonical), &digest);
    record = g_strdup_printf("%s@%s~%.*s", name, version, RECORD_HEX, vt_digest_hex(&digest, hex));
    if (symlinkat(marked, pool->clones_fd, record) < 0 && errno != EEXIST)
        return vt_throw_errno(error, errno, "cannot record the clone '%s'", path);
    return true;
}

/* What a look at a file tells of the chain below it */
typedef enum {
    CHAIN_NONE,    /* there is no such file, or it has no backing file */
    CHAIN_BACKING, /* it has one */
    CHAIN_UNKNOWN, /* it cannot be looked at: then it may be a clone */
} Chain;

/* A file that is not there, in a directory that is: it was removed. Without its directory a disk
 * may just not be mounted. */
static Chain
chain_without_file(const char *path, int number)
{
    g_autofree char *dir = g_path_get_dirname(path);
    struct stat st;

    if (number != ENOENT && number != ENOTDIR && number != ELOOP)
        return CHAIN_UNKNOWN;
    return stat(dir, &st) == 0 ? CHAIN_NONE : CHAIN_UNKNOWN;
}

/* Opening a device may start something; what is not a regular file is not opened at all */
static Chain
open_regular(const char *path, int *ret_fd)
{
    vt_autofd place = open(path, O_PATH | O_CLOEXEC);
    char self[32];
    struct stat st;

    if (place < 0 || fstat(place, &st) < 0)
        return chain_without_file(path, errno);
    if (!S_ISREG(st.st_mode))
        return CHAIN_NONE;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", place);
    *ret_fd = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return *ret_fd < 0 ? CHAIN_UNKNOWN : CHAIN_BACKING;
}

/* @ret_backing: what the header of @path names, as an absolute path */
static Chain
read_backing(const char *path, char **ret_backing)
{
    vt_autofd fd = -1;
    Chain opened = open_regular(path, &fd);
    g_auto(VtQcow2Info) info = {0};
    g_autofree uint8_t *header = NULL;
    g_autofree char *dir = NULL;
    ssize_t n;

    if (opened != CHAIN_BACKING)
        return opened;
    header = g_malloc(VT_QCOW2_HEADER_MAX);
    n = pread(fd, header, VT_QCOW2_HEADER_MAX, 0);
    if (n < 0)
        return CHAIN_UNKNOWN;
    if (!vt_qcow2_parse(header, (size_t)n, &info, NULL) || !info.backing_file)
        return CHAIN_NONE;
    dir = g_path_get_dirname(path);
    *ret_backing = g_path_is_absolute(info.backing_file)
                       ? g_strdup(info.backing_file)
                       : g_canonicalize_filename(info.backing_file, dir);
    return CHAIN_BACKING;
}

static bool
same_file(const char *a, const char *b)
{
    struct stat x, y;

    return b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

static bool
same_name(const char *resolved, const char *path)
{
    g_autofree char *a = g_path_get_basename(resolved),
                    *b = path ? g_path_get_basename(path) : NULL;

    return g_strcmp0(a, b) == 0;
}

/* Whether @backing, as written in some file, is our version: by name, or by where it leads.
 * Versions may share a layer, so the same file under the name of another version is not this one.
 */
static bool
is_version(const Search *search, const char *backing)
{
    char resolved[PATH_MAX];

    if (g_str_equal(backing, search->version_path) || g_strcmp0(backing, search->layer_path) == 0)
        return true;
    if (!realpath(backing, resolved))
        return false;
    return (same_name(resolved, search->version_path) &&
            same_file(resolved, search->version_path)) ||
           (same_name(resolved, search->layer_path) && same_file(resolved, search->layer_path));
}

/* Whether @path is a layer, or a version, of the pool. What is below it is kept for its sake. */
static bool
is_ours(const Search *search, const char *path)
{
    g_autofree char *layers = g_build_filename(search->target, VT_POOL_LAYERS, NULL);
    g_autofree char *dir = NULL;
    char resolved[PATH_MAX];
    struct stat st;

    if (!realpath(path, resolved) || stat(resolved, &st) < 0)
        return false;
    dir = g_path_get_dirname(resolved);
    return g_str_equal(dir, layers) ||
           (g_str_equal(dir, search->target) && S_ISREG(st.st_mode) && st.st_nlink > 1);
}

/* Whether @backing is a version of another pool, or a layer */
static bool
is_elsewhere(const Search *search, const char *backing)
{
    g_autofree char *dir = g_path_get_dirname(backing);
    g_autofree char *base = g_path_get_basename(backing);
    g_autofree char *around = g_path_get_dirname(dir);
    g_autofree char *below = g_path_get_basename(dir);
    g_autofree char *name = NULL, *version = NULL;

    if (!search->elsewhere)
        return false;
    if (g_str_equal(below, VT_POOL_LAYERS))
        return g_hash_table_contains(search->elsewhere, around);
    return g_hash_table_contains(search->elsewhere, dir) &&
           vt_volume_name_parse(base, &name, &version, NULL) && version;
}

/* Whether the chain below @path leads to the version. One that cannot be followed may lead to it if
 * somebody has recorded it as a clone. */
static bool
is_clone(const Search *search, const char *path, bool recorded)
{
    g_autofree char *at = g_strdup(path);

    for (int depth = 0; depth < CHAIN_MAX; depth++) {
        g_autofree char *backing = NULL;
        Chain chain = is_ours(search, at) ? CHAIN_NONE : read_backing(at, &backing);

        if (chain != CHAIN_BACKING)
            return recorded && chain == CHAIN_UNKNOWN;
        if (is_elsewhere(search, backing))
            return false;
        if (is_version(search, backing))
            return true;
        g_free(at);
        at = g_steal_pointer(&backing);
    }
    return false;
}

static void
look_into(Search *search, const char *dir_path)
{
    const struct dirent *entry;
    DIR *dir;

    if (!g_hash_table_add(search->dirs, g_strdup(dir_path)))
        return;
    dir = opendir(dir_path);
    while (dir && (entry = readdir(dir))) {
        g_autofree char *path = g_build_filename(dir_path, entry->d_name, NULL);

        if (entry->d_name[0] == '.' || entry->d_type == DT_DIR)
            continue;
        if (is_clone(search, path, false))
            g_hash_table_add(search->paths, g_steal_pointer(&path));
    }
    if (dir)
        closedir(dir);
}

/* @ret_away: whether the file system of the clone is not mounted */
static bool
read_record(VtPool *pool, const char *record, char **ret_path, bool *ret_away)
{
    char marked[PATH_MAX];
    ssize_t n = readlinkat(pool->clones_fd, record, marked, sizeof(marked) - 1);
    g_autofree char *root = NULL;
    const char *mark;

    if (n <= 0)
        return false;
    marked[n] = '\0';
    mark = strstr(marked, MARK);
    root = mark ? g_strndup(marked, (gsize)(mark - marked)) : NULL;
    *ret_away = root && !is_file_system_root(root);
    *ret_path = g_canonicalize_filename(marked, "/");
    return true;
}

/* One record of any version: `NAME@VERSION~<hex>` */
static void
look_at_record(VtPool *pool, Search *search, const char *record, const char *prefix,
               GHashTable *keep)
{
    g_autofree char *path = NULL, *dir = NULL;
    bool away;

    if (!read_record(pool, record, &path, &away))
        return;
    if (g_str_has_prefix(record, prefix)) {
        if (away || is_clone(search, path, true))
            g_hash_table_add(search->paths, g_strdup(path));
        else if (search->prune && (!keep || !g_hash_table_contains(keep, path)))
            unlinkat(pool->clones_fd, record, 0);
    }
    dir = g_path_get_dirname(path);
    look_into(search, dir);
}

static bool
look_at_records(VtPool *pool, Search *search, const char *prefix, GHashTable *keep, GError **error)
{
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func(g_free);
    DIR *dir = vt_fs_read_dir(pool->clones_fd);
    const struct dirent *entry;

    if (!dir)
        return vt_throw(error, VT_ERROR_FAILED, "cannot list the clones of '%s'", pool->target);
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            g_ptr_array_add(records, g_strdup(entry->d_name));
    closedir(dir);
    for (guint i = 0; i < records->len; i++)
        look_at_record(pool, search, g_ptr_array_index(records, i), prefix, keep);
    return true;
}

static int
compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool
vt_clones_list(VtPool *pool, const VtClonesQuery *query, char ***ret_paths, GError **error)
{
    g_autofree char *prefix = g_strdup_printf("%s@%s~", query->name, query->version);
    g_auto(Search) search = {
        .prune = query->prune,
        .elsewhere = query->elsewhere,
        .version_path = vt_pool_version_path(pool, query->name, query->version),
        .layer_path = query->index ? vt_pool_layer_path(pool, query->index) : NULL,
        .paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .dirs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    char resolved[PATH_MAX];
    GHashTableIter iter;
    gpointer path;

    search.target = g_strdup(realpath(pool->target, resolved) ? resolved : pool->target);

    /* A pool on a read-only file system may have no records at all */
    if (vt_pool_dirs(pool, false, NULL) &&
        !look_at_records(pool, &search, prefix, query->keep, error))
        return false;
    look_into(&search, pool->target);
    g_hash_table_iter_init(&iter, search.paths);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        g_ptr_array_add(paths, g_strdup(path));
    g_ptr_array_sort(paths, compare_paths);
    g_ptr_array_add(paths, NULL);
    *ret_paths = (char **)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
    return true;
}
