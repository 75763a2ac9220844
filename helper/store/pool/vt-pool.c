/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-pool.c: the directory of a pool: layers and the names of versions */
#include "vt-pool-dirs.h"

#include "vt-fs.h"
#include "vt-name.h"
#include "vt-qcow2.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

/*
 * Theory of operation
 *
 * All names below the target are reached through directory descriptors and without following
 * symbolic links. A layer is complete when it has its name in .layers/; that name, the version's
 * name and the documents beside it are made under a lock on .layers/ in this order: documents,
 * layer, version. Whoever sees the version finds all the rest.
 */

/* Manifests have at most 4 MiB; proofs are several of them */
#define DOCUMENT_MAX (64u << 20)
#define INDEX_MAX    (1u << 30)

/* Of a layer without a seal, which is no more than a download that is complete */
#define NAMED_MODE ((mode_t)0400)
/* Of all others; vt_seal_apply() sets it, too */
#define COMMITTED_MODE ((mode_t)0444)

bool
vt_pool_open(const char *target, VtPool **ret_pool, GError **error)
{
    g_autoptr(VtPool) pool = g_new0(VtPool, 1);

    pool->layers_fd = pool->partial_fd = pool->manifests_fd = pool->clones_fd = -1;
    pool->target = g_strdup(target);
    pool->manager = vt_seal_manager_new(VT_SEAL_MANAGER);
    pool->target_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pool->target_fd < 0)
        return vt_throw_errno(error, errno, "cannot open the pool directory '%s'", target);
    *ret_pool = g_steal_pointer(&pool);
    return true;
}

void
vt_pool_free(VtPool *pool)
{
    if (!pool)
        return;
    vt_close_fd(&pool->target_fd);
    vt_close_fd(&pool->layers_fd);
    vt_close_fd(&pool->partial_fd);
    vt_close_fd(&pool->manifests_fd);
    vt_close_fd(&pool->clones_fd);
    vt_seal_manager_free(pool->manager);
    g_free(pool->target);
    g_free(pool);
}

const char *
vt_pool_target(const VtPool *pool)
{
    return pool->target;
}

int
vt_pool_dir_fd(const VtPool *pool)
{
    return pool->target_fd;
}

