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
#include <sys/stat.h>
#include <sys/statvfs.h>

/* As long as the driver waits for the helper */
#define MANAGER_WAIT_MS 5000
/* A mount of systemd is there after some milliseconds */
#define LOOK_AGAIN_US 2000

#define MANAGER_NAME      "org.freedesktop.systemd1"
#define MANAGER_PATH      "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

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

static GDBusConnection *
connect_to(const char *manager, GError **error)
{
    g_autofree char *escaped = g_dbus_address_escape_value(manager);
    g_autofree char *address = g_strconcat("unix:path=", escaped, NULL);
    g_autoptr(GError) failure = NULL;
    GDBusConnection *connection =
        g_dbus_connection_new_for_address_sync(address,
                                               G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                   G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                               NULL, NULL, &failure);

    if (!connection)
        vt_throw(error, VT_ERROR_FAILED, "cannot ask systemd: %s", failure->message);
    return connection;
}

/* @arguments: (transfer floating). Its answer is that a job has begun. */
static bool
call_manager(GDBusConnection *connection, const char *method, GVariant *arguments, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        connection, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE, method, arguments,
        G_VARIANT_TYPE("(o)"), G_DBUS_CALL_FLAGS_NONE, MANAGER_WAIT_MS, NULL, &failure);

    if (reply)
        return true;
    g_dbus_error_strip_remote_error(failure);
    return vt_throw(error, VT_ERROR_FAILED, "systemd refuses %s: %s", method, failure->message);
}

/* Returns: (nullable): "activating", "active", "failed"... */
static char *
unit_state(GDBusConnection *connection, const char *unit)
{
    g_autofree char *name = g_dbus_escape_object_path(unit);
    g_autofree char *path = g_strconcat(MANAGER_PATH "/unit/", name, NULL);
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        connection, MANAGER_NAME, path, "org.freedesktop.DBus.Properties", "Get",
        g_variant_new("(ss)", "org.freedesktop.systemd1.Unit", "ActiveState"),
        G_VARIANT_TYPE("(v)"), G_DBUS_CALL_FLAGS_NONE, MANAGER_WAIT_MS, NULL, NULL);
    g_autoptr(GVariant) value = NULL;

    if (!reply)
        return NULL;
    g_variant_get(reply, "(v)", &value);
    return g_variant_is_of_type(value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string(value, NULL)
                                                              : NULL;
}

typedef enum {
    STEP_GOES_ON,
    STEP_DONE,
    STEP_FAILED,
} Step;

/* Active is what it becomes with the second step */
static Step
look_mounted(GDBusConnection *connection, const char *unit, const char *path)
{
    g_autofree char *state = unit_state(connection, unit);

    if (g_strcmp0(state, "failed") == 0)
        return STEP_FAILED;
    return g_strcmp0(state, "active") == 0 && is_mounted(path) ? STEP_DONE : STEP_GOES_ON;
}

static Step
look_unmounted(GDBusConnection *connection, const char *unit, const char *path)
{
    return is_mounted(path) ? STEP_GOES_ON : STEP_DONE;
}

static bool
wait_for(GDBusConnection *connection, const char *path, const char *done,
         Step (*look)(GDBusConnection *, const char *, const char *), GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + MANAGER_WAIT_MS * 1000;
    g_autofree char *unit = vt_seal_unit(path);
    Step step;

    while ((step = look(connection, unit, path)) == STEP_GOES_ON &&
           g_get_monotonic_time() < deadline)
        g_usleep(LOOK_AGAIN_US);
    return step == STEP_DONE ||
           vt_throw(error, VT_ERROR_FAILED, "systemd has not %s '%s'%s: see 'systemctl status %s'",
                    done, path, step == STEP_FAILED ? "" : " in time", unit);
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
    g_autoptr(GDBusConnection) connection = NULL;

    if (!has_manager(manager))
        return mount_here(path, error);
    connection = connect_to(manager, error);
    return connection && call_manager(connection, "StartTransientUnit", mount_unit(path), error) &&
           wait_for(connection, path, "mounted", look_mounted, error);
}

bool
vt_seal_unmount(const char *path, const char *manager, GError **error)
{
    g_autofree char *unit = vt_seal_unit(path);
    g_autoptr(GDBusConnection) connection = NULL;

    if (!has_manager(manager))
        return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ||
               vt_throw_errno(error, errno, "cannot unmount '%s'", path);
    connection = connect_to(manager, error);
    return connection &&
           call_manager(connection, "StopUnit", g_variant_new("(ss)", unit, "replace"), error) &&
           wait_for(connection, path, "unmounted", look_unmounted, error);
}
