/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vt-seal-mount.c: read-only mounts over single files, where libvirt and QEMU see them
 *
 * The inode is not changed, and its other names are not protected: each has its own mount. The
 * mounts are the kernel's or systemd's, not this process', so they outlive it; after a reboot they
 * are made again (vt_pool_reseal()).
 */
#include "vt-seal-mount.h"

#include "vt-fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* An image needs none of these */
#define MOUNT_FLAGS   (MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define MOUNT_OPTIONS "bind,ro,nosuid,nodev,noexec"

/* Not whether it is read-only: of a mount of systemd, our own name space gets a copy that was made
 * before the second step, and the second step stays with the original */
bool
vt_seal_is_mount(int fd)
{
    struct statvfs info;
    struct statx status;

    if (statx(fd, "", AT_EMPTY_PATH, 0, &status) == 0 &&
        status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
        return status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
    /* Linux before 5.8 */
    return fstatvfs(fd, &info) == 0 && info.f_flag & ST_RDONLY;
}

static bool
is_mounted(const char *path)
{
    vt_autofd fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd >= 0 && vt_seal_is_mount(fd);
}

/* systemd.unit(5): "/" is "-", what is not [A-Za-z0-9:_.] is "\xHH", so is a "." at the start */
char *
vt_seal_unit(const char *path)
{
    GString *unit = g_string_new(NULL);

    for (const char *p = path + strspn(path, "/"); *p; p++) {
        if (*p == '/' && p[1] != '/' && p[1] != '\0')
            g_string_append_c(unit, '-');
        else if (g_ascii_isalnum(*p) || *p == ':' || *p == '_' || (*p == '.' && unit->len > 0))
            g_string_append_c(unit, *p);
        else if (*p != '/')
            g_string_append_printf(unit, "\\x%02x", (unsigned char)*p);
    }
    g_string_append(unit, ".mount");
    return g_string_free(unit, FALSE);
}

static bool
is_unmounted(const char *path)
{
    return !is_mounted(path);
}

static GVariant *
mount_unit(const char *path, const char *unit)
{
    GVariantBuilder properties;

    g_variant_builder_init(&properties, G_VARIANT_TYPE("a(sv)"));
    g_variant_builder_add(&properties, "(sv)", "Description",
                          g_variant_new_string("Template that guests share, read-only"));
    g_variant_builder_add(&properties, "(sv)", "What", g_variant_new_string(path));
    g_variant_builder_add(&properties, "(sv)", "Options", g_variant_new_string(MOUNT_OPTIONS));
    /* guests have the file open */
    g_variant_builder_add(&properties, "(sv)", "LazyUnmount", g_variant_new_boolean(TRUE));
    return g_variant_new("(ssa(sv)@a(sa(sv)))", unit, "replace", &properties,
                         g_variant_new_array(G_VARIANT_TYPE("(sa(sv))"), NULL, 0));
}

/* A bind mount takes its flags in a second step */
static bool
mount_here(const char *path, GError **error)
{
    if (mount(path, path, NULL, MS_BIND, NULL) < 0)
        return vt_throw_errno(error, errno, "cannot mount '%s' over itself", path);
    if (mount(NULL, path, NULL, MS_REMOUNT | MOUNT_FLAGS, NULL) < 0) {
        const int failed = errno;

        umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
        return vt_throw_errno(error, failed, "cannot mount '%s' read-only", path);
    }
    return true;
}

bool
vt_seal_mount(const char *path, VtSealManager *manager, GError **error)
{
    g_autofree char *unit = vt_seal_unit(path);

    if (!vt_seal_manager_is_there(manager))
        return mount_here(path, error);
    return vt_seal_manager_run(manager,
                               &(const VtSealJob){"StartTransientUnit", mount_unit(path, unit),
                                                  unit, path, "mounted", is_mounted, "inactive"},
                               error);
}

bool
vt_seal_unmount(const char *path, VtSealManager *manager, GError **error)
{
    g_autofree char *unit = vt_seal_unit(path);

    if (!vt_seal_manager_is_there(manager))
        return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ||
               vt_throw_errno(error, errno, "cannot unmount '%s'", path);
    return vt_seal_manager_run(manager,
                               &(const VtSealJob){"StopUnit",
                                                  g_variant_new("(ss)", unit, "replace"), unit,
                                                  path, "unmounted", is_unmounted, "active"},
                               error);
}
