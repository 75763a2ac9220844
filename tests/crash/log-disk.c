/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log-disk.c DISK LOG MOUNT_POINT: a file `disk` for a loop device, which remembers what happens to
 * it
 *
 * Under MOUNT_POINT stands one file, `disk`, with the content of DISK. Each write goes to DISK and,
 * with its data, to LOG; each fsync, which is what a loop device makes of a flush, is a mark in
 * LOG. So LOG tells what a disk with a volatile cache had to keep at any moment, and what it might
 * have kept: all before the last mark, and any of what follows, in any order.
 *
 * An entry of LOG, in the byte order of the machine: kind, offset, length (8 bytes each), data of a
 * write. A discard writes zeros. It runs in the foreground until MOUNT_POINT is unmounted.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK_PATH "/disk"

enum { ENTRY_WRITE, ENTRY_FLUSH, ENTRY_ZEROS };

typedef struct {
    int disk_fd;
    FILE *log;
} Disk;

static Disk *
get_disk(void)
{
    return fuse_get_context()->private_data;
}

static int
add_entry(uint64_t kind, uint64_t offset, uint64_t length, const void *data)
{
    const uint64_t head[] = {kind, offset, length};
    FILE *log = get_disk()->log;

    if (fwrite(head, sizeof(head), 1, log) != 1 || (data && fwrite(data, length, 1, log) != 1))
        return -EIO;
    /* Who reads the log while this runs finds whole entries */
    return fflush(log) == 0 ? 0 : -EIO;
}

static int
disk_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    (void)info;
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, DISK_PATH) != 0)
        return -ENOENT;
    return fstat(get_disk()->disk_fd, st) < 0 ? -errno : 0;
}

static int
disk_open(const char *path, struct fuse_file_info *info)
{
    /* Nothing of it stays in the cache of the kernel above: the loop device has its own */
    info->direct_io = 1;
    return strcmp(path, DISK_PATH) == 0 ? 0 : -ENOENT;
}

static int
disk_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *info)
{
    ssize_t n = pread(get_disk()->disk_fd, buffer, size, offset);

    (void)path;
    (void)info;
    return n < 0 ? -errno : (int)n;
}

static int
disk_write(const char *path, const char *data, size_t size, off_t offset,
           struct fuse_file_info *info)
{
    ssize_t n = pwrite(get_disk()->disk_fd, data, size, offset);

    (void)path;
    (void)info;
    if (n < 0)
        return -errno;
    return add_entry(ENTRY_WRITE, (uint64_t)offset, (uint64_t)n, data) < 0 ? -EIO : (int)n;
}

static int
disk_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
    (void)path;
    (void)data_only;
    (void)info;
    return add_entry(ENTRY_FLUSH, 0, 0, NULL);
}

static int
disk_fallocate(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *info)
{
    (void)path;
    (void)info;
    if (fallocate(get_disk()->disk_fd, mode, offset, length) < 0)
        return -errno;
    return add_entry(ENTRY_ZEROS, (uint64_t)offset, (uint64_t)length, NULL);
}

static const struct fuse_operations operations = {
    .getattr = disk_getattr,
    .open = disk_open,
    .read = disk_read,
    .write = disk_write,
    .fsync = disk_fsync,
    .fallocate = disk_fallocate,
};

int
main(int argc, char **argv)
{
    char *arguments[] = {argv[0], (char[]){"-f"}, (char[]){"-s"}, argv[3], NULL};
    Disk disk;
    int status;

    if (argc != 4) {
        fputs("usage: log-disk DISK LOG MOUNT_POINT\n", stderr);
        return 2;
    }
    disk.disk_fd = open(argv[1], O_RDWR | O_CLOEXEC);
    disk.log = fopen(argv[2], "we");
    if (disk.disk_fd < 0 || !disk.log) {
        perror(argv[0]);
        return 2;
    }
    status = fuse_main(4, arguments, &operations, &disk);
    return fclose(disk.log) == 0 ? status : 2;
}
