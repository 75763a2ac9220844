/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pass-through.c DIRECTORY MOUNT_POINT: the directory once more, by a server that can be stopped
 *
 * Nothing is cached by the kernel, so who looks at anything below MOUNT_POINT while this process is
 * stopped (SIGSTOP) waits until it goes on, as on a server of NFS that does not answer. It runs in
 * the foreground until MOUNT_POINT is unmounted.
 */
#define FUSE_USE_VERSION 35
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The working directory is DIRECTORY: "/a" is "a" in it */
static const char *
below(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int
result(int value)
{
    return value < 0 ? -errno : 0;
}

static void *
tree_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    int *directory = fuse_get_context()->private_data;

    (void)connection;
    /* FUSE has gone to the root directory */
    if (fchdir(*directory) < 0)
        abort();
    config->use_ino = 1;
    config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
    return directory;
}

static int
tree_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    return result(info ? fstat((int)info->fh, st) : lstat(below(path), st));
}

static int
tree_readlink(const char *path, char *target, size_t size)
{
    const ssize_t length = readlink(below(path), target, size - 1);

    if (length < 0)
        return -errno;
    target[length] = '\0';
    return 0;
}

static int
tree_readdir(const char *path, void *opaque, fuse_fill_dir_t fill, off_t offset,
             struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    DIR *dir = opendir(below(path));
    const struct dirent *entry;

    (void)offset;
    (void)info;
    (void)flags;
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        struct stat st = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};

        if (fill(opaque, entry->d_name, &st, 0, 0) != 0)
            break;
    }
    closedir(dir);
    return 0;
}

static int
tree_mkdir(const char *path, mode_t mode)
{
    return result(mkdir(below(path), mode));
}

static int
tree_symlink(const char *target, const char *path)
{
    return result(symlink(target, below(path)));
}

static int
tree_link(const char *from, const char *to)
{
    return result(link(below(from), below(to)));
}

static int
tree_rename(const char *from, const char *to, unsigned flags)
{
    return result(renameat2(AT_FDCWD, below(from), AT_FDCWD, below(to), flags));
}

static int
tree_unlink(const char *path)
{
    return result(unlink(below(path)));
}

static int
tree_rmdir(const char *path)
{
    return result(rmdir(below(path)));
}

static int
tree_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    (void)info;
    return result(chmod(below(path), mode));
}

static int
tree_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *info)
{
    (void)info;
    return result(lchown(below(path), uid, gid));
}

static int
tree_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    return result(info ? ftruncate((int)info->fh, size) : truncate(below(path), size));
}

static int
tree_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    (void)info;
    return result(utimensat(AT_FDCWD, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int
tree_statfs(const char *path, struct statvfs *st)
{
    return result(statvfs(below(path), st));
}

static int
opened(int fd, struct fuse_file_info *info)
{
    if (fd < 0)
        return -errno;
    info->fh = (uint64_t)fd;
    return 0;
}

static int
tree_open(const char *path, struct fuse_file_info *info)
{
    return opened(open(below(path), (info->flags & ~O_DIRECT) | O_CLOEXEC), info);
}

static int
tree_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    return opened(open(below(path), (info->flags & ~O_DIRECT) | O_CREAT | O_CLOEXEC, mode), info);
}

static int
tree_read(const char *path, char *data, size_t size, off_t at, struct fuse_file_info *info)
{
    const ssize_t done = pread((int)info->fh, data, size, at);

    (void)path;
    return done < 0 ? -errno : (int)done;
}

static int
tree_write(const char *path, const char *data, size_t size, off_t at, struct fuse_file_info *info)
{
    const ssize_t done = pwrite((int)info->fh, data, size, at);

    (void)path;
    return done < 0 ? -errno : (int)done;
}

static int
tree_fallocate(const char *path, int mode, off_t at, off_t size, struct fuse_file_info *info)
{
    (void)path;
    return result(fallocate((int)info->fh, mode, at, size));
}

static int
tree_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)path;
    (void)data_only;
    return result(fsync((int)info->fh));
}

/* Directories have no descriptor here */
static int
tree_fsyncdir(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)path;
    (void)data_only;
    (void)info;
    return 0;
}

static int
tree_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    return result(close((int)info->fh));
}

int
main(int argc, char **argv)
{
    static const struct fuse_operations operations = {
        .init = tree_init,
        .getattr = tree_getattr,
        .readlink = tree_readlink,
        .readdir = tree_readdir,
        .mkdir = tree_mkdir,
        .symlink = tree_symlink,
        .link = tree_link,
        .rename = tree_rename,
        .unlink = tree_unlink,
        .rmdir = tree_rmdir,
        .chmod = tree_chmod,
        .chown = tree_chown,
        .truncate = tree_truncate,
        .utimens = tree_utimens,
        .statfs = tree_statfs,
        .open = tree_open,
        .create = tree_create,
        .read = tree_read,
        .write = tree_write,
        .fallocate = tree_fallocate,
        .fsync = tree_fsync,
        .fsyncdir = tree_fsyncdir,
        .release = tree_release,
    };
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    int directory = argc == 3 ? open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

    if (directory < 0) {
        fprintf(stderr, "usage: pass-through DIRECTORY MOUNT_POINT, an absolute one\n");
        return 2;
    }
    fuse_opt_add_arg(&arguments, argv[0]);
    fuse_opt_add_arg(&arguments, "-f");
    fuse_opt_add_arg(&arguments, "-s");
    fuse_opt_add_arg(&arguments, "-oallow_other,default_permissions");
    fuse_opt_add_arg(&arguments, argv[2]);
    return fuse_main(arguments.argc, arguments.argv, &operations, &directory);
}
