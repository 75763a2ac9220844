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
#include <gio/gio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

/* As long as the driver waits for the helper */
#define MANAGER_WAIT_MS 5000
/* A mount of systemd is there after some milliseconds */
#define LOOK_AGAIN_US 2000

#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

/* An image needs none of these */
#define MOUNT_FLAGS   (MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define MOUNT_OPTIONS "bind,ro,nosuid,nodev,noexec"

bool
vt_seal_is_mount(int fd)
{
    struct statvfs info;

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

static GVariant *
ask_manager(const char *manager, const char *method, GVariant *arguments, GError **error)
{
    g_autofree char *escaped = g_dbus_address_escape_value(manager);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);
    g_autoptr(GDBusConnection) connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, error);

    if (!connection)
        return NULL;
    return g_dbus_connection_call_sync(connection, NULL, MANAGER_PATH, MANAGER_INTERFACE, method,
                                       arguments, G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE,
                                       MANAGER_WAIT_MS, NULL, error);
}

static bool
call_manager(const char *manager, const char *method, GVariant *arguments, GError **error)
{
    g_autoptr(GVariant) kept = g_variant_ref_sink(arguments);
    g_autoptr(GError) failure = NULL;
    g_autoptr(GVariant) reply = ask_manager(manager, method, kept, &failure);

    if (reply)
        return true;
    g_dbus_error_strip_remote_error(failure);
    return vt_throw(error, VT_ERROR_FAILED, "systemd refuses %s: %s", method, failure->message);
}

/* Its answer is that the job has begun */
static bool
wait_for(const char *path, bool mounted, GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + MANAGER_WAIT_MS * 1000;

    while (is_mounted(path) != mounted) {
        if (g_get_monotonic_time() > deadline)
            return vt_throw(error, VT_ERROR_FAILED,
                            "systemd has not %s '%s' within %d s: see 'systemctl status'",
                            mounted ? "mounted" : "unmounted", path, MANAGER_WAIT_MS / 1000);
        g_usleep(LOOK_AGAIN_US);
    }
    return true;
}

static GVariant *
mount_unit(const char *path)
{
    g_autofree char *unit = vt_seal_unit(path);
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

static bool
has_manager(const char *manager)
{
    return access(manager, F_OK) == 0;
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
vt_seal_mount(const char *path, const char *manager, GError **error)
{
    if (!has_manager(manager))
        return mount_here(path, error);
    return call_manager(manager, "StartTransientUnit", mount_unit(path), error) &&
           wait_for(path, true, error);
}

bool
vt_seal_unmount(const char *path, const char *manager, GError **error)
{
    g_autofree char *unit = vt_seal_unit(path);

    if (has_manager(manager))
        return call_manager(manager, "StopUnit", g_variant_new("(ss)", unit, "replace"), error) &&
               wait_for(path, false, error);
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
        return vt_throw_errno(error, errno, "cannot unmount '%s'", path);
    return true;
}
