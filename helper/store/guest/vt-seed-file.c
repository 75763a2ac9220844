/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seed-file.c: seeds in a pool, and whose they are */
#include "vt-seed-file.h"

#include "vt-fs.h"
#include "vt-secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define UUID_LENGTH 36
/* Beside them, the secrets of domains, see vt_seed_set_secrets() */
#define SECRETS_SUFFIX ".secrets"

typedef struct {
    int dir_fd;
    int records_fd;
    const char *path;
    const char *name;
    /* "" if there is no record */
    char owner[UUID_LENGTH + 1];
} Seed;

static void
seed_clear(Seed *seed)
{
    vt_close_fd(&seed->records_fd);
    vt_close_fd(&seed->dir_fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Seed, seed_clear)

static bool
is_seed_name(const char *name)
{
    static const char *const suffixes[] = {VT_SEED_SUFFIX, VT_SEED_FLOPPY_SUFFIX};

    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++) {
        if (*name != '.' && g_str_has_suffix(name, suffixes[i]))
            return strlen(name) > strlen(suffixes[i]);
    }
    return false;
}

bool
vt_seed_target(const char *path, char **ret_target, GError **error)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path || !is_seed_name(slash + 1))
        return vt_throw(error, VT_ERROR_INVALID,
                        "the seed's path '%s' is not <directory of a template pool>/NAME%s, or "
                        "NAME%s for a floppy",
                        path, VT_SEED_SUFFIX, VT_SEED_FLOPPY_SUFFIX);
    *ret_target = g_strndup(path, (gsize)(slash - path));
    return true;
}

static bool
read_record(Seed *seed, GError **error)
{
    ssize_t n = readlinkat(seed->records_fd, seed->name, seed->owner, sizeof(seed->owner));

    if (n < 0 && errno != ENOENT)
        return vt_throw_errno(error, errno, "cannot read whose seed '%s' is", seed->path);
    if (n > UUID_LENGTH)
        return vt_throw(error, VT_ERROR_CORRUPT, "the record of '%s' is no UUID", seed->path);
    seed->owner[MAX(n, 0)] = '\0';
    return true;
}