/* Opens @name in @parent_fd, and makes it when @create is set. Others must not write into it. */
static bool
open_dir(int parent_fd, const char *name, mode_t mode, bool create, int *ret_fd, GError **error)
{
    vt_autofd fd = -1;
    struct stat st;

    if (create && mkdirat(parent_fd, name, mode) < 0 && errno != EEXIST)
        return vt_throw_errno(error, errno, "cannot make the directory '%s' in the pool", name);
    fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open the directory '%s' in the pool", name);
    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat the directory '%s'", name);
    if (st.st_uid != geteuid())
        return vt_throw(error, VT_ERROR_DENIED,
                        "the directory '%s' in the pool belongs to uid %u, not to %u: remove it",
                        name, st.st_uid, geteuid());
    if ((st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
        return vt_throw_errno(error, errno, "cannot set the mode of '%s'", name);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

bool
vt_pool_dirs(VtPool *pool, bool create, GError **error)
{
    const struct {
        int *fd;
        int *parent_fd;
        const char *name;
        mode_t mode;
    } dirs[] = {
        {&pool->layers_fd, &pool->target_fd, VT_POOL_LAYERS, 0711},
        {&pool->partial_fd, &pool->layers_fd, ".partial", 0700},
        {&pool->manifests_fd, &pool->layers_fd, "manifests", 0700},
        {&pool->clones_fd, &pool->target_fd, ".clones", 0700},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++) {
        if (*dirs[i].fd >= 0)
            continue;
        if (!open_dir(*dirs[i].parent_fd, dirs[i].name, dirs[i].mode, create, dirs[i].fd, error))
            return false;
    }
    return true;
}

bool
vt_pool_prepare(VtPool *pool, GError **error)
{
    return vt_pool_dirs(pool, true, error);
}

char *
vt_pool_version_path(const VtPool *pool, const char *name, const char *version)
{
    g_autofree char *volume = vt_volume_name(name, version);

    return g_strdup_printf("%s/%s", pool->target, volume);
}

char *
vt_pool_layer_path(const VtPool *pool, const VtDigest *index)
{
    char file[VT_POOL_FILE_MAX];

    return g_strdup_printf("%s/" VT_POOL_LAYERS "/%s", pool->target,
                           vt_pool_file(index, VT_VOLUME_SUFFIX, file));
}

bool
vt_pool_scan(VtPool *pool, GHashTable **ret_volumes, GError **error)
{
    g_autoptr(GHashTable) volumes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const struct dirent *entry;
    DIR *dir = vt_fs_read_dir(pool->target_fd);

    if (!dir)
        return vt_throw_errno(error, errno, "cannot list the pool directory '%s'", pool->target);
    while ((entry = readdir(dir))) {
        const char *at = strchr(entry->d_name, '@');

        if (at && entry->d_name[0] != '.' && g_str_has_suffix(at, VT_VOLUME_SUFFIX))
            g_hash_table_add(volumes, g_strdup(entry->d_name));
    }
    closedir(dir);
    *ret_volumes = g_steal_pointer(&volumes);
    return true;
}

bool
vt_pool_is_committed(const struct stat *layer)
{
    return layer->st_mode & S_IROTH;
}

bool
vt_pool_stat_version(VtPool *pool, const char *name, const char *version, struct stat *ret_stat)
{
    g_autofree char *volume = vt_volume_name(name, version);
    struct stat st;

    if (fstatat(pool->target_fd, volume, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISREG(st.st_mode) || st.st_nlink < 2 || !vt_pool_is_committed(&st))
        return false;
    if (ret_stat)
        *ret_stat = st;
    return true;
}

uint64_t
vt_pool_capacity(VtPool *pool, const char *name, const char *version)
{
    g_autofree char *volume = vt_volume_name(name, version);
    vt_autofd fd = openat(pool->target_fd, volume, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    g_autofree uint8_t *header = g_malloc(VT_QCOW2_HEADER_MAX);
    g_auto(VtQcow2Info) info = {0};
    ssize_t n = fd < 0 ? -1 : pread(fd, header, VT_QCOW2_HEADER_MAX, 0);

    return n > 0 && vt_qcow2_parse(header, (size_t)n, &info, NULL) ? info.capacity : 0;
}

bool
vt_pool_check_version(VtPool *pool, const char *name, const char *version, const VtDigest *index,
                      GError **error)
{
    char file[VT_POOL_FILE_MAX];
    struct stat layer;
    struct stat st;

    if (!vt_pool_stat_version(pool, name, version, &st))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s is not complete in '%s': fetch it first",
                        name, version, pool->target);
    if (!vt_pool_dirs(pool, false, error))
        return false;
    if (fstatat(pool->layers_fd, vt_pool_file(index, VT_VOLUME_SUFFIX, file), &layer,
                AT_SYMLINK_NOFOLLOW) < 0 ||
        layer.st_ino != st.st_ino || layer.st_dev != st.st_dev)
        return vt_throw(error, VT_ERROR_CORRUPT,
                        "'%s/%s@%s" VT_VOLUME_SUFFIX "' is not the layer that its manifest names: "
                        "move the file away and fetch it again",
                        pool->target, name, version);
    return true;
}

bool
vt_pool_has_layer(VtPool *pool, const VtDigest *index)
{
    char file[VT_POOL_FILE_MAX];
    struct stat st;

    return vt_pool_dirs(pool, false, NULL) &&
           fstatat(pool->layers_fd, vt_pool_file(index, VT_VOLUME_SUFFIX, file), &st,
                   AT_SYMLINK_NOFOLLOW) == 0;
}

bool
vt_pool_partial_open(VtPool *pool, const VtDigest *index, int *ret_fd, bool *ret_resumed,
                     GError **error)
{
    char file[VT_POOL_FILE_MAX];
    vt_autofd fd = -1;
    struct stat named;
    struct stat st;

    if (!vt_pool_dirs(pool, true, error))
        return false;
    fd = openat(pool->partial_fd, vt_pool_file(index, "", file),
                O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot make a file in '%s'", pool->target);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return vt_throw(error, VT_ERROR_BUSY, "layer %s is being fetched by another job", file);
    /* The one before us may have given it its final name between our open and our lock */
    if (fstat(fd, &st) < 0 || fstatat(pool->partial_fd, file, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        named.st_ino != st.st_ino)
        return vt_throw(error, VT_ERROR_BUSY, "layer %s has just been fetched by another job",
                        file);
    /* Where a rename is link() and unlink(), one that was cut leaves both names: by now the file is
     * a layer, which nobody may write to */
    if (st.st_nlink > 1) {
        (void)unlinkat(pool->partial_fd, file, 0);
        return vt_throw(error, VT_ERROR_BUSY, "layer %s has its final name already", file);
    }
    *ret_resumed = st.st_size > 0;
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

/* A file that is locked belongs to a job; with the lock held, nobody else goes on with it */
static void
sweep_partial(VtPool *pool, const char *name, int64_t before)
{
    vt_autofd fd = openat(pool->partial_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && !g_str_has_suffix(name, VT_POOL_OLD) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_mtim.tv_sec < before &&
        unlinkat(pool->partial_fd, name, 0) == 0)
        g_info("removed '%s' of '%s': a download that was cut off", name, pool->target);
}

void
vt_pool_partial_sweep(VtPool *pool, int64_t older_than)
{
    const int64_t before = g_get_real_time() / G_USEC_PER_SEC - older_than;
    const struct dirent *entry;
    DIR *dir = vt_fs_read_dir(pool->partial_fd);

    while (dir && (entry = readdir(dir)))
        sweep_partial(pool, entry->d_name, before);
    if (dir)
        closedir(dir);
}

void
vt_pool_partial_remove(VtPool *pool, const VtDigest *index)
{
    char file[VT_POOL_FILE_MAX];

    if (pool->partial_fd >= 0)
        unlinkat(pool->partial_fd, vt_pool_file(index, "", file), 0);
}

bool
vt_pool_lock(VtPool *pool, bool wait, int *ret_fd, GError **error)
{
    vt_autofd fd = openat(pool->layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 && !wait && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return vt_throw(error, VT_ERROR_BUSY, "a layer of '%s' is being completed: try again",
                        pool->target);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return vt_throw_errno(error, errno, "cannot lock the layers of '%s'", pool->target);
    *ret_fd = vt_steal_fd(&fd);
    return true;
}

static bool
write_documents(VtPool *pool, const VtPoolCommit *commit, GError **error)
{
    char file[VT_POOL_FILE_MAX];

    for (guint i = 0; i < commit->layer_count; i++) {
        const VtPoolLayer *layer = &commit->layers[i];

        if (!vt_fs_replace(pool->layers_fd, vt_pool_file(&layer->index, VT_POOL_INDEX, file),
                           layer->index_bytes, 0444, error))
            return false;
    }
    return vt_fs_replace(pool->manifests_fd, vt_pool_file(&commit->manifest, ".json", file),
                         commit->manifest_bytes, 0444, error) &&
           vt_fs_replace(pool->manifests_fd, vt_pool_file(&commit->manifest, ".config", file),
                         commit->config_bytes, 0444, error) &&
           vt_pool_write_proofs(pool, &commit->manifest, commit->proofs, error);
}

/* A layer that was here may have been evicted while those above it were fetched */
static bool
check_layers(VtPool *pool, const VtPoolCommit *commit, GError **error)
{
    char text[VT_DIGEST_STRING_MAX];

    for (guint i = 0; i < commit->layer_count; i++) {
        const VtPoolLayer *layer = &commit->layers[i];

        if (*layer->partial_fd < 0 && !vt_pool_has_layer(pool, &layer->index))
            return vt_throw(error, VT_ERROR_BUSY,
                            "layer %s of its chain was removed meanwhile: fetch again",
                            vt_digest_format(&layer->index, text));
    }
    return true;
}

bool
vt_pool_name_layer(VtPool *pool, const VtPoolLayer *layer, bool replace, GError **error)
{
    char partial[VT_POOL_FILE_MAX];
    char file[VT_POOL_FILE_MAX];
    int fd = *layer->partial_fd;
    bool named;

    if (fd < 0)
        return true;
    if (geteuid() == 0 && fchown(fd, 0, 0) < 0)
        return vt_throw_errno(error, errno, "cannot give the layer to root");
    if (fdatasync(fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the layer durable");
    vt_pool_file(&layer->index, "", partial);
    vt_pool_file(&layer->index, VT_VOLUME_SUFFIX, file);
    if (replace)
        named = renameat(pool->partial_fd, partial, pool->layers_fd, file) == 0;
    else
        named = vt_fs_rename_new(pool->partial_fd, partial, pool->layers_fd, file);
    if (!named && errno != EEXIST)
        return vt_throw_errno(error, errno, "cannot name the layer '%s'", file);
    /* Afterwards: a partial file that its owner cannot write could not be gone on with. A layer
     * that takes the place of another one has readers, who may start at any time. */
    if (named && fchmod(fd, replace ? COMMITTED_MODE : NAMED_MODE) < 0)
        return vt_throw_errno(error, errno, "cannot set the mode of the layer");
    close(vt_steal_fd(layer->partial_fd));
    return true;
}

static bool
name_layers(VtPool *pool, const VtPoolCommit *commit, GError **error)
{
    for (guint i = 0; i < commit->layer_count; i++) {
        if (!vt_pool_name_layer(pool, &commit->layers[i], false, error))
            return false;
    }
    return true;
}

/* The version's name @volume, for the layer with the name @file */
static bool
name_version(VtPool *pool, const char *file, const char *volume, GError **error)
{
    struct stat layer;
    struct stat st;

    if (fstatat(pool->layers_fd, file, &layer, AT_SYMLINK_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot stat the layer");
    if (fstatat(pool->target_fd, volume, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (st.st_ino == layer.st_ino && st.st_dev == layer.st_dev)
            return true;
        return vt_throw(error, VT_ERROR_EXISTS,
                        "'%s/%s' exists and is another file: move it away and fetch again",
                        pool->target, volume);
    }
    /* Nothing can be linked to an immutable file, or from a mount to elsewhere */
    if (!vt_pool_unseal(pool, pool->layers_fd, file, error))
        return false;
    if (linkat(pool->layers_fd, file, pool->target_fd, volume, 0) < 0)
        return vt_throw_errno(error, errno, "cannot link '%s/%s'", pool->target, volume);
    return true;
}

bool
vt_pool_sync(VtPool *pool, GError **error)
{
    if (fsync(pool->layers_fd) < 0 || fsync(pool->partial_fd) < 0 || fsync(pool->target_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the names in '%s' durable", pool->target);
    return true;
}

/* The base first */
static bool
seal_layers(VtPool *pool, const VtPoolCommit *commit, GError **error)
{
    for (guint i = 0; i < commit->layer_count; i++) {
        g_autofree char *reason = NULL;
        char file[VT_POOL_FILE_MAX];
        VtSeal seal;

        vt_pool_file(&commit->layers[i].index, VT_VOLUME_SUFFIX, file);
        if (!vt_pool_seal(pool, pool->layers_fd, file, &seal, &reason, error))
            return false;
    }
    return true;
}

bool
vt_pool_commit(VtPool *pool, const VtPoolCommit *commit, VtSeal *ret_seal, char **ret_reason,
               GError **error)
{
    const VtPoolLayer *top = &commit->layers[commit->layer_count - 1];
    g_autofree char *volume = vt_volume_name(commit->name, commit->version);
    char file[VT_POOL_FILE_MAX];
    vt_autofd lock = -1;

    if (!vt_pool_dirs(pool, true, error) || !vt_pool_lock(pool, true, &lock, error) ||
        !check_layers(pool, commit, error))
        return false;
    vt_pool_file(&top->index, VT_VOLUME_SUFFIX, file);
    /* Sealed last, and readable by others from then on: what is not committed and has no version is
     * known to be the rest of an attempt */
    if (write_documents(pool, commit, error) && name_layers(pool, commit, error) &&
        name_version(pool, file, volume, error) && vt_pool_sync(pool, error) &&
        seal_layers(pool, commit, error) &&
        vt_pool_seal(pool, pool->target_fd, volume, ret_seal, ret_reason, error))
        return true;
    vt_pool_tidy(pool);
    close(vt_steal_fd(&lock));
    vt_pool_reseal(pool);
    return false;
}

bool
vt_pool_read_index(VtPool *pool, const VtDigest *index, GBytes **ret_bytes, GError **error)
{
    char file[VT_POOL_FILE_MAX];

    return vt_pool_dirs(pool, false, error) &&
           vt_fs_read(pool->layers_fd, vt_pool_file(index, VT_POOL_INDEX, file), INDEX_MAX,
                      ret_bytes, error);
}

bool
vt_pool_read_manifest(VtPool *pool, const VtDigest *manifest, GBytes **ret_manifest,
                      GBytes **ret_proofs, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    char file[VT_POOL_FILE_MAX];

    if (!vt_pool_dirs(pool, false, error))
        return false;
    if (!vt_fs_read(pool->manifests_fd, vt_pool_file(manifest, ".json", file), DOCUMENT_MAX, &bytes,
                    error))
        return false;
    if (!vt_fs_read(pool->manifests_fd, vt_pool_file(manifest, ".proofs", file), DOCUMENT_MAX,
                    ret_proofs, error))
        return false;
    *ret_manifest = g_steal_pointer(&bytes);
    return true;
}

bool
vt_pool_read_config(VtPool *pool, const VtDigest *manifest, GBytes **ret_bytes, GError **error)
{
    char file[VT_POOL_FILE_MAX];

    return vt_pool_dirs(pool, false, error) &&
           vt_fs_read(pool->manifests_fd, vt_pool_file(manifest, ".config", file), DOCUMENT_MAX,
                      ret_bytes, error);
}

bool
vt_pool_write_proofs(VtPool *pool, const VtDigest *manifest, GBytes *proofs, GError **error)
{
    char file[VT_POOL_FILE_MAX];

    return vt_pool_dirs(pool, true, error) &&
           vt_fs_replace(pool->manifests_fd, vt_pool_file(manifest, ".proofs", file), proofs, 0444,
                         error);
}

bool
vt_pool_find_layer(VtPool *pool, const char *name, const char *version, VtDigest *ret_index,
                   GError **error)
{
    const struct dirent *entry;
    bool found = false;
    struct stat st;
    DIR *dir;

    if (!vt_pool_stat_version(pool, name, version, &st))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "there is no copy of %s@%s in '%s'", name,
                        version, pool->target);
    if (!vt_pool_dirs(pool, false, error))
        return false;
    dir = vt_fs_read_dir(pool->layers_fd);
    if (!dir)
        return vt_throw_errno(error, errno, "cannot list the layers of '%s'", pool->target);
    while (!found && (entry = readdir(dir)))
        found = entry->d_ino == st.st_ino &&
                vt_pool_parse_file(entry->d_name, VT_VOLUME_SUFFIX, ret_index);
    closedir(dir);
    return found || vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s in '%s' is not one of our layers",
                             name, version, pool->target);
}

bool
vt_pool_end_evict(VtPool *pool, const VtDigest *index, GError **error)
{
    char gone[VT_POOL_FILE_MAX];

    if (!vt_pool_drop_layers(pool, index, 1, error))
        return false;
    if (unlinkat(pool->partial_fd, vt_pool_file(index, VT_POOL_GONE, gone), 0) < 0)
        return vt_throw_errno(error, errno, "cannot remove '%s'", gone);
    return true;
}

/* A layer that others need: a flag is the file's and not the name's */
static bool
seal_rest(VtPool *pool, const VtDigest *index, GError **error)
{
    g_autofree char *reason = NULL;
    char file[VT_POOL_FILE_MAX];
    VtSeal seal;

    return !vt_pool_has_layer(pool, index) ||
           vt_pool_seal(pool, pool->layers_fd, vt_pool_file(index, VT_VOLUME_SUFFIX, file), &seal,
                        &reason, error);
}

/* The version's name becomes <hex>.gone, by which an eviction that was interrupted is known */
static bool
move_version(VtPool *pool, const char *volume, const VtDigest *index, GError **error)
{
    char gone[VT_POOL_FILE_MAX];

    if (renameat(pool->target_fd, volume, pool->partial_fd,
                 vt_pool_file(index, VT_POOL_GONE, gone)) < 0)
        return vt_throw_errno(error, errno, "cannot remove '%s/%s'", pool->target, volume);
    if (fsync(pool->target_fd) < 0 || fsync(pool->partial_fd) < 0)
        return vt_throw_errno(error, errno, "cannot make the removal durable");
    return true;
}

bool
vt_pool_evict(VtPool *pool, const char *name, const char *version, const VtDigest *index,
              const VtDigest *manifest, GError **error)
{
    g_autofree char *volume = vt_volume_name(name, version);
    vt_autofd lock = -1;

    if (!vt_pool_stat_version(pool, name, version, NULL))
        return vt_throw(error, VT_ERROR_NOT_FOUND, "%s@%s is not on this host ('%s')", name,
                        version, pool->target);
    if (!vt_pool_dirs(pool, true, error) || !vt_pool_lock(pool, false, &lock, error) ||
        !vt_pool_unseal(pool, pool->target_fd, volume, error))
        return false;
    if (!move_version(pool, volume, index, error) || !vt_pool_end_evict(pool, index, error) ||
        !seal_rest(pool, index, error)) {
        vt_pool_tidy(pool);
        return false;
    }
    if (manifest)
        vt_pool_drop_manifest(pool, manifest);
    return vt_pool_sync(pool, error);
}