/* @seed is locked until it is cleared */
static bool
seed_open(const char *path, Seed *seed, GError **error)
{
    g_autofree char *target = NULL;

    if (!vt_seed_target(path, &target, error))
        return false;
    seed->path = path;
    seed->name = strrchr(path, '/') + 1;
    seed->dir_fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (seed->dir_fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", target);
    if (mkdirat(seed->dir_fd, VT_SEED_RECORDS_DIR, 0700) < 0 && errno != EEXIST)
        return vt_throw_errno(error, errno, "cannot make '%s/%s'", target, VT_SEED_RECORDS_DIR);
    seed->records_fd =
        openat(seed->dir_fd, VT_SEED_RECORDS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (seed->records_fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s/%s'", target, VT_SEED_RECORDS_DIR);
    while (flock(seed->records_fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return vt_throw_errno(error, errno, "cannot lock '%s/%s'", target, VT_SEED_RECORDS_DIR);
    }
    return read_record(seed, error);
}

/* Whether the name may be taken: it is free, or @owner's own seed */
static bool
check_free(const Seed *seed, const char *owner, GError **error)
{
    struct stat st;

    if (fstatat(seed->dir_fd, seed->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || vt_throw_errno(error, errno, "cannot stat '%s'", seed->path);
    if (S_ISLNK(st.st_mode))
        return vt_throw(error, VT_ERROR_EXISTS, "'%s' is a symbolic link: remove it", seed->path);
    if (!*seed->owner || !S_ISREG(st.st_mode) || st.st_nlink != 1)
        return vt_throw(error, VT_ERROR_EXISTS,
                        "'%s' is there and was not made for a domain: remove it, or name another "
                        "path in <seed>",
                        seed->path);
    return strcmp(seed->owner, owner) == 0 ||
           vt_throw(error, VT_ERROR_EXISTS,
                    "'%s' is the seed of the domain %s: name another path in <seed>", seed->path,
                    seed->owner);
}

static bool
write_record(const Seed *seed, const char *owner, GError **error)
{
    if (strcmp(seed->owner, owner) == 0)
        return true;
    if ((*seed->owner && unlinkat(seed->records_fd, seed->name, 0) < 0) ||
        symlinkat(owner, seed->records_fd, seed->name) < 0)
        return vt_throw_errno(error, errno, "cannot remember whose seed '%s' is", seed->path);
    return true;
}

static bool
write_seed(const Seed *seed, GBytes *image, GError **error)
{
    vt_autofd fd = -1;

    if (!vt_fs_tmpfile(seed->dir_fd, 0600, &fd, error) ||
        !vt_fs_write_all(fd, g_bytes_get_data(image, NULL), g_bytes_get_size(image), seed->path,
                         error))
        return false;
    if (unlinkat(seed->dir_fd, seed->name, 0) < 0 && errno != ENOENT)
        return vt_throw_errno(error, errno, "cannot replace '%s'", seed->path);
    return vt_fs_name_tmpfile(fd, seed->dir_fd, seed->name, error);
}

bool
vt_seed_place(const char *path, const char *owner, GBytes *image, GError **error)
{
    g_auto(Seed) seed = {.dir_fd = -1, .records_fd = -1};

    return seed_open(path, &seed, error) && check_free(&seed, owner, error) &&
           write_record(&seed, owner, error) && write_seed(&seed, image, error);
}

bool
vt_seed_remove(const char *path, const char *owner, GError **error)
{
    g_auto(Seed) seed = {.dir_fd = -1, .records_fd = -1};

    if (!seed_open(path, &seed, error))
        return false;
    if (strcmp(seed.owner, owner) != 0)
        return true;
    if ((unlinkat(seed.dir_fd, seed.name, 0) < 0 && errno != ENOENT) ||
        unlinkat(seed.records_fd, seed.name, 0) < 0)
        return vt_throw_errno(error, errno, "cannot remove '%s'", path);
    return true;
}

/* ---- secrets ---- */

/* "web-seed.iso.6b2e5a1c-9d70-4c2b-8d5f-0a1b2c3d4e5f.secrets": another domain with this seed has
 * another file */
static char *
secrets_name(const Seed *seed, const char *owner)
{
    g_autofree char *uuid = g_ascii_strdown(owner, -1);

    return g_strconcat(seed->name, ".", uuid, SECRETS_SUFFIX, NULL);
}

static bool
check_private(int fd, const char *name, mode_t mode, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return vt_throw_errno(error, errno, "cannot stat '%s'", name);
    return (st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0) ||
           vt_throw(error, VT_ERROR_DENIED,
                    "'%s' holds secrets, but others than its owner could use it: 'chown root' and "
                    "'chmod %04o' it, and change the secrets",
                    name, mode);
}

static bool
check_directory(const Seed *seed, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(seed->path);
    g_autofree char *name = g_build_filename(dir, VT_SEED_RECORDS_DIR, NULL);

    return check_private(seed->records_fd, name, 0700, error);
}

bool
vt_seed_set_secrets(const char *path, const char *owner, GBytes *secrets, GError **error)
{
    g_auto(Seed) seed = {.dir_fd = -1, .records_fd = -1};
    g_autofree char *name = NULL;

    if (!seed_open(path, &seed, error) || !check_directory(&seed, error))
        return false;
    name = secrets_name(&seed, owner);
    if (secrets)
        return vt_fs_replace(seed.records_fd, name, secrets, 0600, error);
    if (unlinkat(seed.records_fd, name, 0) < 0 && errno != ENOENT)
        return vt_throw_errno(error, errno, "cannot remove '%s'", name);
    return fsync(seed.records_fd) == 0 ||
           vt_throw_errno(error, errno, "cannot make it durable that '%s' is removed", name);
}

bool
vt_seed_read_secrets(const char *path, const char *owner, GBytes **ret_secrets, GError **error)
{
    g_auto(Seed) seed = {.dir_fd = -1, .records_fd = -1};
    g_autofree char *name = NULL;
    vt_autofd fd = -1;

    if (!seed_open(path, &seed, error))
        return false;
    name = secrets_name(&seed, owner);
    fd = openat(seed.records_fd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    /* A name that is too long is nobody's */
    if (fd < 0 && (errno == ENOENT || errno == ENAMETOOLONG)) {
        *ret_secrets = NULL;
        return true;
    }
    if (fd < 0)
        return vt_throw_errno(error, errno, "cannot open '%s'", name);
    return check_directory(&seed, error) && check_private(fd, name, 0600, error) &&
           vt_fs_read(seed.records_fd, name, VT_SECRETS_BYTES_MAX, ret_secrets, error);
}
